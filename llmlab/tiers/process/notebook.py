"""A server as a notebook handles it: `server = lab.serve()`, `server.load(...)`, and what its file says beside what runs."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import LabError
from ...load.target import target
from ...plain import plain
from ...records.schema import Plan
from ...serve import Server, Spec
from ...show.at_hand import live_page
from ...show.face import Face
from ...show.kept import store
from ...show.measured import Measured
from ...show.shown import Shown

if TYPE_CHECKING:
    from ...load import SLO, Progress

#: What a server that has ended still says, and what only a running one can be asked (of `llmlab.Server`).
SAYS = ("status", "notes", "__repr__", "_repr_html_")
ASKS = (
    "complete", "counters_since", "drain", "get", "http", "info", "listening", "metrics", "post", "props", "rss", "slots", "throttle",
)  # fmt: skip
#: Requests per stream and tokens per request, by profile: how much work a lab does, never what it teaches.
WORK = {"binder": (4, 32), "laptop": (8, 48), "workstation": (16, 64)}


class LiveServer(
    Face, what="The server", again='server = lab.serve("server.toml")', works=[*SAYS], ends="stop"
):
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
        self.busy = threading.Lock()  # held while it is measured
        self.note: str | None = None  # what its reader should know, such as another port
        self._talks = 0  # loads of sessions so far: what was said in one would be in the cache for the next

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "server":
            raise AttributeError(name)
        if name in ASKS and self._over():
            raise self._ended()
        return getattr(self.server, name)

    def _over(self) -> bool:
        return not self.server.running

    def _ended(self) -> LabError:
        why = "."
        if self._closed:
            why = ": it ended with lab.check() or lab.stop()."
        elif self.server.exit_code is not None or self.server.last_error():
            why = f": it ended by itself. {self.server.last_error()}".rstrip()
        return LabError(f"The server is not running{why}", fix=self._again)

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
        sessions: int | None = None,
        turns: int = 4,
        think: float = 1.0,
        system_tokens: int = 128,
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
        :param sessions: conversations instead of single requests: how many in all, held by `concurrency` users (default: 4)
            who think for `think` seconds (mean) between a reply and the next of the `turns` turns. Each turn carries what was
            said before, and all share a system prompt of about `system_tokens` words; one warm-up request comes before. No load
            says what another one has said: its seed is a new one, and in the record.
        :param requests: measured requests per run; default by profile and concurrency.
        :param warmup: requests sent and answered before the measured ones; default: one a stream.
        :param timeout: seconds after which a request is given up (and counted as failed).
        :param repeats: how often each run is made, interleaved, so that the figure can show spread.
        :raises LabError: when the server is not running.
        """
        from ...load import closed, constant, poisson
        from ...load import sessions as conversations

        if sessions is not None and (rate is not None or requests is not None or api != "completion"):
            raise LabError(
                "A load of sessions has no rate, no number of requests and no other API than chat.",
                fix="server.load(sessions=8, concurrency=4, turns=4)",
            )

        per_stream, tokens = WORK[self._profile]
        common: dict[str, Any] = {
            "prompt_tokens": prompt_tokens,
            "max_tokens": max_tokens or tokens,
            "timeout": timeout,
        }
        if sessions is None:
            common["api"] = api
        if warmup is not None:
            common["warmup"] = warmup
        first = self._seed if seed is None else seed
        plans: list[Plan] = []
        for turn in range(repeats):
            if sessions is not None:
                for users in _each(concurrency or 4):
                    self._talks += 1
                    plans.append(
                        conversations(
                            users,
                            sessions=sessions,
                            turns=turns,
                            think=think,
                            system_tokens=system_tokens,
                            seed=first + 1000 * self._talks,
                            **common,
                        )
                    )
            elif rate is not None:
                make = {"poisson": poisson, "constant": constant}.get(arrivals)
                if make is None:
                    raise LabError(f"Unknown arrivals {arrivals!r}.", fix='"poisson" or "constant"')
                for pace in _each(rate):
                    plans.append(make(pace, requests=requests or 8 * per_stream, seed=first + turn, **common))
            else:
                for streams in _each(concurrency or 1):
                    count = requests or max(2, per_stream) * max(2, streams)
                    plans.append(
                        closed(streams, requests=count, seed=first + 1000 * turn + streams, **common)
                    )
        return self.measure(plans, slo=slo, quiet=quiet)

    def measure(self, plans: Sequence[Plan], *, slo: SLO | None = None, quiet: bool = False) -> Measured:
        """Run plans made with `llmlab.load` (closed, constant, poisson, trace, sessions)."""
        from ...load import measure
        from ...show.bars import progress_bar

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

    def _page(self) -> str:
        """A button for the server's live counters, where it counts and is there."""
        port = self.server.port if self.server.running and self.server.spec.flags.get("metrics") else None
        return live_page("live counters (/metrics)", port, "metrics") + "<br>" if port else ""

    def _repr_html_(self) -> str:
        note = "".join(f"<br><b>{plain(text)}</b>" for text in self.notes())
        line = f"<pre style='white-space:pre-wrap'>{html.escape(self.server.command)}</pre>"
        return (
            f'<div role="status">{plain(self.status())}{note}<br>{self._page()}'
            f"<small>the same from a shell:</small>{line}</div>"
        )


