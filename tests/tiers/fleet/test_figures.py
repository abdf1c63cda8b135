"""Lab 14's figures: what they say is what the tables hold, a defect in the data is seen in what is drawn, and nothing is printed over something else."""

from __future__ import annotations

import functools
import importlib
import math
import random
from itertools import combinations

import msgspec
import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.figures import style
from llmlab.records.schema import Table
from llmlab.tiers.fleet import figures

COLUMNS = {
    "day": "second offered admitted shed failed kept",
    "needed": "slo load servers kind low high",
    "costs": "plan utilisation dollars priced",
    "errors": "servers measure real simulated error repeat",
}
NOTE = "s2 killed 82.4–96.8 s; s1 hung 158.0–172.4 s"
SLOS = {"TTFT 0.5 s": 1.4, "TTFT 1 s": 1.1, "TTFT 5 s": 0.6}
LATENCIES = [f"{what} {share}" for what in ("TTFT", "end to end") for share in ("p50", "p95", "p99")]


def made(kind: str, rows: list[list[object]], note: str | None = None) -> Table:
    return table(kind, COLUMNS[kind], rows, note, haproxy="3.0.11")


def day_rows(length: float = 240.0, bins: int = 60, *, failing: float = 0.0) -> list[list[object]]:
    """A diurnal curve; while a server is gone, from 0.34 to 0.4 of the day, `failing` a second fail."""
    draw, width = random.Random(3), length / bins
    found: list[list[object]] = []
    for n in range(bins):
        share = n / bins
        offered = 6 * (1 - 0.65 * math.cos(2 * math.pi * (share - 0.125))) * draw.uniform(0.8, 1.2)
        offered *= 2.2 if 0.66 < share < 0.7 else 1.0
        failed = failing if 0.34 <= share < 0.4 else 0.0
        admitted = min(offered - failed, 11.0)
        shed = offered - failed - admitted
        found.append([n * width, offered, admitted, shed, failed, admitted * draw.uniform(0.85, 1)])
    return found


def needed_rows(loads: tuple[float, ...], measured: tuple[float, ...] = ()) -> list[list[object]]:
    """Square-root staffing: load + spare · √load."""
    found: list[list[object]] = []
    for kind, xs in (("simulated", loads), ("measured", measured)):
        for slo, spare in SLOS.items():
            for load in xs:
                servers = math.ceil(load + spare * math.sqrt(load) + 0.2)
                wide = max(1, round(0.06 * servers)) if load > 3 else 0
                found.append([slo, load, servers, kind, max(1, servers - wide), servers + wide])
    return found


PRICES = {
    "always on": lambda u: 1.3 / u,
    "autoscaled": lambda u: 1.9 * (1 + 0.06 / u),
    "scale to zero": lambda u: 3.6 + 0.6 * u,
}


def cost_rows(shares: list[float]) -> list[list[object]]:
    return [[plan, u, price(u), "2026-11-28"] for plan, price in PRICES.items() for u in shares]


def error_rows(repeats: int = 3, **more: float) -> list[list[object]]:
    """`more`: an error of TTFT's p99 at so many servers, such as three=0.4."""
    draw, found = random.Random(5), []
    for servers, name in ((1, "one"), (2, "two"), (3, "three")):
        for measure in [*LATENCIES, "goodput"]:
            for repeat in range(repeats):
                error = draw.gauss(0.01, 0.05)
                if measure == "TTFT p99" and name in more and repeat == 0:
                    error = more[name]
                found.append([servers, measure, 0.4, 0.4 * (1 + error), error, repeat])
    return found


LOADS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
SHARES = [n / 40 for n in range(1, 41)]
CASES = {
    "day": made("day", day_rows(failing=2.0), NOTE),
    "day, nothing went wrong": made("day", day_rows()),
    "day, one after the other": made("day", day_rows(60, 30, failing=1.0), "s2 killed 22.4–32.4 s; s1 hung 34.2–44.2 s"),
    "day, one bin": made("day", [[0.0, 3, 3, 0, 0, 3]]),
    "needed": made("needed", needed_rows(LOADS, (1, 2))),
    "needed, few": made("needed", needed_rows((0.5, 1, 1.5, 2, 3), (0.8, 1.6))),
    "needed, measured only": made("needed", needed_rows((), (0.8, 1.6))),
    "costs": made("costs", cost_rows(SHARES)),
    "costs, one": made("costs", [["autoscaled", 0.5, 2.0, "2026-11-28"]]),
    "errors": made("errors", error_rows(three=0.4, one=-0.22)),
    "errors, none outside": made("errors", [row for row in error_rows(1) if abs(row[4]) < 0.15]),
    "errors, far": made("errors", error_rows(two=3.1)),
    "errors, one": made("errors", [[1, "goodput", 0.9, 0.92, 0.022, 0]]),
}  # fmt: skip


