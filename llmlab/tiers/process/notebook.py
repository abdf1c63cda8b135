"""A server and a measurement as a notebook handles them: `server.load(...)`, `run.plot()`."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import LabError
from ...records.schema import Cell, Plan, Record, Run, Table
from ...serve import Server

if TYPE_CHECKING:
    import pandas as pd

    from ...figures import Picture
    from ...lab.containers import Containers
    from ...load import SLO, Progress

#: Requests per stream and tokens per request, by profile: how much work a lab does, never what it teaches.
WORK = {"binder": (4, 32), "laptop": (8, 48), "workstation": (16, 64)}


class Measured:
    """One measurement: its record, its figures, its numbers as a table."""

    def __init__(self, record: Record, path: Path | None = None, *, slo: SLO | None = None) -> None:
        self.record = record
        self.path = path
        self.slo = slo

    @property
    def runs(self) -> list[Run]:
        """The runs of the record, in the order in which they were made."""
        return self.record.runs

    def plot(self, kind: str | None = None, **options: Any) -> Picture:
        """A figure of this record: "throughput", "latency", "timeline" or "threads"; the telling one by default."""
        from ... import figures

        drawers: dict[str, Callable[..., Picture]] = {
            "throughput": figures.throughput,
            "latency": figures.latency_cdf,
            "timeline": figures.timeline,
            "threads": figures.threads,
        }
        if kind is None:
            open_loop = all(run.plan.pattern != "closed" for run in self.runs)
            kind = "threads" if self.record.kind == "threads" else "latency" if open_loop else "throughput"
        if kind not in drawers:
            raise LabError(f"There is no figure {kind!r}.", fix="one of " + ", ".join(drawers))
        if self.slo is not None and kind in ("throughput", "latency"):
            options.setdefault("slo", self.slo)
        return drawers[kind](self.record, **options)

    def table(self) -> pd.DataFrame:
        """One row a run: what was asked, tokens/s, TTFT, TPOT and end-to-end latency in ms, failures."""
        import pandas as pd

        from ...records import stats

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
            if self.slo is not None:
                row["goodput tokens/s"] = round(stats.goodput(run, self.slo).tokens_per_second, 1)
            row["noisy"] = (
                "noisy" if run.noise.noisy else "client-limited" if run.noise.client_limited else ""
            )
            rows.append(row)
        return pd.DataFrame(rows)

    def lines(self) -> list[str]:
        """One plain line a run, as the progress bar leaves them behind."""
        from ...records import stats

        return [
            f"{describe(run.plan)}: {len(run.samples)} requests, {len(stats.failed(run))} failed, "
            f"{stats.tokens_per_second(run):.1f} tokens/s"
            for run in self.runs
        ]

    def save(self, path: str | Path) -> Path:
        """Write the record to another place as well."""
        from ...records.store import write

        write(self.record, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        where = f"<br><small>record: {html.escape(str(self.path))}</small>" if self.path else ""
        return str(self.table().to_html(index=False, border=0, na_rep="")) + where


def describe(plan: Plan) -> str:
    """`concurrency 4`, or `poisson 2/s`."""
    if plan.pattern == "closed":
        return f"concurrency {plan.concurrency}"
    return f"{plan.pattern} {plan.rate:g}/s" if plan.rate else plan.pattern


class LiveServer:
    """A running server of this notebook. All of `llmlab.Server` is reachable on it: `props()`, `slots()`, `log_tail()`...

    It ends with `stop()`, when the lab serves something else, and with the kernel.
    """

    def __init__(self, server: Server, *, records: Path, profile: str, lab: str, seed: int) -> None:
        self.server = server
        self._records = records
        self._profile = profile
        self._lab = lab
        self._seed = seed
        self.listeners: list[Callable[[Progress], None]] = []  # the panel's live chart
        self.busy = threading.Lock()
        self.note: str | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.server, name)

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it now (within 2 s, whatever is in flight)."""
        self.server.stop()

    def load(
        self,
        *,
        concurrency: int | Sequence[int] | None = None,
        rate: float | Sequence[float] | None = None,
        arrivals: str = "poisson",
        requests: int | None = None,
        warmup: int | None = None,
        prompt_tokens: int = 32,
        max_tokens: int | None = None,
        repeats: int = 1,
        seed: int | None = None,
        api: str = "completion",
        timeout: float = 60.0,
        slo: SLO | None = None,
        quiet: bool = False,
    ) -> Measured:
        """Load the server and measure it; the record is saved beside the lab.

        :param concurrency: closed loop: how many streams are kept open, one run for each number given.
        :param rate: open loop: requests per second, whatever the server does, one run for each.
        :param arrivals: open loop: "poisson" or "constant".
        :param requests: measured requests per run; default by profile and concurrency.
        :param warmup: requests sent and answered before the measured ones; default: one a stream.
        :param timeout: seconds after which a request is given up (and counted as failed).
        :param repeats: how often each run is made, interleaved, so that the figure can show spread.
        :raises LabError: when the server is not running.
        """
        from ...load import closed, constant, poisson

        per_stream, tokens = WORK[self._profile]
        common: dict[str, Any] = {
            "prompt_tokens": prompt_tokens,
            "max_tokens": max_tokens or tokens,
            "api": api,
            "timeout": timeout,
        }
        if warmup is not None:
            common["warmup"] = warmup
        first = self._seed if seed is None else seed
        plans: list[Plan] = []
        for turn in range(repeats):
            if rate is not None:
                make = {"poisson": poisson, "constant": constant}.get(arrivals)
                if make is None:
                    raise LabError(f"Unknown arrivals {arrivals!r}.", fix='"poisson" or "constant"')
                for one in [rate] if isinstance(rate, int | float) else rate:
                    plans.append(make(one, requests=requests or 8 * per_stream, seed=first + turn, **common))
            else:
                for streams in [concurrency or 1] if isinstance(concurrency, int | None) else concurrency:
                    count = requests or max(2, per_stream) * max(2, streams)
                    plans.append(
                        closed(streams, requests=count, seed=first + 1000 * turn + streams, **common)
                    )
        return self.measure(plans, slo=slo, quiet=quiet)

    def measure(self, plans: Sequence[Plan], *, slo: SLO | None = None, quiet: bool = False) -> Measured:
        """Run plans made with `llmlab.load` (closed, constant, poisson, trace)."""
        from ...load import measure
        from ...show.bars import progress_bar

        if not self.server.running:
            raise LabError("The server is not running.", fix='server = lab.serve("server.toml")')
        with self.busy, progress_bar(plans, quiet=quiet) as bar:

            def event(progress: Progress) -> None:
                bar(progress)
                for listener in self.listeners:
                    listener(progress)

            record = measure(target(self.server), plans, on_event=event, lab=self._lab)
        return Measured(record, store(record, self._records), slo=slo)

    def status(self) -> str:
        """One line: what runs, on which engine, where."""
        if not self.server.running:
            return "○ llama-server stopped"
        s = self.server
        slots = s.props()["total_slots"]
        return (
            f"● llama-server {s.engine.version} · {s.device.used.upper()} · {s.model.name} · {slots} slots · "
            f"{s.url} · {s.rss() / 2**20:.0f} MB"
        )

    def notes(self) -> list[str]:
        """What a reader must know besides the status: a taken port, a device that is not there."""
        return [note for note in (self.note, self.server.device.note) if note]

    def __repr__(self) -> str:
        return "\n".join([self.status(), *self.notes()])

    def _repr_html_(self) -> str:
        note = "".join(f"<br><b>{html.escape(one)}</b>" for one in self.notes())
        return (
            f'<div role="status">{html.escape(self.status())}{note}<br>'
            f"<small>the same from a shell:</small><pre style='white-space:pre-wrap'>{html.escape(self.server.command)}</pre></div>"
        )


def target(server: Server) -> Any:
    """What the load client must know of a server."""
    from ...load import Target

    return Target(
        url=server.url,
        api_key=server.key,
        model=server.model.name,
        pid=server.pid,
        info=server.info(),
        throttle=server.throttle,
    )


def keep(
    lab: Containers,
    kind: str,
    columns: dict[str, str],
    rows: list[list[Cell]],
    *,
    note: str = "",
    **version: str,
) -> tuple[Table, Path]:
    """A table of what was counted in a lab, saved beside it; `version`: of what measured it (default: of ours)."""
    from ... import machine
    from ...load.run import versions

    table = Table(
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        machine=machine.describe(),
        columns=columns,
        rows=rows,
        versions=version or versions(),
        lab=lab.info.name,
        seed=lab.seed,
        note=note or None,
    )
    return table, store(table, lab.files / "records")


def store(record: Record | Table, folder: Path) -> Path:
    """Save a record under a name that says when and what."""
    from ...records.store import write

    stamp = re.sub(r"[^0-9T]", "", datetime.now(UTC).isoformat(timespec="milliseconds")[:-6])
    path = folder / f"{stamp}-{record.kind}.json"
    write(record, path)
    return path
