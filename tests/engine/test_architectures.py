"""Which machine code runs where, which toolkit makes it, which driver runs that."""

from __future__ import annotations

import pytest

from llmlab.engine.architectures import archs, fit, highest, refused, too_new


@pytest.mark.parametrize(
    ("capability", "held", "found"),
    [
        (90, ["90-real"], "code"),
        (89, ["80-real"], "code"),  # within a major number, upwards
        (80, ["86-real"], "none"),  # and never downwards
        (90, ["80-real"], "none"),  # code of another major number
        (90, ["80-virtual"], "ptx"),
        (90, ["80"], "ptx"),  # both, or nobody said
        (75, ["80", "90"], "none"),  # nothing made for a later one runs on an earlier
        (120, ["120a-real"], "code"),
        (121, ["120a-real"], "none"),  # for that one alone
        (121, ["120f-real"], "code"),
        (120, ["90-virtual", "100a-real"], "ptx"),
        (90, [], "none"),
    ],
)
def test_fit(capability, held, found):
    assert fit(capability, held) == found


@pytest.mark.parametrize(
    ("toolkit", "most"),
    [("10.2", 75), ("11.0", 80), ("11.6", 87), ("11.8", 90), ("12.6", 90), ("12.8", 120), ("13.0", 121)],
)
def test_the_highest_that_a_toolkit_makes(toolkit, most):
    assert highest(toolkit) == most


def test_what_a_toolkit_does_not_make_yet_or_any_more():
    assert "needs 12.8" in refused(120, "12.4")
    assert refused(120, "12.8") is None
    assert "12.9 was the last" in refused(61, "13.0")
    assert refused(61, "12.9") is None
    assert refused(999, "12.4") is None  # unknown: not refused


def test_archs_are_what_nvcc_was_given():
    assert archs("… | CUDA : ARCHS = 500,1200 | USE_GRAPHS = 1 |") == ("50", "120")
    assert archs("| CPU : SSE3 = 1 |") == ()


def test_a_driver_runs_its_own_major_version_and_those_before():
    assert too_new("12.9", "535.183.01") is None
    assert too_new("11.8", "580.95.05") is None
    assert "needs driver 580" in too_new("13.0", "570.133.20")
    assert "needs driver 525" in too_new("12.0", "470.182.03")