def fresh(case: str):
    return getattr(figures, CASES[case].kind)(CASES[case])


draw = functools.cache(fresh)


@pytest.fixture
def drawn(monkeypatch):
    """The figure of a table, with its artists."""

    def of(case: Table):
        seen = []
        finish = style.finish
        module = importlib.import_module(f"llmlab.tiers.fleet.figures.{case.kind}")
        monkeypatch.setattr(
            module, "finish", lambda figure, **more: seen.append(figure) or finish(figure, **more)
        )
        getattr(figures, case.kind)(case)
        monkeypatch.undo()
        return seen[0]

    return of


@pytest.mark.parametrize("kind", COLUMNS)
def test_nothing_to_draw_is_said(kind):
    for other in (made(kind, []), table(kind, "a", [[1]])):
        with pytest.raises(LabError, match="Nothing to draw: "):
            getattr(figures, kind)(other)


@pytest.mark.parametrize("case", CASES)
def test_every_figure_carries_alt_text_with_numbers_machine_and_versions(case):
    picture = draw(case)
    assert any(letter.isdigit() for letter in picture.alt)
    assert picture.alt.endswith(".")
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop), haproxy 3.0.11." in picture.caption
    assert not {"nan", "None", "inf"} & set((picture.alt + picture.caption).split())


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_order_of_the_rows_does_not_matter(kind):
    rows = list(CASES[kind].rows)
    random.Random(1).shuffle(rows)
    if kind == "errors":  # measures stand in the order of the table: only the repeats are shuffled
        rows = sorted(rows, key=lambda row: (row[0], [*LATENCIES, "goodput"].index(row[1])))
    assert getattr(figures, kind)(made(kind, rows, CASES[kind].note)).png == draw(kind).png


@pytest.mark.parametrize(("kind", "guess"), [("day", 9), ("needed", 30), ("costs", 0.5)])
def test_a_guess_is_marked_inside_the_axes_and_nowhere_else(kind, guess):
    drawing = getattr(figures, kind)
    assert drawing(CASES[kind], guess=guess).png != draw(kind).png
    assert drawing(CASES[kind], guess=10**9).png == draw(kind).png


@pytest.mark.parametrize("case", CASES)
def test_no_text_is_cut_off_or_printed_over_other_text(case, drawn):
    figure = drawn(CASES[case])
    renderer = figure.canvas.get_renderer()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        for labels, limits, place in (
            (axes.get_yticklabels(), sorted(axes.get_ylim()), 1),
            (axes.get_xticklabels() if axes.get_xlabel() else [], sorted(axes.get_xlim()), 0),
        ):
            texts += [label for label in labels if limits[0] <= label.get_position()[place] <= limits[1]]
        texts += [*axes.texts, axes.xaxis.label, axes._left_title]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
        assert box.y1 <= figure.bbox.height + 1, text
    for (text, a), (other, b) in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 3, f"{text!r} over {other!r}"


# --- the day ---------------------------------------------------------------------------------------------------------------------


