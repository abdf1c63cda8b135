"""A stack as a notebook handles it: the door's configuration, what Terraform objects to, the longest reply."""

from __future__ import annotations

from types import SimpleNamespace

import factory
import pytest

from llmlab.errors import LabError
from llmlab.records import stats
from llmlab.tiers.aws.notebook import project
from llmlab.tiers.aws.notebook.door import LiveFront
from llmlab.tiers.aws.notebook.longest import Longest
from llmlab.tiers.aws.notebook.project import LiveInfra


class StandInFront:
    """A door that opens or does not."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble, self.closed = trouble, False
        self.door = SimpleNamespace(config="frontend https\n  bind :443\n", targets={"a": ["10.0.0.2:8080"]})

    def ready(self, port: int) -> None:
        if self.trouble:
            raise self.trouble

    def close(self) -> None:
        self.closed = True


ACCOUNT = SimpleNamespace(domain="llm.example.com", key="sk-1")


def test_the_doors_configuration_is_shown_as_it_was_written():
    live = LiveFront(StandInFront(), 443, ACCOUNT)
    assert repr(live.config) == "frontend https\n  bind :443"
    assert "in front of 10.0.0.2:8080\nemulated: HAProxy" in repr(live)
    live.close()
    assert live.front.closed


def test_a_door_that_does_not_open_is_closed_again():
    front = StandInFront(LabError("The door does not open."))
    with pytest.raises(LabError, match="does not open"):
        LiveFront(front, 443, ACCOUNT)
    assert front.closed


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        ([], "Success! The configuration is valid."),
        (["main.tf:3: no such attribute"], "main.tf:3: no such attribute"),
    ],
)
def test_validate_reads_the_files_as_they_are_now(problems, said):
    read = []
    infra = object.__new__(LiveInfra)
    infra.project = SimpleNamespace(refresh=lambda: read.append("again"), validate=lambda: problems)
    assert repr(infra.validate()) == said
    assert read == ["again"]


@pytest.mark.parametrize(
    "address", ["aws_lb.door", "aws_lb.door[0]", 'module.one["eu.west"].module.two.aws_lb.door["a.b"]']
)
def test_what_takes_longest_is_named_by_its_type(address):
    steps = [
        SimpleNamespace(address="aws_iam_role.server", action="create", begin=0.0, end=1.0),
        SimpleNamespace(address=address, action="create", begin=1.0, end=61.0),
    ]
    assert project.slowest(steps) == "aws_lb"
    assert project.slowest([]) is None


def test_what_terraform_cannot_do_is_shown_and_not_raised():
    def refuse():
        raise LabError("There is no Terraform any more.", fix="uv run llmlab fetch terraform")

    infra = object.__new__(LiveInfra)
    infra.project = SimpleNamespace(refresh=refuse)
    assert "fetch terraform" in repr(infra.validate())


def test_the_longest_reply_is_its_first_token_and_all_the_others():
    alone, busy = factory.run(concurrency=1), factory.run(concurrency=4, requests=100)
    longest = Longest(factory.record([alone, busy]), 100)
    first, each = stats.percentile(stats.ttft(busy), 99), stats.percentile(stats.tpot(busy), 99)
    assert longest.seconds == pytest.approx(first + 100 * each)
    assert f"a reply of 100 tokens takes up to {longest.seconds:.0f} s" in repr(longest)
    assert 0 < longest.share <= 1
