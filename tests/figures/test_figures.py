"""The figures say the truth about the record, in the picture's words as well as in its pixels."""

from __future__ import annotations

import io
import math
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import factory
import msgspec
import pytest

from llmlab import figures
from llmlab.errors import LabError
from llmlab.figures import style, words
from llmlab.figures.timeline import in_flight
from llmlab.records import stats
from llmlab.records.schema import Device, Record

SLO = stats.SLO(ttft_ms=300, e2e_ms=600)
DRAW = {
    "throughput": lambda: figures.throughput(factory.sweep(), SLO),
    "latency_cdf": lambda: figures.latency_cdf(factory.sweep(), SLO),
    "timeline": lambda: figures.timeline(factory.sweep(), run=3),
    "threads": lambda: figures.threads(factory.thread_sweep()),
    "sessions": lambda: figures.sessions(factory.talks(), SLO),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_carries_alt_text_units_n_machine_and_engine(name: str) -> None:
    picture = DRAW[name]()
    assert len(picture.alt) > 80
    assert any(c.isdigit() for c in picture.alt)
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop)" in picture.caption
    assert "xllamacpp 2026.10.11549" in picture.caption
    assert "request" in picture.caption
    assert "nan" not in (picture.alt + picture.caption).lower()
    assert picture.data


@pytest.mark.parametrize("name", DRAW)
def test_same_record_same_bytes(name: str) -> None:
    assert DRAW[name]().png == DRAW[name]().png


