"""What a notebook measures of a door: a burst, the ways to a server, a canary as it moves, four ways to choose the replica."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from ....errors import LabError
from ....machine import profile
from ....records.schema import Cell, Record, ServerInfo
from ....records.stats import SLO
from ....say import Say
from ....system.local_client import local_client
from ....system.waiting import wait
from ...kubernetes.manifests.applied import Applied
from ..clients import DoorClient
from ..door import FrontDoor
from ..routes import weighted

if TYPE_CHECKING:
    from ....figures import Picture
    from ....load import Target
    from ....show.bench import Bench

BURST = {
    "client": "whose key",
    "sent": "s",
    "first": "s of its first token; None: none came",
    "over": "s",
    "status": "HTTP",
}
WAYS = {
    "way": "",
    "n": "",
    "first": "s from sending to the first token",
    "connect": "s, TLS included; 0: a kept connection",
}
CANARY = {
    "what": "answer or weight",
    "at": "s",
    "who": "whose answer it was; empty: none came",
    "share": "of the canary's, as stated",
}
SESSION = "x-session"
#: Hosts of balancing.yaml, and what their policies are called.
POLICIES = {
    "round-robin": "round robin",
    "least-request": "least request",
    "hash": "consistent hash, bounded load",
    "picked": "endpoint picker",
}
NAMES = {"chat": "stable", "chat-next": "canary"}


def target(front: FrontDoor, host: str, info: ServerInfo, *keys: str) -> Target:
    """A door as the load client takes it: every conversation names itself, and the keys are used in turn."""
    from ....load import Target

    return Target(
        url=front.base,
        info=info,
        host=host,
        authority=front.authority,
        api_key=keys or None,
        session_header=SESSION,
    )


def burst(busy: DoorClient, calm: DoorClient, info: ServerInfo) -> list[list[Cell]]:
    """Requests at a constant rate, seven in eight of them the first client's: as rows of `BURST`."""
    from ....load import constant, measure

    keys = (*[busy.key] * 7, calm.key)
    plan = constant(17, requests=136, max_tokens=160, warmup=0)
    (run,) = measure(target(busy.door, busy.host, info, *keys), [plan]).runs
    rows: list[list[Cell]] = []
    for sample in run.samples:
        whose = "calm" if sample.n % len(keys) == len(keys) - 1 else "busy"
        ends = [at for at in (sample.end, sample.last, sample.sent) if at is not None]
        rows.append([whose, sample.sent, sample.first, ends[0], sample.status])
    return rows


def ways(direct: str, kept: DoorClient, fresh: DoorClient, say: Say) -> list[list[Cell]]:
    """A server asked alternately without the door, through one connection of the door, and through a new one each time: as rows of `WAYS`.

    :param direct: the server's URL.
    """
    count = 20 if profile() == "binder" else 40
    rows: list[list[Cell]] = []
    with kept.connected(timeout=30) as held:
        _first(held)  # connects
        for number in range(count):
            say(f"{number + 1} of {count}")
            with local_client(base_url=direct, timeout=30) as own:
                rows.append(["direct", number, *_first(own)])
            rows.append(["through the door", number, *_first(held)])
            with fresh.connected(timeout=30) as new:
                rows.append(["through the door, a new connection each", number, *_first(new)])
    return rows


def _first(client: httpx.Client) -> tuple[float, float]:
    """Seconds from sending a request to its first token, and seconds to connect before."""
    seen: dict[str, float] = {}

    def trace(event: str, _: object) -> None:
        seen[event] = time.perf_counter()

    body = {"prompt": "once", "max_tokens": 2, "stream": True, "ignore_eos": True}
    began = time.perf_counter()
    with client.stream(
        "POST", "/v1/completions", json=body, headers={SESSION: uuid.uuid4().hex}, extensions={"trace": trace}
    ) as reply:
        if reply.status_code != 200:
            raise LabError(f"/v1/completions: HTTP {reply.status_code}", fix="front.said()")
        pieces = reply.iter_raw()
        next(pieces, b"")
        first = time.perf_counter()
        for _ in pieces:  # to its end: else the connection could not be kept
            pass
    connected = max(
        (
            at
            for event, at in seen.items()
            if event in ("connection.connect_tcp.complete", "connection.start_tls.complete")
        ),
        default=began,
    )
    return first - connected, connected - began if connected > began else 0.0