def area(axes, hatch: str) -> float:
    """What is filled with a hatch: hours × requests per second, by the shoelace formula."""
    found = 0.0
    for each in axes.collections:
        if each.get_hatch() == hatch:
            for path in each.get_paths():
                x, y = path.vertices.T
                found += abs(sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    return found


def test_a_single_bin_in_which_requests_failed_is_seen(drawn):
    rows = day_rows(240, 48)  # bins of half an hour
    well = drawn(made("day", rows)).axes[1]
    rows[20][4] = 2.0
    badly = drawn(made("day", rows)).axes[1]
    assert area(well, "xx") == pytest.approx(0, abs=1e-9)
    assert area(badly, "xx") == pytest.approx(2.0 * 0.5)
    assert area(badly, "////") == pytest.approx(sum(row[3] for row in rows) * 0.5)


def test_goodput_is_the_strong_line_and_falls_where_it_fell(drawn):
    rows = day_rows(240, 48)
    for row in rows[20:24]:
        row[5] = 0.0
    upper = drawn(made("day", rows)).axes[0]
    offered, kept = upper.lines[:2]
    assert kept.get_linewidth() > offered.get_linewidth()
    assert kept.get_color() == style.GOODPUT.colour
    gone = [x for x, y in zip(kept.get_xdata(), kept.get_ydata(), strict=True) if y == 0]
    assert gone == [10, 10.5, 11, 11.5]
    assert upper.get_xlim() == (0, 24)


def test_incidents_are_grounds_with_their_names_at_their_hours(drawn):
    figure = drawn(CASES["day"])
    for axes in figure.axes:
        spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches)
        assert spans == [pytest.approx((8.24, 9.68)), pytest.approx((15.8, 17.24))]
    assert [text.get_text() for text in figure.axes[0].texts] == ["s2 killed", "s1 hung"]
    assert not drawn(CASES["day, nothing went wrong"]).axes[0].patches
    alt = draw("day").alt
    assert "s2 is killed from 08:14 to 09:41: meanwhile 75 % keep the promise and 24 requests fail." in alt
    assert "s1 is hung from 15:48 to 17:14" in alt


def test_the_day_says_how_long_it_took_and_what_became_of_it(drawn):
    figure = drawn(CASES["day"])
    assert figure.axes[1].get_xlabel() == "hour of the day (24 hours in 240 s)"
    totals = draw("day").data["totals"]
    assert totals["offered"] == pytest.approx(totals["admitted"] + totals["shed"] + totals["failed"])
    assert totals["failed"] == pytest.approx(3 * 2.0 * 4)
    assert f"Of {totals['offered']:,.0f} requests" in draw("day").caption
    assert f"{100 * totals['kept'] / totals['offered']:.1f} % kept the promise" in draw("day").caption


# --- the servers that a load needs -------------------------------------------------------------------------------------------------


def test_axes_are_logarithmic_where_loads_span_more_than_a_factor_of_20(drawn):
    for top, scale in ((20.0, "linear"), (21.0, "log")):
        axes = drawn(made("needed", needed_rows((1.0, 5.0, top)))).axes[0]
        assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)


def test_lines_are_what_was_simulated_and_points_what_was_measured(drawn):
    axes = drawn(CASES["needed"]).axes[0]
    lines = {line.get_color(): line for line in axes.lines if len(line.get_xdata()) == len(LOADS)}
    simulated = {slo: [row for row in needed_rows(LOADS) if row[0] == slo] for slo in SLOS}
    assert len(lines) == 3
    for place, slo in enumerate(SLOS):
        line = lines[style.series(place).colour]
        assert list(line.get_ydata()) == [row[2] for row in simulated[slo]]
    points = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() == style.series(0).marker
    ]
    assert points == [(1, 3), (2, 5)]
    spare = [line for line in axes.lines if list(line.get_xdata()) == list(line.get_ydata()) == [1, 500]]
    assert len(spare) == 1
    assert len(axes.collections) == 3, "a band for each SLO"


def test_a_measured_point_off_the_simulated_line_is_counted():
    rows = needed_rows(LOADS, (2,))
    assert draw("needed").alt.count("2 of 2 measured points within the simulated interval") == 3
    rows[-1][2] = rows[-1][4] = rows[-1][5] = 9  # TTFT 5 s, where 4 were simulated
    alt = figures.needed(made("needed", rows)).alt
    assert alt.count("1 of 1 measured point within the simulated interval") == 2
    assert "measured 9 servers for a load of 2; 0 of 1 measured point within the simulated interval." in alt


def test_a_measured_load_has_a_bar_across_and_is_held_against_both_its_ends(drawn):
    rows = [
        ["a", load, servers, "simulated", servers, servers, load, load]
        for load, servers in ((1, 3), (2, 5), (4, 9))
    ]
    near, far = ["a", 1.5, 4, "measured", 4, 4, 1.2, 1.9], ["a", 1.5, 9, "measured", 9, 9, 1.2, 1.9]
    columns = {
        **dict.fromkeys(["slo", "load", "servers", "kind", "low", "high", "load_low", "load_high"], "")
    }
    for point, within in ((near, 1), (far, 0)):
        table = msgspec.structs.replace(CASES["needed"], columns=columns, rows=[*rows, point])
        (bar,) = (line for line in drawn(table).axes[0].lines if line.get_marker() == "|")
        assert list(bar.get_xdata()) == [1.2, 1.9]
        picture = figures.needed(table)
        assert f"{within} of 1 measured point within" in picture.alt
        assert "for a load of 1.5 (1.2 to 1.9)" in picture.alt
        assert "bars across" in picture.caption