def _each(given: Any) -> Sequence[Any]:
    return [given] if isinstance(given, int | float) else given


def describe_lab(files: Path, live: Server | None) -> Shown:
    """A lab's server.toml beside the server that runs, if one does, with its context drawn as the slots share it."""
    try:
        spec = live.spec if live is not None else Spec.read(files / "server.toml")
        server = live if live is not None else Server(spec, port=0)
        notes = [note for note in (server.device.note, server.command) if note]
    except LabError as error:
        return Shown([], error.lines())
    flags, limits = spec.flags, spec.limits
    # What llama-server does with its context: one pool for all slots, or a part for each (facts: --kv-unified).
    shared = flags.get("kv-unified") is True or flags.get("parallel", -1) == -1
    asked = {
        "model": spec.model,
        "context": _or(flags.get("ctx-size"), "the model's own"),
        "slots": _or(flags.get("parallel"), "automatic"),
        "context per slot": "",
        "threads": _or(flags.get("threads"), "automatic"),
        "device": spec.device,
        "limits": " · ".join(
            filter(
                None,
                (
                    "" if limits.cpus is None else f"{limits.cpus:g} CPUs",
                    "" if limits.memory is None else f"{limits.memory / 2**20:.0f} MiB",
                ),
            )
        )
        or "none",
        "address": f"port {flags['port']}" if "port" in flags else "a free port",
    }
    real = dict.fromkeys(asked, "(nothing runs)" if live is None else "")
    real["model"] = f"{server.model.bytes / 2**20:.0f} MiB, {_count(server.model.parameters)}"
    drawing = ""
    if live is not None:
        props = live.props()
        slots, each = int(props["total_slots"]), _ctx(props)
        pool = each if shared else each * slots
        real |= {
            "context": f"{pool:,} tokens, {'one pool' if shared else 'divided'}",
            "slots": str(slots),
            "context per slot": f"up to {each:,} tokens" if shared else f"{each:,} tokens",
            "device": live.device.used,
            "limits": live.info().limiter or "none",
            "address": live.url,
        }
        told = flags.get("slots", True) and not flags.get("no-slots")
        busy = [bool(slot["is_processing"]) for slot in live.slots()] if told else []
        drawing = _draw(slots, each, pool, shared=shared, busy=busy)
    return Shown([(name, asked[name], real[name]) for name in asked], notes, drawing=drawing)


def _draw(slots: int, each: int, pool: int, *, shared: bool, busy: list[bool]) -> str:
    """The context as a bar, cut into what each slot may use."""
    many = min(slots, 16)
    colours = ["#E69F00" if n < len(busy) and busy[n] else "#56B4E9" for n in range(many)]
    size = "shared" if shared else f"{each:,}"
    boxes = "".join(
        f'<div style="flex:1;padding:.4em .2em;border-right:1px solid #fff;background:{colour};color:#000;'
        f'text-align:center;font-size:.85em">slot {n}<br>{size}{"<br>busy" if colour == "#E69F00" else ""}</div>'
        for n, colour in enumerate(colours)
    )
    more = f"<small>and {slots - many} more slots</small>" if slots > many else ""
    said = f"{pool:,} tokens of context, " + (
        f"shared by {slots} slots" if shared else f"{each:,} for each of {slots} slots"
    )
    return (
        f'<figure style="margin:.5em 0"><div role="img" aria-label="{said}" style="display:flex;max-width:36em">{boxes}</div>'
        f"{more}<figcaption><small>{said}</small></figcaption></figure>"
    )


def _ctx(props: dict[str, Any]) -> int:
    return int(props["default_generation_settings"]["n_ctx"])


def _or(value: Any, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:.3g} M parameters"
