"""A region lost some times, as a notebook shows it: who answered whom, when users were served again, whose bytes were where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ...records.schema import Cell, Table
from ...show.shown import Drawn, Shown
from . import figures
from . import probes as incidents
from .globe import Globe
from .numbers import Numbers
from .probes import RESIDENTS, Incident
from .users import PATIENCE

YOURS = "yours"
COLUMNS = {
    "what": "request, event or part of the prediction",
    "routing": "whose routing",
    "users": "where they are",
    "at": "s from the loss of the region",
    "took": "s",
    "region": "that answered",
    "status": "HTTP, 0 without a reply",
    "turn": "number of the incident",
}


class Lost(Drawn):
    """A region lost some times: when its users were served again, against prediction and promise."""

    def __init__(
        self, keep: Callable[..., Table], globe: Globe, numbers: Numbers, found: Sequence[Incident]
    ) -> None:
        first = found[0]
        self.incidents = list(found)  # each of them, with what users met
        self.near = incidents.at_home(globe, first.region)  # the users whose region it is
        whole = first.how in ("killed", "cut off", "hung")
        parts = (numbers.predicted_region if whole else numbers.predicted_servers)(PATIENCE)
        promise = numbers.promise_region if whole else numbers.promise_servers
        took = [
            incidents.recovery(incident.rows[YOURS], self.near, incident.broke, incident.restored)
            for incident in found
        ]
        rows = rows_of(found)
        rows += [["predicted", YOURS, name, 0.0, seconds, "", 0, 0] for name, seconds in parts.items()]
        rows += [["promised", YOURS, "", 0.0, promise, "", 0, 0]]
        rows += [
            ["measured", YOURS, "", 0.0, seconds if math.isfinite(seconds) else None, "", 0, n]
            for n, seconds in enumerate(took)
        ]
        table = keep("incident", COLUMNS, rows, note=f"{first.region} {first.how}")
        back = [
            times(incidents.returns(incident.rows[YOURS], incident.region, incident.broke, incident.restored))
            for incident in found
        ]
        said = ", ".join("never" if math.isinf(seconds) else f"{seconds:.1f} s" for seconds in took)
        lines = [
            f"predicted, at most: {sum_of(parts)}; promised: {promise:g} s",
            f"measured, until the last of {' and '.join(self.near)} was served again: {said}",
            f"the region was left, and came back: {', '.join(back)}",
        ]
        worst = max(took)
        super().__init__(
            table, figures.incident, lines, {"seconds": worst if math.isfinite(worst) else "never"}
        )

    def seen(self) -> Shown:
        """Bytes of the residents, and of all others, at each region, in all these incidents."""
        rows = []
        arrived = [request for it in self.incidents for request in it.arrived]
        for region in dict.fromkeys(request.region for request in arrived):
            own = [request for request in arrived if request.region == region]
            theirs = sum(
                request.bytes_in + request.bytes_out for request in own if request.user.startswith(RESIDENTS)
            )
            others = sum(request.bytes_in + request.bytes_out for request in own) - theirs
            rows.append((region, f"{theirs:,}", f"{others:,}"))
        return Shown(sorted(rows), [], ("region", "bytes of residents", "bytes of others"))


def rows_of(found: Sequence[Incident]) -> list[list[Cell]]:
    """The requests of some incidents, and when each ended, as rows of `COLUMNS`."""
    rows: list[list[Cell]] = []
    for turn, incident in enumerate(found):
        rows += [
            [
                "request",
                name,
                row.users,
                row.sent - incident.broke,
                row.took,
                row.region if row.ok else "",
                row.status,
                turn,
            ]
            for name, own in incident.rows.items()
            for row in own
        ]
        rows += [["event", "", "", incident.restored - incident.broke, None, incident.region, 0, turn]]
    return rows


def sum_of(parts: Mapping[str, float]) -> str:
    """A sum with its parts."""
    shown = " + ".join(f"{name} {seconds:g}" for name, seconds in parts.items())
    return f"{shown} = {sum(parts.values()):g} s"


def times(count: int) -> str:
    """How often, in words."""
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")
