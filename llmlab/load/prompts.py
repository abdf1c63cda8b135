"""What is asked: request bodies of an exact prompt length, distinct for each request, made from a seed."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from ..records.schema import Plan

PATHS = {"completion": "/v1/completions", "chat": "/v1/chat/completions"}

# Short, common words: for chat, whose template counts towards the prompt, so its length is only near.
WORDS = [
    *(
        "the",
        "a",
        "one",
        "two",
        "red",
        "blue",
        "green",
        "small",
        "large",
        "new",
        "old",
        "time",
        "day",
        "year",
    ),
    *(
        "way",
        "man",
        "woman",
        "hand",
        "part",
        "place",
        "case",
        "week",
        "work",
        "point",
        "home",
        "room",
        "water",
    ),
    *("night", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word", "issue"),
    *("side", "kind", "head", "house", "far", "near", "open", "close", "read", "write", "run", "walk", "see"),
]


def body(plan: Plan, n: int, *, repeat: int = 0, vocab: int | None = None, model: str | None = None) -> bytes:
    """The JSON body of request `n` (negative: a warm-up), made from the plan's seed, `repeat` and `n`.

    With the completion API and a known vocabulary size the prompt is that many token ids, so its
    length is exact without a tokeniser. Ids are drawn from 300 to 80 % of the vocabulary: bytes and special
    tokens lie at its two ends. Each request's ids differ, so a prefix cache does not flatter. Generation
    always runs to `max_tokens` (`ignore_eos`), greedily. Lengths are the request's own where the plan gives each
    (`each_prompt`, `each_reply`).
    """
    draw = random.Random(f"{plan.seed}/{repeat}/{n}")  # seeded by text: the same on every platform
    ask = _asked(plan, model)
    prompt_tokens = plan.prompt_tokens
    if n >= 0 and plan.each_prompt is not None:
        prompt_tokens = plan.each_prompt[n]
    if n >= 0 and plan.each_reply is not None:
        ask["max_tokens"] = plan.each_reply[n]
    if plan.api == "chat":
        ask["messages"] = [{"role": "user", "content": _words(draw, prompt_tokens)}]
    elif vocab:
        low, high = token_range(vocab)
        ask["prompt"] = [low + int(draw.random() * (high - low)) for _ in range(prompt_tokens)]
    else:
        ask["prompt"] = _words(draw, prompt_tokens)
    return msgspec.json.encode(ask)


class Conversation:
    """What is said in one session: the system prompt that all of a run share, and its turns so far.

    Words, pauses and system prompt are drawn from the plan's seed, `repeat` and the session's number.
    """

    def __init__(self, plan: Plan, session: int, *, repeat: int = 0, model: str | None = None) -> None:
        self.plan, self.model = plan, model
        self.draw = random.Random(f"{plan.seed}/{repeat}/session/{session}")
        self.pauses = random.Random(
            f"{plan.seed}/{repeat}/pauses/{session}"
        )  # not the words' draw: these stay, whatever `think` is
        self.messages: list[dict[str, str]] = []
        if plan.system_tokens:
            shared = random.Random(f"{plan.seed}/{repeat}/system")
            self.messages.append({"role": "system", "content": _words(shared, plan.system_tokens)})
        self.question: dict[str, str] = {}

    def ask(self) -> bytes:
        """The JSON body of the next turn."""
        self.question = {"role": "user", "content": _words(self.draw, self.plan.prompt_tokens)}
        return msgspec.json.encode(
            _asked(self.plan, self.model) | {"messages": [*self.messages, self.question]}
        )

    def answered(self, reply: str) -> None:
        """Keep the turn that was asked last, with its reply."""
        self.messages += [self.question, {"role": "assistant", "content": reply}]

    def pause(self) -> float:
        """Seconds until the user has thought of the next turn (exponential)."""
        return self.pauses.expovariate(1 / self.plan.think) if self.plan.think else 0.0


def _asked(plan: Plan, model: str | None) -> dict[str, Any]:
    ask: dict[str, Any] = {
        "max_tokens": plan.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": plan.cache_prompt,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if model:
        ask["model"] = model
    return ask


def token_range(vocab: int) -> tuple[int, int]:
    """The ids to draw from, low inclusive and high exclusive, for a vocabulary of that size."""
    return (300, max(301, int(vocab * 0.8))) if vocab > 400 else (vocab // 2, vocab)


def _words(draw: random.Random, count: int) -> str:
    return " ".join(WORDS[int(draw.random() * len(WORDS))] for _ in range(count))