# --- costs -------------------------------------------------------------------------------------------------------------------------


def test_rings_are_where_the_cheapest_plan_becomes_another(drawn):
    crossings = draw("costs").data["crossings"]
    assert [(ring["before"], ring["after"]) for ring in crossings] == [
        ("scale to zero", "autoscaled"),
        ("autoscaled", "always on"),
    ]
    for ring in crossings:
        ours, theirs = (PRICES[ring[side]](ring["at"]) for side in ("before", "after"))
        assert ours == pytest.approx(theirs, rel=0.02)
        assert ring["dollars"] == pytest.approx(ours, rel=0.02)
    axes = drawn(CASES["costs"]).axes[0]
    assert axes.get_yscale() == "log"
    rings = [line.get_xdata()[0] for line in axes.lines if line.get_markersize() == 11]
    assert rings == [ring["at"] for ring in crossings]
    assert "list prices of 2026-11-28" in draw("costs").caption


def test_a_dearer_plan_has_no_ring_and_the_look_of_a_plan_is_its_own(drawn):
    rows = [
        [plan, u, 100.0 if plan == "autoscaled" else price, date]
        for plan, u, price, date in cost_rows(SHARES)
    ]
    crossings = figures.costs(made("costs", rows)).data["crossings"]
    assert [(ring["before"], ring["after"]) for ring in crossings] == [("scale to zero", "always on")]
    (line,) = (line for line in drawn(CASES["costs, one"]).axes[0].lines if line.get_label() == "autoscaled")
    assert line.get_color() == style.SERIES[1].colour
    with pytest.raises(LabError, match="above 0"):
        figures.costs(made("costs", [["always on", 0.0, 3.0, "2026-11-28"]]))


# --- the simulator's error ---------------------------------------------------------------------------------------------------------


def marks(axes) -> list[tuple[str, float]]:
    """Marker and place of all dots of a panel."""
    return [
        (line.get_marker(), round(float(line.get_xdata()[0]), 6))
        for line in axes.lines
        if line.get_marker() not in ("None", "")
    ]


@pytest.mark.parametrize(
    ("error", "marker", "at"), [(0.149, "o", 0.149), (-0.151, "x", -0.151), (0.4, "x", 0.4), (3.0, ">", 0.5)]
)
def test_what_lies_outside_has_another_mark_and_its_number(error, marker, at, drawn):
    one = made("errors", [[2, "TTFT p99", 0.1, 0.1 * (1 + error), error, 0], [2, "goodput", 1, 1, 0.0, 0]])
    axes = drawn(one).axes[0]
    assert marks(axes) == [(marker, at), ("o", 0.0)]
    named = [text.get_text() for text in axes.texts]
    outside = abs(error) > 0.15
    assert named == ([f"{100 * error:+.0f} %".replace("-", "−")] if outside else [])
    assert ("Outside: TTFT p99 at 2 servers" in figures.errors(one).alt) == outside
    (ground,) = axes.patches
    assert (ground.get_x(), ground.get_x() + ground.get_width()) == pytest.approx((-0.15, 0.15))


def test_a_panel_for_each_number_of_servers_and_a_dot_for_each_repeat(drawn):
    figure = drawn(CASES["errors"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["1 server", "2 servers", "3 servers"]
    assert [len(marks(axes)) for axes in figure.axes] == [21, 21, 21]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [*LATENCIES, "goodput"]
    assert draw("errors").data["outside"] == 2
    assert "Outside ±15 %: TTFT p99 at 1 server, −22 % (1 of 3); TTFT p99 at 3 servers, +40 % (1 of 3)." in draw("errors").caption  # fmt: skip
    assert "All are within ±15 %." in draw("errors, none outside").caption


def test_what_cannot_be_compared_is_said_and_not_drawn(drawn):
    rows = [[1, "goodput", 0.0, 0.1, None, 0], [1, "goodput", 0.5, 0.5, 0.0, 1]]
    assert "1 comparison without a number." in figures.errors(made("errors", rows)).caption
    assert len(marks(drawn(made("errors", rows)).axes[0])) == 1
