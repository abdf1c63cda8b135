"""From a record's runs to what is drawn: one point per plan, its repeats folded together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import LabError
from ..records import stats
from ..records.schema import Record, Run, ServerInfo
from .words import count

Metric = Callable[[Run], float]
NOTHING = stats.Spread(float("nan"), float("nan"), float("nan"), 0)


def speed(run: Run) -> float:
    """Tokens per second (`stats.tokens_per_second`)."""
    return stats.tokens_per_second(run)


def first_token(run: Run) -> stats.Array:
    """Time to first token of each answered request, in seconds, from when it was due."""
    return stats.ttft(run, since="scheduled")


def end_to_end(run: Run) -> stats.Array:
    """End-to-end latency of each answered request, in seconds, from when it was due."""
    return stats.e2e(run, since="scheduled")


def quantile(times: Callable[[Run], stats.Array], p: float) -> Metric:
    """The metric "p-th percentile of `times`"; NaN where the sample is too small to know it."""

    def metric(run: Run) -> float:
        value = stats.percentile(times(run), p)
        return float("nan") if value is None else value

    return metric


@dataclass(frozen=True, slots=True)
class Point:
    """All repeats of one plan against one server, at `x`."""

    x: float
    runs: tuple[Run, ...]

    def over(self, metric: Metric) -> stats.Spread:
        """Median, lowest and highest of `metric` over the repeats; NaN where none has it."""
        values = [v for v in map(metric, self.runs) if math.isfinite(v)]
        return stats.Spread.of(values) if values else NOTHING

    @property
    def noisy(self) -> bool:
        """Whether any repeat was."""
        return any(r.noise.noisy for r in self.runs)

    @property
    def client_limited(self) -> bool:
        """Whether any repeat was."""
        return any(r.noise.client_limited for r in self.runs)


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one line, by x."""

    name: str
    server: int
    points: tuple[Point, ...]

    @property
    def xs(self) -> list[float]:
        """Where its points are."""
        return [p.x for p in self.points]

    def medians(self, metric: Metric) -> list[float]:
        """The middle of `metric` at each point."""
        return [p.over(metric).median for p in self.points]


def chosen(record: Record, keep: Callable[[Run], bool] = lambda _: True, *, what: str = "runs") -> list[Run]:
    """The runs to draw.

    :raises LabError: when there are none: an empty figure would look like a result.
    """
    runs = [run for run in record.runs if run.samples and keep(run)]
    if not runs:
        raise LabError(
            f"Nothing to draw: this record holds no {what}.",
            where=f"record of {record.created}, {len(record.runs)} runs",
            fix="measure first, for example: run = server.load(concurrency=[1, 2, 4, 8])",
        )
    return runs


def gather(runs: Sequence[Run], x: Callable[[Run], float]) -> tuple[Point, ...]:
    """Runs with the same x become one point; points in order of x."""
    places: dict[float, list[Run]] = {}
    for run in runs:
        places.setdefault(x(run), []).append(run)
    return tuple(Point(at, tuple(places[at])) for at in sorted(places))


_DIFFERENCES: tuple[Callable[[ServerInfo], str], ...] = (
    lambda s: count(s.slots, "slot"),
    lambda s: f"{s.ctx_per_slot:,} tokens a slot",
    lambda s: count(s.threads, "thread") if s.threads is not None else "default threads",
    lambda s: f"{s.cpus:g} CPU" if s.cpus is not None else "no quota",
    lambda s: s.model,
    lambda s: s.device.used,
    lambda s: s.engine_version,
)


def server_names(record: Record, servers: Sequence[int]) -> dict[int, str]:
    """A short name for each server: its runs' label, else in what it differs from the others."""
    names: dict[int, str] = {}
    for index in servers:
        labels = {run.label for run in record.runs if run.server == index}
        if len(labels) == 1 and (label := labels.pop()):
            names[index] = label
            continue
        parts = [
            look(record.servers[index])
            for look in _DIFFERENCES
            if len({look(record.servers[i]) for i in servers}) > 1
        ]
        names[index] = ", ".join(parts[:2]) or (f"server {index + 1}" if len(servers) > 1 else "")
    if len(set(names.values())) < len(names):
        names = {i: f"{name} (server {i + 1})".strip() for i, name in names.items()}
    return names
