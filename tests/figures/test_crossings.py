"""Where two lines cross on logarithmic axes: exactly where the laws behind them say."""

from __future__ import annotations

import pytest

from llmlab.figures.crossings import crossing, money, rings
from llmlab.figures.style import new_figure


def test_power_laws_cross_where_they_are_equal():
    first, second = (lambda x: 3.0 / x), (lambda x: 5.0 / x**2)  # equal at 5/3
    x, y = crossing(*((at, first(at), second(at)) for at in (1.0, 4.0)))
    assert (x, y) == pytest.approx((5 / 3, 9 / 5))
    assert crossing((1.0, 2.0, 3.0), (4.0, 2.0, 3.0)) is None
    assert crossing((1.0, 2.0, 2.0), (4.0, 2.0, 3.0)) == (1.0, 2.0)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_of_rings_are_apart_and_inside(scale):
    axes = new_figure().subplots()
    axes.set_xscale(scale)
    axes.set_yscale("log")
    axes.plot([1, 2, 4], [1, 10, 100])
    rings(axes, [(2.0, 10.0, "one"), (2.05, 10.5, "another"), (1.01, 1.0, "in the corner")])
    first, second, corner = (text.get_position() for text in axes.texts)
    assert abs(first[1] - second[1]) >= 0.055
    assert min(corner) >= 0
    assert axes.texts[2].get_ha() == "left"


def test_money_has_three_digits():
    assert [money(value) for value in (1371.2, 12.34, 0.9731)] == ["$1,371", "$12.3", "$0.973"]
