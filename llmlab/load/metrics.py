"""What a server says of itself: its counters from /metrics, its vocabulary from /v1/models."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Count:
    """llama-server's token counters since it started; they move only when a request ends."""

    prompt: int  # prompt tokens it computed
    cached: int  # prompt tokens it reused
    completion: int
    busy: int  # requests it is working on or has queued, right now


def get(url: str, path: str, *, api_key: str | None = None, timeout: float = 5.0) -> tuple[int, bytes]:
    """GET one path; (status, body). OSError and HTTPException go to the caller."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
    try:
        headers = {"Connection": "close"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def count(url: str, *, api_key: str | None = None) -> Count | None:
    """The counters now; None when the server does not give them (no --metrics, no answer, another server)."""
    try:
        status, body = get(url, "/metrics", api_key=api_key)
        if status != 200:
            return None
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
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None


class _FamilyMeta(msgspec.Struct):
    n_vocab: int | None = None


class _Entry(msgspec.Struct):
    id: str | None = None
    meta: _FamilyMeta | None = None


class _Models(msgspec.Struct):
    data: list[_Entry] = []


def vocabulary(url: str, *, api_key: str | None = None, model: str | None = None) -> int | None:
    """The size of the model's vocabulary by /v1/models; None when the server does not say."""
    try:
        status, body = get(url, "/v1/models", api_key=api_key)
        entries = msgspec.json.decode(body, type=_Models).data if status == 200 else []
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    named = [entry for entry in entries if entry.id == model] or entries
    return named[0].meta.n_vocab if named and named[0].meta else None
