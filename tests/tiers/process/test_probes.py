"""A speed compared with a reference's: the speeds are given, the judgement is tested."""

from __future__ import annotations

from itertools import cycle
from types import SimpleNamespace

import pytest

from llmlab.tiers.process import probes


@pytest.fixture
def judged(monkeypatch):
    """The verdict on these ratios (they repeat), and how many pairs it took."""
    monkeypatch.setattr(probes.stats, "tokens_per_second", lambda run: run.speed)

    def run(speed, foreign):
        noise = SimpleNamespace(noisy=foreign > 0.15, foreign_cpu=foreign)
        return SimpleNamespace(speed=speed, noise=noise)

    def judge(ratios, foreign=(0.0,), **more):
        taken = cycle(foreign)
        learner, reference = (SimpleNamespace(command=name) for name in ("learner", "reference"))
        speeds = {
            "learner": (100 * ratio for ratio in cycle(ratios)),
            "reference": (100.0 for _ in cycle([1])),
        }
        ctx = SimpleNamespace(
            seed=1,
            say=lambda _: None,
            measure=lambda server, _: SimpleNamespace(runs=[run(next(speeds[server.command]), next(taken))]),
        )
        verdict = probes.compare_speed(
            ctx, learner=learner, reference=reference, plan=None, at_least=0.8, **more
        )
        return verdict.status, verdict.data["pairs"]

    return judge


@pytest.mark.parametrize(
    ("ratios", "verdict", "pairs"),
    [
        ([1.0], "passed", 4),
        ([0.82], "passed", 4),
        ([0.7], "failed", 8),
        ([0.1], "failed", 3),
        ([1.1, 0.7, 1.0, 0.9], "passed", 4),
        ([0.9, 0.7, 0.72, 0.88], "inconclusive", 8),
        ([0.5, 0.6, 0.4, 0.7, 1.0, 1.0, 1.0, 1.0], "passed", 8),
        ([0.3], "failed", 3),
        ([0.3, 0.3, 0.5], "failed", 8),
    ],
)
def test_it_passes_soon_fails_late_and_says_when_it_cannot_tell(judged, ratios, verdict, pairs):
    assert judged(ratios) == (verdict, pairs)


@pytest.mark.parametrize(
    ("ratios", "foreign", "verdict"),
    [
        ([0.5], [0.4], "inconclusive"),
        ([0.5], [0.4, 0.0], "inconclusive"),
        ([0.5], [0.4, 0.0, 0.0], "failed"),
        ([0.1], [0.4], "failed"),  # a fifth of the reference is no neighbour's doing
        ([1.0], [0.4], "passed"),
        ([0.3], [0.4, 0.0], "inconclusive"),
    ],
)
def test_who_is_slow_beside_busy_others_has_not_failed(judged, ratios, foreign, verdict):
    assert judged(ratios, foreign=foreign)[0] == verdict


def test_a_longer_budget_is_used_only_where_it_is_needed(judged):
    assert judged([1.0], budget=20) == ("passed", 4)
    assert judged([0.7], budget=20) == ("failed", 8)
    assert judged([0.9, 0.7, 0.72, 0.88], budget=20)[1] >= 8


def test_a_lab_may_say_from_where_on_no_neighbour_is_to_blame(judged):
    assert judged([0.3], foreign=[0.4], far=0.4) == ("failed", 3)
    assert judged([0.45], foreign=[0.4], far=0.4) == ("inconclusive", 8)


@pytest.mark.parametrize(
    ("speeds", "measured"),
    [({1: [100, 100], 2: [40]}, {1: 2, 2: 1}), ({1: [70, 70], 2: [100, 100]}, {1: 2, 2: 2})],
    ids=["one is far behind", "near each other"],
)
def test_the_fastest_is_measured_again_and_so_is_who_is_near(monkeypatch, speeds, measured):
    monkeypatch.setattr(probes.stats, "tokens_per_second", lambda run: run)
    left = {threads: iter(given) for threads, given in speeds.items()}
    counts = dict.fromkeys(speeds, 0)

    def measure(server, _):
        threads = server.spec.flags["threads"]
        counts[threads] += 1
        return SimpleNamespace(runs=[next(left[threads])])

    ctx = SimpleNamespace(
        reference=lambda spec: SimpleNamespace(spec=spec),
        say=lambda _: None,
        measure=measure,
        stop=lambda _: None,
    )
    specs = [SimpleNamespace(flags={"threads": threads}) for threads in speeds]
    best = probes.fastest(ctx, specs, plan=None)
    assert best.spec.flags["threads"] == max(speeds, key=lambda threads: max(speeds[threads]))
    assert counts == measured
