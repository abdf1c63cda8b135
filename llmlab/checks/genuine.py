"""Whether what answers is the model that the file names, and not something that only speaks like a server.

The question is new each time, so no recorded answer fits. A server of the lab's own with the same model says which
first tokens are likely; quantised caches, other batch sizes and other builds move those a little, never out of the
likely ones.
"""

from __future__ import annotations

import secrets
from typing import Any

from ..serve.api import Api

QUESTIONS = 4
AGREE = 3  # of those
LIKELY = 16  # first tokens of the reference that count as the same answer
#: What the reference needs for such questions. With a server's own defaults (a thread a core, four slots of the model's whole
#: context) it takes five times the CPU and three times the memory, which a graded submission may not have.
ENOUGH = {"threads": 1, "parallel": 1, "ctx-size": 512}


def foreign(server: Api, reference: Api, name: str | None = None) -> str | None:
    """Why `server` is not what it says it is; None when its answers are those of the reference's model.

    A server that refuses completions (it only embeds, say) is not judged here.

    :param name: under which name a server of several models has it; then a refusal is judged.
    """
    import httpx  # only here: most of a check's start would be spent on it

    right = 0
    seen: list[Any] = []
    for _ in range(QUESTIONS):
        nonce = " ".join(secrets.token_hex(3) for _ in range(8))
        question = {
            "prompt": nonce,
            "n_predict": 1,
            "temperature": 0,
            "n_probs": LIKELY,
            "cache_prompt": False,
        }
        try:
            asked = question | {"return_tokens": True} | ({"model": name} if name else {})
            reply = server.http.post("/completion", json=asked)
            answer = None if reply.is_error else reply.json()
        except httpx.HTTPError as error:
            return f"it did not answer a completion: {error}"
        except ValueError:
            return "it answered a completion with something that is no JSON"
        if name and reply.is_error:
            return f"it has no model {name}: HTTP {reply.status_code}, {reply.text[:200]}"
        if reply.is_client_error or reply.status_code == 501:
            return None
        likely = _likely(reference.post("/completion", question))
        first = _first(answer)
        seen.append(first)
        right += first in likely
    if right >= AGREE:
        return None
    return f"{QUESTIONS - right} of {QUESTIONS} answers to new questions are not this model's"


def _likely(answer: dict[str, Any]) -> set[int]:
    return {int(logprob["id"]) for logprob in answer["completion_probabilities"][0]["top_logprobs"]}


def _first(answer: Any) -> int | None:
    try:
        return int(answer["tokens"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