def canary(applied: Applied, client: Callable[[], DoorClient], say: Say) -> list[list[Cell]]:
    """Ask all the time who answers, while the canary's share is changed: as rows of `CANARY`."""
    rows: list[list[Cell]] = []
    seconds, over = 4.0, threading.Event()
    began = time.monotonic()
    asking = threading.Thread(target=_who, args=(client, rows, began, over), daemon=True)
    originals = [document for document, _ in weighted(applied.documents, "llama-server-canary", 0)]
    if not originals:
        raise LabError("No route leads to llama-server-canary.", fix="a second backendRef in httproute.yaml")
    try:
        asking.start()
        for share in (0.1, 0.5, 0.0):
            say(f"the canary's share is {share:.0%}")
            applied.apply(*(changed for _, changed in weighted(originals, "llama-server-canary", share)))
            rows.append(["weight", round(time.monotonic() - began, 3), "", share])
            over.wait(seconds)
    finally:
        over.set()
        asking.join(30)
        applied.apply(*originals)
    return sorted(rows, key=lambda row: float(row[1] or 0))


def _who(
    client: Callable[[], DoorClient], rows: list[list[Cell]], began: float, over: threading.Event
) -> None:
    """Forty requests with each client's key: nobody comes to its limit."""
    while not over.is_set():
        with client().connected(timeout=10) as http:
            for _ in range(40):
                if over.wait(0.02):
                    return
                http.cookies.clear()
                try:
                    reply = http.get("/v1/models", headers={SESSION: uuid.uuid4().hex}).raise_for_status()
                    who = reply.json()["data"][0]["id"]
                except (httpx.HTTPError, ValueError, LookupError):
                    who = ""
                rows.append(["answer", round(time.monotonic() - began, 3), NAMES.get(who, who), None])


class Balanced:
    """The same conversations under several ways to choose the replica.

    :param record: a run for each, labelled.
    """

    slo = SLO(ttft_ms=1000)

    def __init__(self, record: Record) -> None:
        self.record = record  # what was measured

    def plot(self, *, guess: Any = None) -> Picture:
        """Cached tokens and TTFT, turn by turn, a line for each.

        :param guess: the percentage of cached tokens, as predicted; marked.
        """
        from ....figures import sessions

        return sessions(self.record, self.slo, guess=guess)

    def value(self, name: str) -> float | None:
        """The percentage of all prompt tokens that was found in a cache, under the policy of this name. None: nothing is known."""
        from ....figures import sessions

        lines = sessions(self.record, self.slo).data["lines"]
        share = {str(line["name"]): line["cached_share"] for line in lines}.get(name)
        return None if share is None else 100 * float(share)

    def __repr__(self) -> str:
        from ....figures import sessions

        return "\n".join(
            f"{line['name']}: {line['cached_share']:.0%} of the prompt tokens cached, TTFT p50 of the last turn "
            f"{1000 * line['ttft_p50'][-1]:.0f} ms, {line['slo_share']:.0%} within {self.slo}"
            for line in sessions(self.record, self.slo).data["lines"]
        )


def policies(lab: Bench, front: FrontDoor, info: ServerInfo, say: Say) -> Balanced:
    """The same conversations through each host of the second door, in three alternating rounds (one on a small machine).

    :raises LabError: when one of the hosts does not answer.
    """
    from ....load import measure, sessions
    from ....show.kept import store

    for host in POLICIES:
        wait(f"an answer for {host}", lambda host=host: _answers(front, host), 60)  # type: ignore[misc]
    records = []
    rounds = range(1 if profile() == "binder" else 3)
    for number, (round_, (host, name)) in enumerate(itertools.product(rounds, POLICIES.items())):
        say(f"{name}, round {round_ + 1}")
        plan = sessions(
            6, sessions=12, turns=4, think=1.0, prompt_tokens=100, max_tokens=16, system_tokens=60,
            seed=lab.seed + number,  # the servers still know what the others have said
        )  # fmt: skip
        to = target(front, f"{host}.example.com", info)
        records.append(measure(to, [plan], label=name, lab=lab.info.name))
    # Behind a door each look at /metrics meets another replica: their counters make no window.
    runs = [
        msgspec.structs.replace(run, counters=None, repeat=number // len(POLICIES))
        for number, record in enumerate(records)
        for run in record.runs
    ]
    record = msgspec.structs.replace(records[0], runs=runs, note="three replicas behind one door")
    store(record, lab.files / "records")
    return Balanced(record)


def _answers(front: FrontDoor, host: str) -> bool:
    try:
        return front.ask("GET", "/v1/models", f"{host}.example.com").status_code == 200
    except httpx.HTTPError:
        return False
