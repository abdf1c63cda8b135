"""One streamed request over one socket: sent, read to its end, and what came of it. It never raises."""

from __future__ import annotations

import asyncio
from time import perf_counter

from ..records.schema import Sample
from .endpoint import Endpoint
from .reply import Live, Reply


async def exchange(
    endpoint: Endpoint, payload: bytes, *, timeout: float, live: Live, keep: bool = False
) -> Reply:
    """Send one request and read its reply, which is not decoded yet; whatever goes wrong is in it.

    :param timeout: seconds for connecting and the whole reply.
    :param keep: the content too, not only its arrivals.
    """
    loop = asyncio.get_running_loop()
    reply = Reply(payload, live, loop.create_future(), keep=keep)
    began = perf_counter()
    live.begin(reply)
    try:
        async with asyncio.timeout(timeout):
            await loop.create_connection(
                lambda: reply, endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=endpoint.name
            )
            await reply.finished
    except TimeoutError:
        what = "not connected" if reply.sent is None else "no complete reply"
        reply.error = reply.error or f"timeout: {what} within {timeout:g} s"
    except OSError as problem:
        reply.error = reply.error or f"cannot connect: {problem.strerror or problem}"
    finally:
        live.end(reply)
        reply.close()
        reply.sent = reply.sent or began
    return reply


async def ask(
    endpoint: Endpoint,
    payload: bytes,
    *,
    n: int,
    scheduled: float,
    zero: float,
    timeout: float,
    live: Live,
    said: list[str] | None = None,
) -> Sample:
    """Send one request and wait for the end of its reply; whatever goes wrong is in the sample.

    `scheduled` and the sample's times are seconds from `zero` (a `perf_counter` reading); `timeout` covers
    connecting and the whole reply. The reply's content is added to `said`, in pieces, where that is given.
    """
    reply = await exchange(endpoint, payload, timeout=timeout, live=live, keep=said is not None)
    sample = sample_of(reply, endpoint, n=n, scheduled=scheduled, zero=zero)
    if said is not None:
        said += reply.decoder.stream.text or []
    return sample


def sample_of(reply: Reply, endpoint: Endpoint, *, n: int, scheduled: float, zero: float) -> Sample:
    """The reply as the record keeps it, decoded: times from `zero`, to the microsecond."""
    reply.decode()
    reply.live.settle(reply)
    stream, error, end = reply.decoder.stream, reply.verdict(), reply.end
    chunks = [int((t - zero) * 1e6 + 0.5) / 1e6 for t in stream.chunks]  # `round` takes six times as long
    usage, timings = stream.usage, stream.timings
    cached = usage.prompt_tokens_details.cached_tokens if usage and usage.prompt_tokens_details else 0
    return Sample(
        n=n,
        scheduled=round(scheduled, 6),
        sent=round((reply.sent or zero) - zero, 6),
        first=chunks[0] if chunks else None,
        last=chunks[-1] if chunks else None,
        end=round(end - zero, 6) if end is not None else None,
        chunks=chunks,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else len(chunks),
        counted_by="usage" if usage else "chunks",
        cached_tokens=cached or (timings.cache_n if timings else 0),
        prompt_ms=timings.prompt_ms if timings else None,
        predicted_ms=timings.predicted_ms if timings else None,
        status=reply.decoder.status,
        finish=stream.finish,
        error=endpoint.unsaid(error) if error is not None else None,
    )
