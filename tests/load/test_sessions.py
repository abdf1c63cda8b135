"""Conversations against a real server: each turn carries what was said before, and the server knows it."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

import pytest

from llmlab.load import measure, sessions
from llmlab.load.prompts import Conversation
from llmlab.records import stats
from llmlab.serve import Server, Spec

from .conftest import target_of

#: Short to what a turn adds: where a session shares more than half with another one, one of them is forgotten (tests/serve/test_guesses.py).
SMALL = {"prompt_tokens": 20, "max_tokens": 8, "system_tokens": 4, "think": 0.05}


@pytest.fixture(scope="module")
def talked(target):
    (run,) = measure(target, [sessions(2, sessions=6, turns=3, **SMALL)]).runs
    return run


def by_session(run) -> dict[int, list]:
    found = defaultdict(list)
    for sample in run.samples:
        found[sample.session].append(sample)
    return found


def test_every_turn_of_every_session_is_there_in_order(talked) -> None:
    assert [(sample.n, sample.session, sample.turn) for sample in talked.samples] == [
        (3 * session + turn, session, turn) for session in range(6) for turn in range(3)
    ]
    assert stats.failed(talked) == []
    assert talked.counters is not None
    assert talked.counters.agrees


def test_a_turn_waits_for_the_reply_before_it(talked) -> None:
    for samples in by_session(talked).values():
        for before, after in pairwise(samples):
            assert before.end <= after.scheduled <= after.sent


def test_as_many_are_held_at_once_as_there_are_users(talked) -> None:
    spans = [(samples[0].sent, samples[-1].end) for samples in by_session(talked).values()]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 2


def test_a_turn_carries_what_was_said_before(talked) -> None:
    for samples in by_session(talked).values():
        for before, after in pairwise(samples):
            assert after.prompt_tokens > before.prompt_tokens + before.completion_tokens
            assert after.cached_tokens >= before.prompt_tokens, "none of it was lost"


def test_the_share_found_in_the_cache_is_counted_in_tokens(talked) -> None:
    last = [samples[-1] for samples in by_session(talked).values()]
    wanted = sum(sample.cached_tokens for sample in last) / sum(sample.prompt_tokens for sample in last)
    assert stats.cached_share(talked, turn=2) == pytest.approx(wanted)
    assert stats.cached_share(talked, turn=7) is None


def test_a_server_that_may_keep_nothing_finds_nothing(target) -> None:
    (run,) = measure(target, [sessions(2, sessions=2, turns=2, seed=5, cache_prompt=False, **SMALL)]).runs
    assert stats.cached_share(run) == 0


def test_a_session_goes_on_without_a_turn_that_failed() -> None:
    """The context holds the first turns alone: the later ones are refused, and each is a sample that says why."""
    with Server(Spec(model="tiny", flags={"parallel": 1, "ctx-size": 256, "threads": 1})) as small:
        plan = sessions(1, sessions=1, turns=5, prompt_tokens=30, max_tokens=8, system_tokens=0, think=0)
        (run,) = measure(target_of(small), [plan]).runs
    assert [sample.turn for sample in run.samples] == [0, 1, 2, 3, 4]
    assert run.samples[0].ok
    assert "HTTP 400" in run.samples[-1].error
    lengths = {sample.prompt_tokens for sample in run.samples if sample.ok}
    assert len(lengths) == sum(sample.ok for sample in run.samples), "each that was answered is longer"


def asked(conversation: Conversation) -> list[dict]:
    return json.loads(conversation.ask())["messages"]


def test_sessions_share_the_system_prompt_and_nothing_else() -> None:
    plan = sessions(2, **SMALL)
    one, other = (Conversation(plan, number) for number in (0, 1))
    first, second = asked(one), asked(other)
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert first == asked(Conversation(plan, 0)), "the same from the same seed"
    one.answered("so it is")
    assert [message["role"] for message in asked(one)] == ["system", "user", "assistant", "user"]


def test_a_turn_that_was_not_answered_is_left_out_of_the_next() -> None:
    talk = Conversation(sessions(1, **SMALL), 0)
    lost, again = asked(talk), asked(talk)
    assert len(lost) == len(again) == 2
    assert lost[1] != again[1]
