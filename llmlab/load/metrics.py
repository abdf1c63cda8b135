"""What a server says of itself: its counters from /metrics, its vocabulary from /v1/models."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from .endpoint import keys_of
from .target import Target


@dataclass(frozen=True, slots=True)
class Count:
    """llama-server's token counters since it started; they move only when a request ends."""

    prompt: int  # prompt tokens it computed
    cached: int  # prompt tokens it reused
    completion: int
    busy: int  # requests it is working on or has queued, right now


def get(target: Target, path: str, *, timeout: float = 5.0) -> bytes | None:
    """What a server answers to a GET with the first of the keys; None when it does not answer with a 200.

    :param timeout: seconds, for each step by itself.
    """
    import httpx

    from ..system.named_client import named_client

    parts = urlsplit(target.url)
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    lines = {"Host": target.host} if target.host else {}
    lines |= {"Accept-Encoding": "identity", "Connection": "close"}
    if keys := keys_of(target.api_key):
        lines["Authorization"] = f"Bearer {keys[0]}"
    headers = httpx.Headers(lines, encoding="latin-1")
    # Made here, not by the client: these header lines and none of its own.
    request = httpx.Request("GET", url + parts.path.rstrip("/") + path, headers=headers)
    try:
        with named_client(url, target.host, authority=target.authority, timeout=timeout) as client:
            reply = client.send(request)
    except httpx.HTTPError:
        return None
    return reply.content if reply.status_code == 200 else None


def count(target: Target) -> Count | None:
    """The counters now; None when the server does not give them (no --metrics, no answer, another server, a door that lets nobody ask)."""
    body = get(target, "/metrics")
    if body is None:
        return None
    try:
        values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
            if not sample.labels
        }
        return Count(
            prompt=int(values["llamacpp:prompt_tokens_total"]),
            cached=int(values.get("llamacpp:prompt_tokens_cached_total", 0)),
            completion=int(values["llamacpp:tokens_predicted_total"]),
            busy=int(values["llamacpp:requests_processing"] + values["llamacpp:requests_deferred"]),
        )
    except (ValueError, KeyError):
        return None


class _FamilyMeta(msgspec.Struct):
    n_vocab: int | None = None


class _Entry(msgspec.Struct):
    id: str | None = None
    meta: _FamilyMeta | None = None


class _Models(msgspec.Struct):
    data: list[_Entry] = []


def vocabulary(target: Target) -> int | None:
    """The size of the model's vocabulary by /v1/models; None when the server does not say."""
    try:
        entries = msgspec.json.decode(get(target, "/v1/models") or b"{}", type=_Models).data
    except msgspec.DecodeError:
        return None
    named = [entry for entry in entries if entry.id == target.model] or entries
    return named[0].meta.n_vocab if named and named[0].meta else None