@pytest.mark.parametrize("name", DRAW)
def test_no_text_is_cut_off_or_printed_over_other_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    finish = style.finish

    def keep(figure: object, **more: object) -> object:
        seen.append(figure)
        return finish(figure, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(
        sys.modules[f"llmlab.figures.{'latency' if name == 'latency_cdf' else name}"], "finish", keep
    )
    DRAW[name]()
    (figure,) = seen
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = []
    for axes in figure.axes:  # type: ignore[attr-defined]
        inside = axes.get_ylim()
        ticks = [t for t in axes.get_yticklabels() if min(inside) <= t.get_position()[1] <= max(inside)]
        texts = [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes._left_title, *ticks]
        boxes += [
            (t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()
        ]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text  # type: ignore[attr-defined]
        assert box.y1 <= figure.bbox.height + 1, text  # type: ignore[attr-defined]
    for i, (label, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert min(overlap) < 3, f"{label!r} over {other!r}"


def test_throughput_says_where_it_stops_growing() -> None:
    picture = figures.throughput(factory.sweep())
    assert "stops growing at concurrency 4" in picture.alt
    assert "The server has 4 slots" in picture.alt
    numbers = picture.data["servers"][0]
    assert numbers["x"] == [1, 2, 4, 8, 16]
    want = [stats.tokens_per_second(r) for r in factory.sweep().runs if r.plan.concurrency == 8]
    assert numbers["tokens_per_second_range"][3] == pytest.approx([min(want), max(want)])
    assert "3 repeats (median; bars: lowest to highest)" in picture.caption


def test_throughput_still_growing_is_not_called_a_knee() -> None:
    picture = figures.throughput(factory.sweep(concurrencies=(1, 2, 4), gain=0.9))
    assert "still growing at the highest load measured" in picture.alt


def test_noisy_and_client_limited_runs_are_named() -> None:
    picture = figures.throughput(factory.sweep(noisy=((8, 1),), limited=(16,)))
    assert "Hollow: noisy, others took up to 31 % of the CPU (concurrency 8 repeat 2)" in picture.caption
    assert (
        "Crossed out: the client, not the server, may have been the limit (concurrency 16)" in picture.caption
    )
    assert picture.data["servers"][0]["noisy"] == [False, False, False, True, False]
    plain = figures.throughput(factory.sweep())
    assert figures.throughput(factory.sweep(noisy=((8, 1),))).png != plain.png
    assert figures.throughput(factory.sweep(limited=(16,))).png != plain.png
    assert "Hollow" not in plain.caption
    assert "Crossed" not in plain.caption


def test_all_runs_noisy_is_said_once() -> None:
    picture = figures.throughput(
        factory.sweep(noisy=tuple((c, r) for c in (1, 2, 4, 8, 16) for r in range(3)))
    )
    assert "of the CPU (every run)" in picture.caption


def test_goodput_falls_where_the_slo_breaks() -> None:
    good = figures.throughput(factory.sweep(), SLO).data["servers"][0]["goodput_tokens_per_second"]
    assert good[2] > 5 * good[4]


def test_two_servers_are_told_apart_by_what_differs() -> None:
    runs = [factory.run(concurrency=c, slots=s, index=i) for i, s in enumerate((1, 4)) for c in (1, 4)]
    picture = figures.throughput(factory.record(runs, [factory.server(slots=1), factory.server(slots=4)]))
    assert [s["name"] for s in picture.data["servers"]] == ["1 slot", "4 slots"]


def test_p95_of_few_requests_is_left_out_and_said() -> None:
    picture = figures.throughput(factory.record([factory.run(concurrency=c, requests=8) for c in (1, 4)]))
    assert picture.data["servers"][0]["e2e_p95_s"] == [None, None]
    assert "p95 is drawn from 20 requests on" in picture.caption
    assert "50 % of requests get their first token" in picture.alt


def test_open_loop_is_drawn_against_offered_rate() -> None:
    picture = figures.throughput(factory.record([factory.run(rate=r, requests=40) for r in (2, 20)]))
    assert picture.data["x"] == "rate"
    assert "from the moment a request was due" in picture.caption


def test_waiting_for_a_late_client_counts_as_latency() -> None:
    run = factory.run(rate=10, requests=30)
    late = [msgspec.structs.replace(s, scheduled=s.scheduled - 5) for s in run.samples]
    record = factory.record([msgspec.structs.replace(run, samples=late)])
    assert min(figures.throughput(record).data["servers"][0]["ttft_p50_s"]) > 5
    assert min(figures.latency_cdf(record).data["runs"][0]["ttft_s"]) > 5


@pytest.mark.parametrize(
    ("module", "draw", "inside", "panels"),
    [
        ("latency", lambda **guess: figures.latency_cdf(factory.sweep(), **guess), 0.1, [1, 0]),
        ("threads", lambda **guess: figures.threads(factory.thread_sweep(), **guess), 2, [1]),
    ],
)
def test_a_guess_is_marked_in_the_panel_whose_axis_it_lies_on(
    module: str, draw: Any, inside: float, panels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    finish = style.finish
    monkeypatch.setattr(
        sys.modules[f"llmlab.figures.{module}"],
        "finish",
        lambda f, **more: seen.append(f) or finish(f, **more),
    )
    for guess in ({"guess": inside}, {"guess": 1e6}, {"guess": "none"}, {}):
        draw(**guess)
    said = [[[t.get_text() for t in axes.texts].count("your guess") for axes in f.axes] for f in seen]
    assert said == [panels, *[[0] * len(panels)] * 3]


def test_failed_requests_never_arrive_in_a_cdf() -> None:
    picture = figures.latency_cdf(factory.record([factory.run(concurrency=4, requests=40, fail=(3, 9))]))
    run = picture.data["runs"][0]
    assert (len(run["e2e_s"]), run["requests"]) == (38, 40)
    assert "2 of 40 requests failed" in picture.caption


def test_a_run_where_everything_failed_is_still_drawn() -> None:
    dead = factory.record([factory.run(concurrency=2, requests=4, fail=(0, 1, 2, 3))])
    assert "4 of 4 requests failed" in figures.throughput(dead).caption
    assert "never" in figures.latency_cdf(dead).alt
    assert "4 requests failed" in figures.timeline(dead).alt


def test_timeline_counts_what_is_in_flight() -> None:
    record = factory.record([factory.run(concurrency=8, requests=40)])
    times, waiting, decoding = in_flight(record.runs[0].samples)
    assert max(w + d for w, d in zip(waiting, decoding, strict=True)) == 8
    assert max(decoding) == 4
    assert (waiting[-1], decoding[-1]) == (0, 0)
    assert times == sorted(times)
    assert "at most 8 in flight at once on 4 slots; at most 4 decode at once" in figures.timeline(record).alt


def test_timeline_of_a_long_run_says_what_it_leaves_out() -> None:
    assert (
        "Bars: the first 120"
        in figures.timeline(factory.record([factory.run(rate=20, requests=150)])).caption
    )


def test_threads_names_the_best_and_the_cliff() -> None:
    picture = figures.threads(factory.thread_sweep())
    one, two, free = picture.data["quotas"]
    assert (one["cpus"], one["best_threads"]) == (1.0, 1)
    assert one["cliff"] == pytest.approx(17, rel=0.15)
    assert two["best_threads"] == 2
    assert two["cliff"] == pytest.approx(139 / 17, rel=0.15)
    assert free["cpus"] is None
    assert "17× slower at 8 threads" in picture.alt
    assert "Throttled in up to 86 % of periods" in picture.caption


def test_sessions_say_what_was_in_the_cache_turn_by_turn() -> None:
    picture = figures.sessions(factory.talks())
    kept, lost = picture.data["lines"]
    assert [kept["name"], lost["name"]] == ["one replica", "round robin"]
    assert kept["cached_percent"] == [0, pytest.approx(100 / 2), pytest.approx(100 * 2 / 3)]
    assert lost["cached_percent"] == [0, 0, 0]
    assert kept["cached_share"] == pytest.approx((100 + 200) / 600)
    assert "0 % of the first turn's prompt tokens were in the cache, 67 % of the last one's" in picture.alt


def test_sessions_mark_the_guessed_percentage() -> None:
    plain = figures.sessions(factory.talks())
    assert figures.sessions(factory.talks(), guess=40).png != plain.png
    assert figures.sessions(factory.talks(), guess=None).png == plain.png


def test_sessions_are_drawn_from_sessions_alone() -> None:
    with pytest.raises(LabError, match="holds no runs of sessions"):
        figures.sessions(factory.sweep())


def test_a_device_that_was_not_found_is_said() -> None:
    server = factory.server(device=Device(asked="cuda", used="cpu", note="no CUDA device"))
    picture = figures.throughput(factory.record([factory.run(concurrency=1)], [server]))
    assert "CPU (cuda was asked for: no CUDA device)" in picture.caption


@pytest.mark.parametrize(
    "draw", [figures.throughput, figures.latency_cdf, figures.timeline, figures.threads, figures.recorded]
)
def test_every_figure_of_a_server_says_that_another_device_was_asked_for(draw: Any) -> None:
    server = factory.server(device=Device(asked="cuda", used="cpu", note="no CUDA device"), threads=2)
    record = factory.record([factory.run(concurrency=1)], [server], kind="threads")
    picture = draw(record, []) if draw is figures.recorded else draw(record)
    assert "CPU (cuda was asked for: no CUDA device)" in picture.caption


def test_what_made_a_found_device_slow_is_said() -> None:
    device = Device(
        asked="cuda", used="cuda", name="CUDA0: NVIDIA T4", note="PTX is compiled at the first start"
    )
    picture = figures.throughput(
        factory.record([factory.run(concurrency=1)], [factory.server(device=device)])
    )
    assert "CUDA0: NVIDIA T4 (PTX is compiled at the first start)" in picture.caption


def test_a_figure_is_drawn_from_json_alone() -> None:
    record = factory.sweep()
    again = msgspec.json.decode(msgspec.json.encode(record), type=Record)
    assert figures.throughput(again).png == figures.throughput(record).png


@pytest.mark.parametrize("draw", [figures.throughput, figures.latency_cdf, figures.timeline, figures.threads])
def test_nothing_measured_is_an_error_that_says_what_to_do(draw: object) -> None:
    with pytest.raises(LabError) as caught:
        draw(factory.record([]))  # type: ignore[operator]
    assert caught.value.fix


def test_mimebundle_has_alt_caption_and_text() -> None:
    picture = figures.Picture(png=figures.live([]).png, alt='a "b" <c>', caption="n & m")
    bundle = picture._repr_mimebundle_()
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in bundle["text/html"]
    assert "<figcaption" in bundle["text/html"]
    assert "n &amp; m" in bundle["text/html"]
    assert bundle["text/plain"] == 'a "b" <c>'


def test_save_writes_the_png_with_its_alt_text_inside(tmp_path: Path) -> None:
    from PIL import Image

    picture = DRAW["threads"]()
    path = picture.save(tmp_path / "new" / "a.png")
    with Image.open(path) as image:
        image.load()
        assert image.size == picture.size
        assert image.info["Description"] == picture.alt
    with pytest.raises(LabError, match="PNG"):
        picture.save(tmp_path / "a.svg")
    with pytest.raises(LabError, match="not saved"):
        picture.save(path / "under-a-file.png")


def test_live_is_small_and_quick() -> None:
    points = [(0.25 * i, 500.0 + i) for i in range(200)]
    figures.live(points)
    best = math.inf
    for _ in range(5):
        begin = time.process_time()
        picture = figures.live(points, label="concurrency 4")
        best = min(best, time.process_time() - begin)
    assert best < 0.15  # 35 ms on an idle machine
    assert len(picture.png) < 30_000
    assert "699 tokens/s" in picture.alt


def test_pyplot_and_its_global_state_are_never_touched() -> None:
    import subprocess

    code = (
        "import sys, llmlab.figures as f; f.live([(0, 1), (1, 2)]); print('matplotlib.pyplot' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_labels_can_be_read_and_are_kept_apart() -> None:
    for mark in (
        *style.SERIES,
        style.THROUGHPUT,
        style.FIRST_TOKEN,
        style.END_TO_END,
        style.GOODPUT,
        style.SLO_LIMIT,
    ):
        assert style.contrast(mark.ink) >= 4.5
    cues = [(m.marker, m.dash) for m in style.SERIES]
    assert len({m.marker for m in style.SERIES}) == len({str(d) for _, d in cues}) == len(style.SERIES)
    places = style.spread([0.5, 0.51, 0.52, 0.99], 0.1)
    assert all(b - a >= 0.0999 for a, b in pairwise(places))
    assert style.spread([0.9, 0.2], 0.1) == [0.9, 0.2]


@pytest.mark.parametrize(
    ("value", "text"), [(1371.2, "1,371"), (61.34, "61.3"), (0.968, "0.97"), (math.nan, "–")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_png_is_a_png() -> None:
    from PIL import Image

    with Image.open(io.BytesIO(DRAW["throughput"]().png)) as image:
        assert image.format == "PNG"
