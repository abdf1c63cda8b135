"""Request bodies: exact length, distinct, reproducible."""

from __future__ import annotations

import json

import pytest

from llmlab.load import closed, trace
from llmlab.load.prompts import body, token_range


def prompt(n: int, **more: object) -> list[int]:
    return json.loads(body(closed(1, prompt_tokens=40), n, vocab=32000, **more))["prompt"]


def test_a_prompt_has_exactly_the_tokens_asked_for() -> None:
    assert len(prompt(0)) == 40


def test_prompts_differ_by_request_repeat_and_warmup_and_come_back_the_same() -> None:
    made = [tuple(prompt(n, repeat=r)) for n in range(-3, 50) for r in range(3)]
    assert len(set(made)) == len(made)
    assert len({tokens[:2] for tokens in made}) == len(made)  # not even a short common prefix to cache
    assert made == [tuple(prompt(n, repeat=r)) for n in range(-3, 50) for r in range(3)]
    assert prompt(0)[:4] == PINNED


PINNED = [12985, 8125, 7220, 16799]


@pytest.mark.parametrize("vocab", [300, 401, 1000, 32000, 151936])
def test_ids_are_ones_the_model_has(vocab: int) -> None:
    low, high = token_range(vocab)
    assert 0 < low < high <= vocab
    ids = json.loads(body(closed(1, prompt_tokens=500), 0, vocab=vocab))["prompt"]
    assert low <= min(ids)
    assert max(ids) < high


def test_what_is_asked_for() -> None:
    asked = json.loads(body(closed(1, max_tokens=9, cache_prompt=True), 0, vocab=1000, model="m"))
    assert asked["max_tokens"] == 9
    assert asked["cache_prompt"] is True
    assert asked["ignore_eos"] is True
    assert asked["temperature"] == 0
    assert asked["stream"] is True
    assert asked["stream_options"] == {"include_usage": True}
    assert asked["model"] == "m"
    assert json.loads(body(closed(1), 0, vocab=1000))["cache_prompt"] is False


def test_chat_and_unknown_vocabularies_get_words() -> None:
    chat = json.loads(body(closed(1, api="chat", prompt_tokens=12), 0, vocab=1000))
    assert len(chat["messages"][0]["content"].split()) == 12
    plain = json.loads(body(closed(1, prompt_tokens=12), 0))
    assert len(plain["prompt"].split()) == 12


def test_each_request_has_its_own_lengths_and_a_warmup_the_plans() -> None:
    plan = trace([0, 1], each_prompt=[5, 70], each_reply=[3, 11], prompt_tokens=9, max_tokens=4)
    asked = [json.loads(body(plan, n, vocab=32000)) for n in (-1, 0, 1)]
    assert [(len(ask["prompt"]), ask["max_tokens"]) for ask in asked] == [(9, 4), (5, 3), (70, 11)]
