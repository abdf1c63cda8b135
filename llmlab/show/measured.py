"""A measurement as a notebook handles it: `run.plot()`, `run.table()`."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..load import arrivals
from ..records.schema import Plan, Record, Run

if TYPE_CHECKING:
    import pandas as pd

    from ..figures import Picture
    from ..load import SLO


class Measured:
    """One measurement: its record, its figures, its numbers as a table."""

    def __init__(self, record: Record, path: Path | None = None, *, slo: SLO | None = None) -> None:
        self.record = record  # what was measured
        self.path = path  # the file that keeps it; None: none does
        self.slo = slo  # the promise of latency that goodput counts by

    @property
    def runs(self) -> list[Run]:
        """The runs of the record, in the order in which they were made."""
        return self.record.runs

    def plot(self, kind: str | None = None, **options: Any) -> Picture:
        """A figure of this record: "throughput", "latency", "timeline", "threads" or "sessions"; the telling one by default."""
        from .. import figures

        drawers: dict[str, Callable[..., Picture]] = {
            "throughput": figures.throughput,
            "latency": figures.latency_cdf,
            "timeline": figures.timeline,
            "threads": figures.threads,
            "sessions": figures.sessions,
        }
        if kind is None:
            patterns = {run.plan.pattern for run in self.runs}
            if self.record.kind == "threads":
                kind = "threads"
            elif "sessions" in patterns:
                kind = "sessions"
            else:
                kind = "throughput" if "closed" in patterns else "latency"
        if kind not in drawers:
            raise LabError(f"There is no figure {kind!r}.", fix="one of " + ", ".join(drawers))
        if self.slo is not None and kind in ("throughput", "latency", "sessions"):
            options.setdefault("slo", self.slo)
        return drawers[kind](self.record, **options)

    def table(self) -> pd.DataFrame:
        """One row a run: what was asked, tokens/s, TTFT, TPOT and end-to-end latency in ms, failures.

        A number that there is none of is NaN (no request was answered). The column `noisy` is there when a run was disturbed.
        """
        import pandas as pd

        from ..records import stats

        rows = []
        for run in self.runs:
            server, plan = self.record.servers[run.server], run.plan

            def ms(values: Any, p: float) -> float | None:
                value = stats.percentile(values, p)
                return None if value is None else round(1000 * value, 1)

            row: dict[str, Any] = {}
            if self.record.kind == "threads":
                row |= {"cpus": server.cpus, "threads": server.threads}
            if plan.pattern == "closed":
                row["concurrency"] = plan.concurrency
            elif plan.pattern == "sessions":
                row |= {"server": run.label or "", "users": plan.concurrency, "turns": plan.turns}
            else:
                row |= {"arrivals": plan.pattern, "rate /s": plan.rate}
            row |= {
                "requests": len(run.samples),
                "failed": len(stats.failed(run)),
                "tokens/s": round(stats.tokens_per_second(run), 1),
                "TTFT p50 ms": ms(stats.ttft(run), 50),
                "TTFT p95 ms": ms(stats.ttft(run), 95),
                "TPOT p50 ms": ms(stats.tpot(run), 50),
                "end-to-end p50 ms": ms(stats.e2e(run, "scheduled"), 50),
            }
            if plan.pattern == "sessions":
                share = stats.cached_share(run)
                row["cached"] = None if share is None else f"{share:.0%}"
            if self.slo is not None:
                row["goodput tokens/s"] = round(stats.goodput(run, self.slo).tokens_per_second, 1)
            row["noisy"] = (
                "noisy" if run.noise.noisy else "client-limited" if run.noise.client_limited else ""
            )
            rows.append(row)
        frame = pd.DataFrame(rows)
        if not any(row["noisy"] for row in rows):
            frame = frame.drop(columns="noisy", errors="ignore")
        # A column in which every run has failed is one of missing numbers, not of Nones.
        return frame.fillna(value=math.nan).infer_objects()

    def lines(self) -> list[str]:
        """One plain line a run, as the progress bar leaves them behind."""
        from ..records import stats

        return [
            f"{describe(run.plan)}: {len(run.samples)} requests, {len(stats.failed(run))} failed, "
            f"{stats.tokens_per_second(run):.1f} tokens/s"
            for run in self.runs
        ]

    def save(self, path: str | Path) -> Path:
        """Write the record to another place as well."""
        from ..records.store import write

        write(self.record, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        where = f"<br><small>record: {html.escape(str(self.path))}</small>" if self.path else ""
        frame, note = self.table(), ""
        if "noisy" in frame and (frame["noisy"] == "noisy").all():
            frame = frame.drop(columns="noisy")
            note = "<br><small>every run was noisy: other programs used the CPU; run it again when less is going on</small>"
        return str(frame.to_html(index=False, border=0, na_rep="–")) + note + where


def describe(plan: Plan) -> str:
    """`concurrency 4`, or `poisson 2/s`."""
    if plan.pattern == "closed":
        return f"concurrency {plan.concurrency}"
    if plan.pattern == "sessions":
        return arrivals.describe(plan)
    return f"{plan.pattern} {plan.rate:g}/s" if plan.rate else plan.pattern


def newest(folder: Path) -> Measured | None:
    """The newest measurement of load that is kept in a folder; None where there is none."""
    from ..records.store import read

    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            return Measured(read(path), path)
        except LabError:  # a table of something that was counted, or a file that was cut off
            continue
    return None
