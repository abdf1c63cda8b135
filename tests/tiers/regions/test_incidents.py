"""What is read from users' requests around an incident: the figures a learner is graded by, on requests that are written down here."""

from __future__ import annotations

import math

import pytest

from llmlab.tiers.regions.probes import Incident, Load, early_share, recovery, returns
from llmlab.tiers.regions.users import UserRequest


def row(
    over: float, region: str = "us", status: int = 200, users: str = "NA", took: float = 0.2
) -> UserRequest:
    return UserRequest(
        users,
        f"{users}-0",
        over - took,
        over,
        region if status == 200 else "",
        region,
        status,
        4 if status == 200 else 0,
    )


def every(begin: float, end: float, step: float = 0.5, **more) -> list[UserRequest]:
    return [row(begin + n * step, **more) for n in range(int((end - begin) / step))]


def test_recovery_is_the_end_of_the_last_failure():
    rows = [*every(0, 2), row(2.3, status=0), row(4.5, status=503), *every(5, 9, region="eu")]
    assert recovery(rows, ["NA"], 2.0, 9.0) == pytest.approx(2.5)
    assert recovery([*every(0, 9)], ["NA"], 2.0, 9.0) == 0.0


def test_one_of_two_that_is_not_served_again_is_never():
    rows = [*every(0, 9, users="SA"), row(3, status=0), row(8.9, status=0)]
    assert math.isinf(recovery(rows, ["NA", "SA"], 2.0, 9.0))
    assert math.isinf(recovery(every(0, 9, users="SA"), ["NA", "SA"], 2.0, 9.0))


def test_a_failure_just_before_it_came_back_is_no_recovery():
    rows = [row(3, status=0), row(8.7, status=0), row(8.9, region="eu")]
    assert math.isinf(recovery(rows, ["NA"], 2.0, 9.0))


def test_returns_are_gaps_that_end_and_the_end_itself():
    assert returns(every(0, 10), "us", 2.0, 8.0) == 1  # it was never left
    assert returns([*every(0, 2), *every(9, 12)], "us", 2.0, 8.0) == 1
    assert returns([*every(0, 2), *every(5, 6), *every(9, 12)], "us", 2.0, 8.0) == 2
    assert returns([*every(0, 2), *every(4, 5), *every(7, 7.6), *every(9, 12)], "us", 2.0, 8.0) == 3
    assert returns(every(0, 2), "us", 2.0, 8.0) == 0  # it never came back
    # Back, and slowly: what happens after the incident is no second one.
    assert returns([*every(0, 2), row(9), row(12), row(15)], "us", 2.0, 8.0) == 1


def test_the_first_moments_back_are_measured_by_what_was_before():
    gentle = [*every(0, 3, 0.1), *every(8, 9.5, 0.3), *every(9.5, 12, 0.1)]
    crowd = [*every(0, 3, 0.1), *every(8, 12, 0.1)]
    shares = [early_share(Incident("killed", "us", 3.0, 7.0, {"it": rows}), "it") for rows in (gentle, crowd)]
    assert shares[0] < 0.5 < 0.9 < shares[1]
    assert math.isnan(early_share(Incident("killed", "us", 3.0, 7.0, {"it": every(0, 3)}), "it"))


def test_a_load_is_served_shed_or_lost():
    load = Load([*every(0, 10, took=0.3), row(1, status=429), row(1, status=0), row(1, status=503)])
    assert (len(load.served), len(load.shed), len(load.lost)) == (20, 1, 2)
    assert load.p95() == pytest.approx(0.3)
    assert math.isinf(Load([row(1, status=429)]).p95())
