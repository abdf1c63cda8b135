"""Fixtures: made once a run and closed in reverse order; and whose fault it is when one cannot be made."""

from __future__ import annotations

import pytest

from llmlab.checks import Context, DeploymentFailed, fixture
from llmlab.errors import LabError, Unavailable


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "a.yaml").write_text("theirs")
    made = Context(files=tmp_path, seed=1, answers={}, profile="binder")
    yield made
    made.close()


def test_it_is_made_once_a_run_and_closed_in_reverse_order(ctx):
    events = []

    @fixture
    def below(ctx):
        """What it is."""
        events.append("below")
        yield "ground"
        events.append("below ends")

    @fixture
    def above(ctx):
        events.append(f"above on {below(ctx)}")
        yield ["house"]
        events.append("above ends")

    assert above(ctx) is above(ctx)
    assert below(ctx) == "ground"
    assert events == ["below", "above on ground"]
    ctx.close()
    assert events == ["below", "above on ground", "above ends", "below ends"]
    assert below.__doc__ == "What it is."


def test_arguments_are_part_of_what_is_asked_for(ctx):
    made = []

    @fixture
    def loss(ctx, how):
        made.append(how)
        return [how]

    assert loss(ctx, "slow") is loss(ctx, "slow")
    assert loss(ctx, "killed") == ["killed"]
    assert made == ["slow", "killed"]


def test_trouble_while_it_is_made_is_the_learners_for_every_check_that_asks(ctx):
    tries = []

    @fixture
    def stack(ctx):
        tries.append(1)
        raise LabError("It does not start.", where=f"{ctx.files}/b.yaml:3")
        yield

    for _ in range(2):
        with pytest.raises(DeploymentFailed, match=r"It does not start\.\s+where: b.yaml:3"):
            stack(ctx)
    assert tries == [1]


def test_what_the_lab_brings_along_is_nobodys_fault_also_below_a_learners_fixture(ctx):
    @fixture(ours=True)
    def world(ctx):
        raise LabError("No world today.")

    @fixture(ours=True)
    def theirs(ctx):
        raise LabError("No such key.", where="a.yaml:3")

    @fixture
    def stack(ctx, base):
        return base(ctx)

    for _ in range(2):
        with pytest.raises(LabError, match="No world today"):
            stack(ctx, world)
    with pytest.raises(DeploymentFailed, match="No such key"):
        stack(ctx, theirs)


def test_the_machines_trouble_stays_that_and_is_tried_again(ctx):
    left = [Unavailable("The disk is full.")]

    @fixture
    def stack(ctx):
        if left:
            raise left.pop()
        return "up"

    with pytest.raises(Unavailable):
        stack(ctx)
    assert stack(ctx) == "up"


def test_what_came_up_before_the_trouble_ends_with_it(ctx):
    events = []

    @fixture
    def stack(ctx):
        try:
            raise LabError("Late.")
            yield
        finally:
            events.append("down")

    with pytest.raises(DeploymentFailed):
        stack(ctx)
    assert events == ["down"]
