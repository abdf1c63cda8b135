"""The exact mean waits: against each other, against values worked out by hand, and the simulator against them."""

from __future__ import annotations

import math

import loads
import numpy as np
import pytest

from llmlab.capacity import formulas
from llmlab.capacity.fleet import Replicas
from llmlab.capacity.simulate import simulate
from llmlab.errors import LabError


def test_one_server_is_the_same_in_all_three():
    for load in (0.1, 0.5, 0.9):
        assert formulas.mmc_wait(load, 1.0, 1) == pytest.approx(formulas.mg1_wait(load, 1.0, 1))
        assert formulas.mdc_wait(load, 1.0, 1) == pytest.approx(formulas.mg1_wait(load, 1.0, 0), rel=1e-9)
        assert formulas.erlang_c(load, 1.0, 1) == pytest.approx(load)


def test_erlang_c_by_its_sum():
    servers, load = 5, 4.2
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    plain = last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)
    assert formulas.erlang_c(2.1, 2.0, servers) == pytest.approx(plain)
    assert formulas.mmc_wait(2.1, 2.0, servers) == pytest.approx(plain / (servers / 2.0 - 2.1))


def test_the_unit_of_time_is_anybodys():
    assert formulas.mdc_wait(3.0, 1.0, 4) == pytest.approx(formulas.mdc_wait(3000.0, 0.001, 4) * 1000)


def test_constant_service_halves_the_wait_of_many_servers_under_a_heavy_load():
    """Cosmetatos' and Kingman's limit: (1 + scv) / 2, scv 0."""
    assert formulas.mdc_wait(9.6, 1.0, 10) / formulas.mmc_wait(9.6, 1.0, 10) == pytest.approx(0.5, abs=0.02)


def test_no_load_and_too_much():
    assert formulas.mdc_wait(0.0, 1.0, 2) == formulas.mmc_wait(0.0, 1.0, 2) == 0
    for formula in (formulas.erlang_c, formulas.mmc_wait, formulas.mdc_wait):
        with pytest.raises(LabError, match="the queue has no mean"):
            formula(2.0, 1.0, 2)
    with pytest.raises(LabError, match="the queue has no mean"):
        formulas.mg1_wait(1.0, 1.0, 0)


def interval(waits, batches=30):
    """The mean of waits, and the half width of its 95 % interval by the means of batches."""
    means = np.array([part.mean() for part in np.array_split(waits, batches)])
    return means.mean(), 2.05 * means.std(ddof=1) / math.sqrt(batches)


@pytest.mark.parametrize(
    ("servers", "slots", "load", "rounds"), [(1, 1, 0.7, 1), (1, 4, 0.8, 1), (5, 2, 0.7, 3)]
)
@pytest.mark.parametrize("kind", ["M", "D"])
def test_the_simulators_mean_waits_are_the_formulas(servers, slots, load, rounds, kind):
    """Within 2 %, which is more than the 95 % interval of so many requests (±0.6 to ±1.6 %)."""
    count, whole = servers * slots, 1 + round(1 / loads.STEP)
    formula, lengths = {
        "M": (formulas.mmc_wait, lambda draw, many: 1.5 + draw.exponential(1 / loads.STEP, many)),
        "D": (formulas.mdc_wait, lambda draw, many: np.full(many, whole)),
    }[kind]
    waits = []
    for seed in range(rounds):
        trace = loads.poisson(4_000_000, load * count, lengths, seed=count + seed)
        waits.append(simulate(trace, loads.steady(slots), Replicas(servers=servers)).wait_s[100_000:])
    exact, (mean, half) = formula(load * count, 1.0, count), interval(np.concatenate(waits))
    print(
        f"M/{kind}/{count} at {load}: {mean:.5f} s ± {half / exact:.1%}, exact {exact:.5f} s, off {mean / exact - 1:+.2%}"
    )
    assert half / exact < 0.02
    assert abs(mean / exact - 1) < 0.02
    if kind == "M":
        waited = np.mean([(part > 0).mean() for part in waits])
        assert waited == pytest.approx(formulas.erlang_c(load * count, 1.0, count), rel=0.02)
