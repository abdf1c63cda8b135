"""A reply that takes long, across a roll-out: the pods are held back while it is written, and it is read to its end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from ....load.long_stream import bursts, is_whole
from ....system.local_client import local_client
from ..cluster.cluster import Cluster
from ..manifests.applied import Applied
from ..manifests.manifests import Document
from ..manifests.pods import ready_pods
from .pods import matching
from .rollouts import roll

TOKENS = 1000  # of the reply: half of the 2,048 of context that a slot has where two share 4,096
EACH = 0.01  # seconds between two looks at its pace: so little is written in it that a halt is over well within a second


def long_reply(
    stack: Applied, document: Document, service: str, seconds: float, *, namespace: str, within: float
) -> tuple[str, float]:
    """Stream a reply that takes so many seconds, roll the Deployment out once it has begun, and read it to its end.

    :param within: seconds that the roll-out may take.
    :return: how it ended, `whole` or in words, and the seconds that it took.
    :raises LabError: when the roll-out does not end.
    """
    at = stack.cluster
    found = ready_pods(at, namespace, matching(document))
    stream = Stream(seconds)
    url = f"{at.address(namespace, service)}/v1/completions"
    with ThreadPoolExecutor(1) as changing:
        how, changed = "whole", None
        try:
            with local_client(timeout=60) as client, client.stream("POST", url, json=stream.body) as reply:
                pieces = stream.counted(reply.iter_bytes())
                first = next(pieces, b"")
                changed = changing.submit(roll, stack, document, within)
                if not is_whole(
                    itertools.chain([first], pieces), held_back(at, found, stream.early), seconds
                ):
                    how = f"it ended without [DONE] (HTTP {reply.status_code})"
        except httpx.HTTPError as error:
            how = f"cut off ({type(error).__name__})"
        took = stream.elapsed
    if changed is not None:
        changed.result()
    return how, took


class Stream:
    """A reply of TOKENS that is to take so many seconds: what has come of it, and whether that is early."""

    def __init__(self, seconds: float) -> None:
        self.body = {"prompt": "Once", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
        self._seconds = seconds
        self._began = time.monotonic()
        self._tokens = 0

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self._began

    def early(self) -> bool:
        """Whether more has come than the time that has passed is worth; never when all of the time has."""
        return self.elapsed < self._seconds and self._tokens > TOKENS * self.elapsed / self._seconds

    def counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, with their tokens counted."""
        for piece in pieces:
            self._tokens += piece.count(b"data:")
            yield piece


@contextlib.contextmanager
def held_back(at: Cluster, found: list[Any], early: Callable[[], bool]) -> Iterator[None]:
    """The processes of these pods stand still while `early()`, so that a probe is answered in between; afterwards they go on."""
    pids = [pid for pod in found for pid in at.processes(pod)]

    def tell(number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop() -> None:
        if early():
            tell(signal.SIGSTOP)

    def go() -> None:
        if not early():
            tell(signal.SIGCONT)

    try:
        with bursts(stop, go, going=EACH, stopped=EACH):
            yield
    finally:
        tell(signal.SIGCONT)
