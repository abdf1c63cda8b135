"""What the load client costs on a stand-in that streams at a set rate, beside aiohttp, an earlier build of itself and the least in C."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llmlab.load import closed
from llmlab.load.noise import piled_up
from llmlab.load.prompts import PATHS, body
from llmlab.load.protocol import Done, Order, Said, Setup
from llmlab.records.stats import Spread

from .race import CLIENTS
from .stand_in import COMPILER, built, stand_in

ROOT = Path(__file__).parents[2]
BEFORE = "23593f26"  # the last build that decoded each read as it came
TOKENS = 64  # of a reply
#: Tokens a second over all streams; aiohttp must still keep up, or its cost is that of a client which is the limit.
RATE = {8: 2_000.0, 64: 8_000.0, 512: 8_000.0}
SECONDS = 2.0  # of each lap, about


@dataclass(frozen=True, slots=True)
class StreamLap:
    """One client's round."""

    cpu_per_1000: float  # client CPU-seconds per 1,000 streamed tokens, decoding included
    rate: float  # tokens/s
    failed: int  # requests not answered in full, with just as many tokens as were asked for


def own_lap(package: Path, url: str, streams: int, requests: int) -> tuple[StreamLap, Done]:
    """A lap of the load client of the package in this folder."""
    order = Order(plan=closed(streams, requests=requests, warmup=0, max_tokens=TOKENS), warmup=False)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "llmlab.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=package,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(Setup(url=url)) + b"\n" + msgspec.json.encode(order) + b"\n")
        child.stdin.flush()
        read = msgspec.json.Decoder(Said).decode
        done = next(event for line in child.stdout if isinstance(event := read(line), Done))
        child.stdin.close()
    good = sum(
        sample.ok
        and sample.counted_by == "usage"
        and len(sample.chunks) == sample.completion_tokens == TOKENS
        for sample in done.samples
    )
    tokens = max(1, good * TOKENS)
    return StreamLap(done.cpu / tokens * 1000, tokens / done.wall, requests - good), done


def other_lap(name: str, url: str, streams: int, requests: int) -> StreamLap:
    """A lap of one of the clients in clients.py."""
    plan = closed(streams, requests=requests, warmup=0, max_tokens=TOKENS)
    job = {
        "url": url + PATHS["completion"],
        "concurrency": streams,
        "bodies": [body(plan, n).decode() for n in range(requests)],
    }
    said = subprocess.run(
        [sys.executable, CLIENTS, name], input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True
    )
    return _lap(said.stdout)


def bare_lap(program: Path, url: str, streams: int, requests: int) -> StreamLap:
    """A lap of `bare_reader.c`, which reads and stamps and decodes nothing: what no client can cost less than."""
    words = [url.rpartition(":")[2], *map(str, (streams, requests, TOKENS))]
    return _lap(subprocess.run([program, *words], stdout=subprocess.PIPE, text=True, check=True).stdout)


def _lap(said: str) -> StreamLap:
    got = json.loads(said)
    return StreamLap(
        got["cpu"] / max(1, got["tokens"]) * 1000, got["tokens"] / got["wall"], int(got["failed"])
    )


def streams(rounds: int, counts: Sequence[int]) -> list[str]:
    """The lines to print."""
    if COMPILER is None:
        return ["streams: not measured, because there is no C compiler here for the stand-in"]
    lines = [f"clients on a stand-in (not a model), {TOKENS} tokens a reply, {rounds} alternating rounds"]
    with builds() as packages, built("bare_reader") as bare:
        lanes: dict[str, Callable[[str, int, int], StreamLap]] = {
            name: lambda *lap, package=package: own_lap(package, *lap)[0]
            for name, package in packages.items()
        }
        lanes["aiohttp"] = lambda *lap: other_lap("aiohttp", *lap)
        lanes["bare reader"] = lambda *lap: bare_lap(bare, *lap)
        for count in counts:
            lines += _side_by_side(lanes, rounds, count)
    return lines


@contextmanager
def builds() -> Iterator[dict[str, Path]]:
    """The folders of this build's package and, where git has it, of the earlier one's."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"llmlab.load": ROOT}
        tree = subprocess.run(["git", "-C", ROOT, "archive", BEFORE, "llmlab"], capture_output=True)
        if tree.returncode == 0:
            subprocess.run(["tar", "-x", "-C", folder], input=tree.stdout, check=True)
            found[f"at {BEFORE}"] = Path(folder)
        yield found


def _side_by_side(
    lanes: dict[str, Callable[[str, int, int], StreamLap]], rounds: int, count: int
) -> list[str]:
    rate = RATE.get(count, 8_000.0)
    requests = max(count, round(rate * SECONDS / TOKENS))
    laps: dict[str, list[StreamLap]] = {name: [] for name in lanes}
    with stand_in(rate) as server:
        for turn in range(rounds):
            names = list(lanes)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                laps[name].append(lanes[name](server.url, count, requests))
    lines = [f"  {count} streams at {rate:,.0f} tokens/s, {requests} requests a lap:"]
    own = laps["llmlab.load"]
    for name, theirs in laps.items():
        cost = Spread.of(lap.cpu_per_1000 for lap in theirs)
        taken = Spread.of(lap.rate for lap in theirs)
        failed = sum(lap.failed for lap in theirs)
        line = f"    {name:12} CPU-s per 1,000 tokens {cost} | tokens/s {taken} | failed {failed} of {rounds * requests:,}"
        if theirs is not own:
            ratio = Spread.of(
                mine.cpu_per_1000 / lap.cpu_per_1000 for mine, lap in zip(own, theirs, strict=True)
            )
            line += f" | llmlab.load costs {ratio} of it"
        lines.append(line)
    return lines


def limits(rates: Sequence[int], count: int = 512) -> list[str]:
    """The lines to print: what one process takes, and from which rate on it is what limits."""
    if COMPILER is None:
        return []
    lines = [f"one client process on the stand-in, {count} streams:"]
    with builds() as packages:
        for rate in rates:
            for name, package in packages.items():
                requests = max(count, round(rate * SECONDS / TOKENS))
                with stand_in(rate) as server:
                    lap, done = own_lap(package, server.url, count, requests)
                lines.append(
                    f"  {rate:6,} tokens/s set: {name:12} {lap.rate:6,.0f} taken, {done.cpu / done.wall:.0%} of a core,"
                    f" event loop late {done.lateness_p99 * 1000:.1f} ms (p99), {piled_up(done.samples)[0]:.0%} piled up,"
                    f" {lap.failed} of {requests:,} failed | stand-in: {server.late} steps late, {server.blocked} writes"
                    f" held up, {server.cpu / done.wall:.0%} of a core"
                )
    return lines
