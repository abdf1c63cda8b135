"""What an image costs: size by layer, build time cold and warm, seconds until it answers and is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from ...errors import LabError
from ...figures.picture import Picture
from ...figures.style import (
    GREEN,
    INK,
    ORANGE,
    QUIET,
    SKY,
    Mark,
    dress,
    finish,
    mark_guess,
    new_figure,
    readable,
    series,
)
from ...records.schema import Table
from ...records.stats import Spread

HATCHES = ("", "////", "....", "xx", "\\\\\\\\", "++", "oo")
SMALL = 0.015  # layers below this share of the largest image are drawn together
COLD, WARM = Mark(ORANGE, "s", "-", "////"), Mark(SKY, "o")
ANSWERS, HEALTHY = Mark(GREEN, "o"), Mark(INK, "D")


def images(tables: Sequence[Table], *, guess: float | None = None) -> Picture:
    """One row per image in each of three panels (four where speed was measured); see `tiers.docker.survey`.

    :param guess: seconds of a build that the reader named beforehand, marked in the panel of the builds.
    :raises LabError: when a table is no survey of an image.
    """
    if not tables or any(table.kind != "image" for table in tables):
        raise LabError("This figure is drawn from surveys of images.", fix="lab.build().measure().plot()")
    shown = [_Image(table) for table in tables]
    speeds = any(image.speed for image in shown)
    panels = 4 if speeds else 3
    high = 0.55 + 0.42 * len(shown)
    figure = new_figure(7.4, panels * (high + 0.55))
    axes = figure.subplots(panels, 1)
    _sizes(axes[0], shown)
    _bars(axes[1], shown, "Build (seconds, logarithmic)", "build", (("cold", COLD), ("warm", WARM)))
    mark_guess(axes[1], guess)
    _starts(axes[2], shown)
    if speeds:
        _speeds(axes[3], shown)
    alt = "Container images. " + " ".join(image.words() for image in shown)
    notes = [table.note for table in tables if table.note]
    first = tables[0]
    count = max((len(image.times("start", "answers")) for image in shown), default=0)
    caption = (
        f"Bytes as the daemon counts them, uncompressed. Builds: one each; warm is the same build again. "
        f"Starts: n = {count}, the mark is the median, the line the range. "
        f"{first.machine.line} ({first.machine.profile}), Docker {first.versions.get('docker', '?')}."
        + "".join(f" {note.splitlines()[0]}" for note in notes)
    )
    return finish(figure, alt=alt, caption=caption, data={"images": [image.numbers() for image in shown]})


class _Image:
    """One survey, by what is drawn of it."""

    def __init__(self, table: Table) -> None:
        self.rows = table.dicts()
        self.name = str(self.rows[0]["image"]) if self.rows else "?"
        self.layers = [(str(r["label"]), float(r["bytes"] or 0)) for r in self.rows if r["what"] == "layer"]
        self.size = sum(size for _, size in self.layers)
        self.speed = [float(r["rate"] or 0) for r in self.rows if r["what"] == "speed"]

    def times(self, what: str, label: str) -> list[float]:
        return [
            float(r["seconds"])
            for r in self.rows
            if r["what"] == what and r["label"] == label and r["seconds"] is not None
        ]

    def span(self, what: str, label: str) -> Spread | None:
        found = self.times(what, label)
        return Spread.of(found) if found else None

    def words(self) -> str:
        parts = [
            f"{self.name}: {self.size / 1e6:.0f} MB in {len(self.layers)} layer{'s' if len(self.layers) != 1 else ''}"
        ]
        for what, label, verb in (
            ("build", "cold", "built cold in"),
            ("build", "warm", "warm in"),
            ("start", "answers", "answers after"),
            ("start", "healthy", "healthy after"),
        ):
            span = self.span(what, label)
            if span:
                parts.append(f"{verb} {span.median:.3g} s")
        if not self.times("start", "answers"):
            parts.append("it does not start")
        if self.speed:
            parts.append(f"{Spread.of(self.speed).median:.0f} tokens/s")
        return ", ".join(parts) + "."

    def numbers(self) -> dict[str, Any]:
        starts = {label: self.times("start", label) for label in ("answers", "healthy")}
        builds = {label: self.times("build", label) for label in ("cold", "warm")}
        return {
            "name": self.name,
            "bytes": self.size,
            "layers": self.layers,
            **builds,
            **starts,
            "tokens_per_second": self.speed,
        }


def _rows(axes: Axes, shown: Sequence[_Image], quantity: str) -> None:
    dress(axes, quantity=quantity)
    axes.grid(False)
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [image.name for image in shown])
    axes.set_ylim(len(shown) - 0.45, -0.55)


def _sizes(axes: Axes, shown: Sequence[_Image]) -> None:
    _rows(axes, shown, "Size by layer (MB)")
    top = max(image.size for image in shown) or 1
    for y, image in enumerate(shown):
        left, rest, number = 0.0, 0.0, 0
        for label, size in image.layers:
            if size < SMALL * top:
                rest += size
                continue
            mark = series(number)
            axes.barh(y, size / 1e6, left=left / 1e6, height=0.62, color=mark.colour, alpha=0.55, edgecolor="white",
                      hatch=HATCHES[number % len(HATCHES)], linewidth=1)  # fmt: skip
            room = int(size / top * 62)  # characters that fit
            if room >= 4:
                text = label if len(label) <= room else label[: room - 1] + "…"
                axes.text((left + size / 2) / 1e6, y, text, ha="center", va="center", fontsize=8, color=INK,
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1})  # fmt: skip
            left += size
            number += 1
        if rest:
            axes.barh(y, rest / 1e6, left=left / 1e6, height=0.62, color=QUIET, alpha=0.5)
        axes.text(image.size / 1e6, y, f" {image.size / 1e6:.0f}", va="center", fontsize=9.5, color=INK)
    axes.set_xlim(0, top / 1e6 * 1.1)


def _bars(
    axes: Axes, shown: Sequence[_Image], quantity: str, what: str, kinds: Sequence[tuple[str, Mark]]
) -> None:
    _rows(axes, shown, quantity)
    axes.set_xscale("log")
    values = [v for image in shown for label, _ in kinds for v in image.times(what, label)]
    low = min(values, default=0.1)
    axes.set_xlim(low / 2, max(values, default=1.0) * 3)
    for y, image in enumerate(shown):
        for n, (label, mark) in enumerate(kinds):
            for value in image.times(what, label)[:1]:
                place = y + (n - (len(kinds) - 1) / 2) * 0.32
                axes.barh(
                    place,
                    value - low / 2,
                    left=low / 2,
                    height=0.28,
                    color=mark.colour,
                    alpha=0.75,
                    hatch=mark.hatch,
                    edgecolor="white",
                )
                axes.text(value * 1.06, place, f"{label} {value:.3g}", va="center", fontsize=9, color=INK)
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")


def _starts(axes: Axes, shown: Sequence[_Image]) -> None:
    _rows(axes, shown, "From docker run to ready (seconds)")
    top = max(
        (v for image in shown for label in ("answers", "healthy") for v in image.times("start", label)),
        default=1.0,
    )
    axes.set_xlim(0, top * 1.3)
    for y, image in enumerate(shown):
        if not image.times("start", "answers"):
            axes.text(top * 0.02, y, "does not start", va="center", fontsize=9.5, color=readable("#D55E00"))
        for label, mark, place in (("answers", ANSWERS, y - 0.16), ("healthy", HEALTHY, y + 0.18)):
            span = image.span("start", label)
            if span:
                axes.plot([span.low, span.high], [place, place], color=mark.colour, linewidth=1.4)
                axes.plot(
                    span.median, place, marker=mark.marker, color=mark.colour, markersize=6.5, linestyle=""
                )
                axes.text(
                    span.high + top * 0.02,
                    place,
                    f"{label} {span.median:.2g}",
                    va="center",
                    fontsize=9,
                    color=INK,
                )


def _speeds(axes: Axes, shown: Sequence[_Image]) -> None:
    _rows(axes, shown, "Speed (tokens per second, one user)")
    top = max((max(image.speed) for image in shown if image.speed), default=1.0)
    axes.set_xlim(0, top * 1.2)
    for y, image in enumerate(shown):
        if image.speed:
            span = Spread.of(image.speed)
            axes.plot([span.low, span.high], [y, y], color=series(0).colour, linewidth=1.4)
            axes.plot(span.median, y, marker="o", color=series(0).colour, markersize=7, linestyle="")
            axes.text(span.high + top * 0.02, y, f"{span.median:.0f}", va="center", fontsize=9.5, color=INK)
