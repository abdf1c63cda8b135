"""Other streaming clients, written as one would by hand: the yardsticks `llmlab.load` is measured beside.

Run as a script with the client's name (`aiohttp`, `aiohttp+uvloop`, `httpx`): a job on stdin (url, bodies, concurrency), one JSON line on stdout (cpu, wall, tokens, failed). Each
keeps the same closed loop, stamps every chunk with content and takes tokens from usage, as llmlab's client does; both
close their socket after each reply, because a pooled one fails on llama-server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from time import perf_counter, process_time
from typing import Any

Ask = Callable[[str], AsyncIterator[bytes]]


async def one(lines: AsyncIterator[bytes | str]) -> int:
    """Read one reply: its completion tokens, 0 when it failed."""
    chunks: list[float] = []
    tokens = 0
    async for line in lines:
        text = line if isinstance(line, str) else line.decode()
        if not text.startswith("data: ") or text.startswith("data: [DONE]"):
            continue
        event = json.loads(text[6:])
        if any(choice.get("text") for choice in event["choices"]):
            chunks.append(perf_counter())
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    return tokens


async def closed(ask: Callable[[str], Awaitable[int]], job: dict[str, Any]) -> dict[str, float]:
    """Keep `concurrency` requests open until all bodies are sent."""
    waiting = iter(job["bodies"])
    counts: list[int] = []

    async def stream() -> None:
        for body in waiting:
            try:
                counts.append(await ask(body))
            except Exception as problem:  # a yardstick that breaks must not end the race
                print(type(problem).__name__, problem, file=sys.stderr)
                counts.append(0)

    cpu, wall = process_time(), perf_counter()
    await asyncio.gather(*(stream() for _ in range(job["concurrency"])))
    wall = perf_counter() - wall
    return {"cpu": process_time() - cpu, "wall": wall, "tokens": sum(counts), "failed": counts.count(0)}


async def with_aiohttp(job: dict[str, Any]) -> dict[str, float]:
    """aiohttp, lines of its stream reader."""
    import aiohttp

    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask(body: str) -> int:
            async with session.post(job["url"], data=body.encode()) as reply:
                reply.raise_for_status()
                return await one(aiter(reply.content))

        return await closed(ask, job)


async def with_httpx(job: dict[str, Any]) -> dict[str, float]:
    """httpx, `aiter_lines`."""
    import httpx

    headers = {"Content-Type": "application/json", "Connection": "close"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120, trust_env=False) as client:

        async def ask(body: str) -> int:
            async with client.stream("POST", job["url"], content=body) as reply:
                reply.raise_for_status()
                return await one(reply.aiter_lines())

        return await closed(ask, job)


if __name__ == "__main__":
    name, _, loop = sys.argv[1].partition("+")
    work = {"aiohttp": with_aiohttp, "httpx": with_httpx}[name](json.load(sys.stdin))
    factory = import_module(loop).new_event_loop if loop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(work)))
