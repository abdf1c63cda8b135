"""A worker as a notebook handles it: `edge = lab.edge()`, `edge.map().plot()`, `edge.world.kill("asia")`, `edge.ask(country="JP")`."""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ...course import journal
from ...errors import LabError
from ...plain import plain
from ...records.schema import Cell
from ...show.bars import steps_bar
from ...show.bench import alone
from ...show.face import Face
from ...show.kept import keep
from ...show.shown import Drawn, NothingToShow, Said, Shown, shown
from ...system.local_client import local_client
from . import figures
from .probes import Country, countries
from .worker import Edge
from .world import HOSTS, Seen, World

if TYPE_CHECKING:
    from ...show.bench import Bench

CONFIG = "worker.capnp"
REPEATS = 40


class LiveEdge(Face, what="The edge", again="edge = lab.edge()"):
    """Three regions and the worker in front of them. The worker is started anew from its file whenever something is asked of it.
    Opening it again ends the one before.

    :raises LabError: when a region's server does not start.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveEdge)
        self.lab = lab  # whose worker it is
        self.key = "sk-client-" + secrets.token_hex(6)  # what clients are let in with
        with steps_bar("step") as say:
            self._world = World(say=say)
        self._world.told = self._told
        self._text: tuple[str, ...] = ()
        self._edge: Edge | None = None
        self._mark = self.world.mark()

    @property
    def world(self) -> World:
        """Its three regions, which can be killed, hung and restored."""
        return self._world

    def _now(self) -> Edge:
        """The worker as its files are now.

        :raises LabError: when the runtime refuses it, in its words.
        """
        files = [self.lab.files / name for name in self.lab.info.artifacts]
        text = tuple(file.read_text(errors="replace") if file.is_file() else "" for file in files)
        if self._edge is None or text != self._text or self._edge.process.poll() is not None:
            if self._edge is not None:
                self._edge.close()
                self._edge = None
            self._edge = self._start(self.lab.files / CONFIG)
            self._text = text
        return self._edge

    def _told(self, region: str, how: str) -> None:
        if how == "back":
            journal.note(self.lab.files, "incident", restored=f"{region} is back")
        else:
            journal.note(self.lab.files, "incident", done=f"{region} {how}")

    def _start(self, config: Path) -> Edge:
        log = self.world.folder / f"{config.parent.name}-{secrets.token_hex(2)}.log"
        return Edge(config, self.world, client_key=self.key, log=log)

    def ask(
        self, country: str | None = None, *, tokens: int = 8, stream: bool = False, key: bool = True
    ) -> Said:
        """A completion as a user in a country asks for it: what came, after how long, and which regions were asked."""
        cf: dict[str, Any] = next(
            (other.cf for other in countries() if other.code == country),
            {"country": country} if country else {},
        )
        mark, began, wrote = self.world.mark(), time.monotonic(), 0
        answer = "cut off"
        self._mark = mark
        body = {"prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": True, "stream": stream}
        try:
            edge = self._now()
            wrote = edge.log.stat().st_size
            with contextlib.closing(
                edge.stream(edge.build("POST", "/v1/completions", cf=cf, key="" if key else None, json=body))
            ) as reply:
                first = 0.0
                for _ in reply.iter_bytes():
                    first = first or time.monotonic() - began
            answer = f"HTTP {reply.status_code}"
            said = (
                f"{answer}, first byte after {first:.2f} s, all of it after {time.monotonic() - began:.2f} s"
            )
        except httpx.HTTPError as error:
            said = f"cut off after {time.monotonic() - began:.2f} s: {error}"
        except LabError as error:
            return NothingToShow(error.lines())
        took = time.monotonic() - began
        asked = [
            request.region
            for request in self.world.seen(mark, least=1, within=0.5)
            if request.method == "POST"
        ]
        lines = [said, f"asked: {', '.join(asked) or 'nobody'}"]
        uncaught = edge.uncaught(wrote)
        lines += [f"the worker's log: {uncaught}"] if uncaught else []
        return Said(lines, {"answer": answer, "seconds": took})

    def seen(self) -> Shown:
        """What reached the regions since the last `ask`: where, what, with which key."""
        rows = [
            (request.region, f"{request.method} {request.path}", _whose(request, self))
            for request in self.world.seen(self._mark)
        ]
        return Shown(rows, [], ("region", "request", "key"))

    @shown
    def map(self) -> Drawn:
        """A user of every country asks, through the guide's worker and through yours: who reached which region."""
        rows: list[list[Cell]] = []
        with self._start(self.lab.info.starter / CONFIG) as guide, steps_bar("user") as say:
            for name, edge in (("the guide's", guide), ("yours", self._now())):
                for country in countries():
                    say(f"{name}: {country.code}")
                    rows.append(
                        [
                            name,
                            country.code,
                            country.column,
                            country.row,
                            self._reached(edge, country),
                            country.home,
                        ]
                    )
        columns = dict.fromkeys(("set", "country", "column", "row", "region", "home"), "")
        columns |= {"set": "whose worker", "region": "reached", "home": "where its users belong"}
        table, _ = keep(self.lab, "origins", columns, rows)
        lines, values = [], {}
        for name in ("the guide's", "yours"):
            own = [row for row in rows if row[0] == name]
            values[name] = sum(row[4] != row[5] for row in own)
            lines.append(
                f"{name}: {values[name]} of {len(own)} countries sent elsewhere than to their region"
            )
        return Drawn(table, figures.origins, lines, values)

    def _reached(self, edge: Edge, country: Country) -> str:
        mark = self.world.mark()
        with contextlib.suppress(httpx.HTTPError):
            edge.request("GET", "/v1/models", cf=country.cf)
        seen = self.world.seen(mark, least=1, within=0.5)
        return seen[0].region if seen else ""

    def added(self) -> Drawn | Said:
        """The first byte of a small reply from the US: asked directly and through your worker, alternating."""
        rows: list[list[Cell]] = []
        us = next(country for country in countries() if country.code == "US")
        headers = {"authorization": f"Bearer {self.world.key}"}
        try:
            edge = self._now()
            with local_client(timeout=30, proxy=self.world.internet.url) as direct:
                for turn in range(REPEATS + 2):
                    at = time.perf_counter()
                    direct.get(f"http://{HOSTS['us']}/v1/models", headers=headers)
                    half = time.perf_counter()
                    edge.request("GET", "/v1/models", cf=us.cf)
                    done = time.perf_counter()
                    if turn >= 2:  # the first open connections
                        rows += [["directly", 1000 * (half - at)], ["through the edge", 1000 * (done - half)]]
        except (LabError, httpx.HTTPError) as error:
            return NothingToShow(error.lines() if isinstance(error, LabError) else [str(error)])
        table, _ = keep(
            self.lab, "edge-latency", {"path": "which way", "ms": "to the whole small reply"}, rows
        )
        medians = {
            name: statistics.median(float(row[1] or 0) for row in rows if row[0] == name)
            for name in ("directly", "through the edge")
        }
        lines = [f"{name}: {median:.1f} ms at the median" for name, median in medians.items()]
        values = {"added ms": medians["through the edge"] - medians["directly"]}
        return Drawn(table, figures.added, lines, values)

    def close(self) -> None:
        """End it; may be called twice."""
        if self._edge is not None:
            self._edge.close()
        self._world.close()

    def _lines(self) -> list[str]:
        lines = [f"{name}: {HOSTS[name]}, a llama-server with its own key" for name in HOSTS]
        return [*lines, "emulated: the internet between them has names and no distances"]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(plain(line) for line in self._lines())


def _whose(request: Seen, live: LiveEdge) -> str:
    key = request.headers.get("authorization", "")
    return (
        "the client's"
        if live.key in key
        else "the origin's"
        if live.world.key in key
        else "none"
        if not key
        else "another"
    )
