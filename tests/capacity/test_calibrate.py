"""Speeds out of records: found again where they are known, and refused where a record cannot say them."""

from __future__ import annotations

import msgspec
import pytest

from llmlab.capacity.calibrate import calibrate, calibration
from llmlab.capacity.speeds import Speeds
from llmlab.errors import LabError
from llmlab.load import closed, poisson

from .made import NOISY, QUIET, record, run

KNOWN = Speeds(
    prefill=1800.0, step=(0.0026, 0.0041, 0.0052, 0.0061), overhead=0.004, attend=8e-6, square=3e-7
)


def made(speeds=KNOWN, rounds: int = 2, **more):
    return record(
        [run(plan, speeds, repeat=repeat, **more) for repeat in range(rounds) for plan in calibration(4)]
    )


@pytest.fixture(scope="module")
def known():
    return calibrate([made(jitter=2e-4)])


def test_the_speeds_of_a_server_are_found_again(known) -> None:
    found = known.speeds
    assert found.prefill == pytest.approx(KNOWN.prefill, rel=0.02)
    assert found.square == pytest.approx(KNOWN.square, rel=0.02)
    assert found.overhead == pytest.approx(KNOWN.overhead, abs=3e-4)
    assert found.attend == pytest.approx(KNOWN.attend, rel=0.02)
    assert found.step == pytest.approx(KNOWN.step, rel=0.03)
    assert known.remarks == ()


def test_each_round_has_its_own(known) -> None:
    assert len(known.rounds) == 2
    spread = known.spread["step[4]"]
    assert spread.n == 2
    assert spread.low <= known.speeds.step[3] <= spread.high


def test_a_sweep_of_the_labs_gives_speeds_and_says_what_it_does_not_give() -> None:
    sweep = [run(closed(c, requests=4 * c), KNOWN) for c in (1, 2, 4)]
    found = calibrate([record(sweep)])
    context = 32 + 32  # of a reply that is half written
    wanted = [KNOWN.step[b - 1] + KNOWN.attend * b * context for b in (1, 2, 4)]
    assert [found.speeds.step[b - 1] for b in (1, 2, 4)] == pytest.approx(wanted, rel=0.03)
    assert found.speeds.step[2] == pytest.approx((wanted[1] + wanted[2]) / 2, rel=0.03)
    assert (found.speeds.attend, found.speeds.square) == (0.0, 0.0)
    text = " ".join(found.remarks)
    assert "square = 0" in text
    assert "attend = 0" in text
    assert "Interpolated: the step with 3 slots" in text


def test_steps_of_more_than_four_slots_are_measured_at_powers_of_two() -> None:
    plans = calibration(12)
    assert sorted({plan.concurrency for plan in plans}) == [1, 2, 4, 8, 12]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (lambda: [], "no record to calibrate from"),
        (lambda: [record([run(closed(1, requests=4), KNOWN)])], "At most 1 of 4 slots generated"),
        (lambda: [record([run(closed(c, requests=8), KNOWN) for c in (2, 4)])], "No request was alone"),
        (
            lambda: [record([run(closed(c, requests=9, max_tokens=2), KNOWN) for c in (1, 4)])],
            "No reply in these records",
        ),
        (lambda: [made(noise=NOISY)], "too noisy to calibrate from: a build"),
        (lambda: [made(), record([], model="200m")], "different models: 200m .*, 20m"),
        (lambda: [made(), record([], threads=2)], "different numbers of threads: 1, 2"),
    ],
)
def test_what_a_record_cannot_carry_is_said(records, words: str) -> None:
    with pytest.raises(LabError, match=words):
        calibrate(records())


def test_rounds_that_disagree_are_refused() -> None:
    slow = msgspec.structs.replace(KNOWN, step=tuple(2 * s for s in KNOWN.step))
    runs = made(rounds=1).runs + [msgspec.structs.replace(it, repeat=1) for it in made(slow, rounds=1).runs]
    with pytest.raises(LabError, match=r"rounds disagree on step\[4\]"):
        calibrate([record(runs)])


def test_noisy_runs_are_left_out_and_said() -> None:
    slow = msgspec.structs.replace(KNOWN, step=tuple(9 * s for s in KNOWN.step), prefill=200.0)
    runs = made(noise=QUIET).runs + [
        msgspec.structs.replace(it, repeat=7) for it in made(slow, rounds=1, noise=NOISY).runs
    ]
    found = calibrate([record(runs)])
    assert found.speeds.prefill == pytest.approx(KNOWN.prefill, rel=0.02)
    assert "7 of 21 runs were noisy" in found.remarks[0]


def test_an_open_load_whose_requests_meet_gives_the_same_steps() -> None:
    """Prompts that come while others generate stop these; such gaps are no decode steps."""
    runs = [run(plan, KNOWN) for plan in calibration(4)] + [
        run(poisson(3.0, requests=60, prompt_tokens=300), KNOWN)
    ]
    assert calibrate([record(runs)]).speeds.step == pytest.approx(KNOWN.step, rel=0.03)


def test_a_calibration_that_cannot_be_is_refused() -> None:
    with pytest.raises(LabError, match="needs a slot"):
        calibration(0)
