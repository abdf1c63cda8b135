"""What the parent and its load client say to each other: one JSON document a line, both ways."""

from __future__ import annotations

from msgspec import Struct

from ..records.schema import Plan, Sample


class Setup(Struct, tag=True, kw_only=True):
    """First line to the worker: the server, as `Target` has it. Keys travel here, never in argv."""

    url: str
    api_key: str | tuple[str, ...] | None = None
    host: str | None = None
    authority: bytes | None = None
    session_header: str | None = None
    model: str | None = None
    vocab: int | None = None  # size, for prompts of token ids; None: words


class Order(Struct, tag=True, kw_only=True):
    """Run this: the warm-up of a plan, or the plan itself."""

    plan: Plan
    warmup: bool
    repeat: int = 0
    part: int = 0  # of so many; each has every `parts`-th request, or session, and its share of the streams
    parts: int = 1


class Go(Struct, tag=True, kw_only=True):
    """To each of several workers when all are ready."""

    zero: float  # when their run begins, by `perf_counter`: one clock for all processes of a machine


class Ready(Struct, tag=True, kw_only=True):
    """From each of several workers: its requests are made, it waits for `Go`."""


class Tick(Struct, tag=True, kw_only=True):
    """From the worker, about four times a second while it runs."""

    elapsed: float  # seconds since the first send was due
    done: int
    failed: int
    tokens: int  # non-empty chunks so far: nearly tokens
    rate: float  # of them per second, since the last tick
    open: int  # requests in flight


class Done(Struct, tag=True, kw_only=True):
    """From the worker, at the end of an order."""

    samples: list[Sample]
    wall: float  # seconds from the first send to the last end
    full: float | None
    cpu: float  # CPU seconds of the worker over `wall`
    spun: float  # of these, spent waiting precisely for an arrival
    lateness_p99: float  # seconds, of the event loop
    busiest: float | None = (
        None  # of `cpu` without `spun`, what the busiest of several workers used; null: there was one
    )
    workers: int = 1


Said = Ready | Tick | Done
Heard = Setup | Order | Go
