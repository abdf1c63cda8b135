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


def test_the_simulators_mean_waits_are_the_formulas():
    """Within 2 %, which is more than the 95 % interval of so many requests (±0.6 to ±1.9 %)."""
    wide = []
    for servers, slots, load in ((1, 1, 0.7), (1, 4, 0.8), (5, 2, 0.7), (8, 2, 0.75)):
        count = servers * slots
        for kind, draws in {
            "M": lambda draw, many: 1.5 + draw.exponential(1 / loads.STEP, many),
            "D": lambda draw, many: np.full(many, 1 + round(1 / loads.STEP)),
        }.items():
            exact = {"M": formulas.mmc_wait, "D": formulas.mdc_wait}[kind](load * count, 1.0, count)
            trace = loads.poisson(4_000_000, load * count, draws, seed=count)
            ours = simulate(trace, loads.steady(slots), Replicas(servers=servers))
            mean, half = interval(ours.wait_s[100_000:])
            wide.append(half / exact)
            print(f"M/{kind}/{count} at {load}: {mean:.5f} s ± {half / exact:.1%}, exact {exact:.5f} s, off {mean / exact - 1:+.2%}")
            assert abs(mean / exact - 1) < 0.02, (kind, servers, slots, load)
            if kind == "M":
                assert (ours.wait_s > 0).mean() == pytest.approx(formulas.erlang_c(load * count, 1.0, count), rel=0.02)
    assert max(wide) < 0.02
