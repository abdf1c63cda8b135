"""The awslogs driver: what containers write goes to CloudWatch Logs line by line, while they write it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

from ....errors import LabError
from ...aws.endpoint import AwsEndpoint

MOST = 1000  # events of one call; the API takes 10,000
PAUSE = 0.25  # seconds between two calls
#: Group and stream.
Target = tuple[str, str]


class AwsLogs:
    """A writer of one task's streams: a thread for each container that is followed, and one that writes."""

    def __init__(self, endpoint: AwsEndpoint) -> None:
        self._client = endpoint.client("logs")
        self._lines: queue.Queue[tuple[Target, dict[str, Any]] | None] = queue.Queue()
        self._readers: list[threading.Thread] = []
        self._writer = threading.Thread(target=self._write, name="awslogs", daemon=True)
        self._writer.start()

    def follow(self, pieces: Iterable[bytes], group: str, stream: str) -> None:
        """Send what comes, from now until it ends."""
        reader = threading.Thread(
            target=self._read, args=(pieces, (group, stream)), name=f"awslogs {stream}", daemon=True
        )
        self._readers.append(reader)
        reader.start()

    def close(self, within: float = 10) -> None:
        """Write what is left of containers that have ended, and end."""
        deadline = time.monotonic() + within
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        self._lines.put(None)
        self._writer.join(max(1.0, deadline - time.monotonic()))

    def _read(self, pieces: Iterable[bytes], target: Target) -> None:
        rest = b""
        with contextlib.suppress(LabError, OSError):  # a daemon that is gone ends it
            for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._put(target, line)
        self._put(target, rest)

    def _put(self, target: Target, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if text:  # an event is never empty
            self._lines.put((target, {"timestamp": int(time.time() * 1000), "message": text}))

    def _write(self) -> None:
        ended = False
        while not ended:
            batch: dict[Target, list[dict[str, Any]]] = {}
            deadline = time.monotonic() + PAUSE
            while (left := deadline - time.monotonic()) > 0 and sum(map(len, batch.values())) < MOST:
                with contextlib.suppress(queue.Empty):
                    found = self._lines.get(timeout=left)
                    if found is None:
                        ended = True
                        break
                    batch.setdefault(found[0], []).append(found[1])
            for (group, stream), events in batch.items():
                with contextlib.suppress(Exception):  # a group that was deleted meanwhile: the lines are lost
                    self._client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
