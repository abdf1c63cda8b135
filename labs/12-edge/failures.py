"""Regions that are down, hang, are slow or stop in the middle of a reply, and what must not happen then."""

import contextlib
import json
import statistics
import time

import httpx

from llmlab.checks import Context, Verdict, check, inconclusive, verdict
from llmlab.tiers.edge.for_labs import HOSTS, World

from .world import ENDED, US, WORLD, edge, generations, somebody, tokens, world

SOON = 2.0  # seconds within which another region has answered
TRIES = 3


def direct(at: World) -> float:
    """Seconds for the same reply asked of a healthy region itself: what this machine needs now, without any worker."""
    headers, began = {"authorization": f"Bearer {at.key}"}, time.monotonic()
    with httpx.Client(proxy=at.internet.url, trust_env=False, timeout=60) as client:
        client.post(
            f"http://{HOSTS['eu']}/v1/completions", json={"prompt": "Once", "max_tokens": 4}, headers=headers
        )
    return time.monotonic() - began


def elsewhere(ctx: Context, fail) -> Verdict:
    """A region fails, a user there asks, three times; between them the same of a healthy region, as the measure of the machine."""
    at, worker = world(ctx), edge(ctx)
    took, asis, wrong = [], [], []
    for turn in range(TRIES):
        at.restore()
        at.idle()
        asis.append(direct(at))
        fail(at)
        mark, began = at.mark(), time.monotonic()
        try:
            status: int | str = tokens(worker, somebody(ctx, f"elsewhere {turn}", "asia")).status_code
        except httpx.HTTPError as error:
            status = str(error)
        took.append(time.monotonic() - began)
        if status != 200:
            wrong.append(
                f"HTTP {status} after {took[-1]:.1f} s, asked {', '.join(generations(at.seen(mark))) or 'nobody'}"
            )
    at.restore()
    times = ", ".join(f"{it:.2f} s" for it in took)
    evidence = {
        "expected": f"another region's tokens within {SOON:.0f} s",
        "observed": "; ".join(wrong)
        or f"after {times}; a healthy region asked directly, {statistics.median(asis):.2f} s",
    }
    late = statistics.median(took) > SOON
    if late and not wrong and statistics.median(asis) > SOON / 4:
        return inconclusive("a healthy region, asked directly, was slow too", **evidence, look="uptime")
    return verdict(not (wrong or late), **evidence, look="edge.world.kill('asia'); edge.ask(country='JP')")


@check(
    title="A region is down: the next one answers",
    points=3,
    needs=("starts", "geography"),
    machine=("edge",),
    **WORLD,
)
def down(ctx: Context) -> Verdict:
    """Kill Asia's server, ask as a user there; three times."""
    return elsewhere(ctx, lambda at: at.kill("asia"))


@check(
    title="A region hangs: the next one answers",
    points=3,
    needs=("starts", "geography"),
    machine=("edge",),
    **WORLD,
)
def hung(ctx: Context) -> Verdict:
    """Stop Asia's server in its tracks, so that it takes connections and answers nothing; three times."""
    return elsewhere(ctx, lambda at: at.hang("asia"))


@check(
    title="Slow is not down: one request, one server", points=3, needs=("hung",), machine=("edge",), **WORLD
)
def slow(ctx: Context) -> Verdict:
    """A reply that is not streamed and takes longer than a time-out of four seconds: who was asked for it.

    Its server goes on in bursts, a quarter of a second apart, so that whoever asks it whether it is alive hears so in time.
    """
    at, worker = world(ctx), edge(ctx)
    there = somebody(ctx, "slow", "asia")
    rate = (
        tokens(worker, there, 64, ignore_eos=True)
        .json()
        .get("timings", {})
        .get("predicted_per_second", 100.0)
    )
    count = max(64, min(3500, int(2.5 * rate)))  # with the pauses, seven seconds of silence or more
    mark, began = at.mark(), time.monotonic()
    try:
        with at.halting("asia", going=0.1, stopped=0.25):
            reply = tokens(worker, there, count, ignore_eos=True)
        said = f"HTTP {reply.status_code}"
    except httpx.HTTPError as error:
        said = str(error)
    took, asked = time.monotonic() - began, generations(at.seen(mark, least=1))
    at.idle(60)
    good = said == "HTTP 200" and asked == ["asia"]
    return verdict(
        good,
        expected=f"{count} tokens from one region, asked once, however long it takes",
        observed=f"{said} after {took:.1f} s; asked: {', '.join(asked) or 'nobody'}",
        look="edge.ask(country='JP', tokens=2000)",
    )


def broken(ctx: Context, fail) -> tuple[str, float, list[str]]:
    """A stream that has begun, and then its region fails: how it ended, after how many seconds, who else was asked."""
    at, worker = world(ctx), edge(ctx)
    request = worker.build(
        "POST",
        "/v1/completions",
        cf=somebody(ctx, "broken", "asia"),
        json={"prompt": "Once", "max_tokens": 6000, "ignore_eos": True, "stream": True},
    )
    mark, how, began = at.mark(), "complete, as if nothing had been", time.monotonic()
    try:
        with contextlib.closing(worker.stream(request)) as reply:
            pieces = reply.iter_bytes()
            last = next(pieces, b"")[-400:]
            fail(at)
            began = time.monotonic()
            for piece in pieces:
                last = (last + piece)[-400:]
                if time.monotonic() - began > 3 * ENDED:
                    break
            how = how if b"[DONE]" in last else "ended"
    except httpx.TimeoutException:
        how = "still open"
    except httpx.HTTPError:
        how = "cut off"
    took = time.monotonic() - began
    asked = generations(at.seen(mark))
    at.restore()
    return how, took, asked


@check(
    title="After the first token there is no second try",
    points=2,
    needs=("starts", "geography"),
    machine=("edge",),
    **WORLD,
)
def no_retry(ctx: Context) -> Verdict:
    """Kill the region in the middle of a stream."""
    how, took, asked = broken(ctx, lambda at: at.kill("asia"))
    good = how in ("ended", "cut off") and asked == ["asia"]
    return verdict(
        good,
        expected="the stream is over, and nobody else was asked: a second beginning after half a reply is no reply",
        observed=f"{how} after {took:.1f} s; asked: {', '.join(asked)}",
        look="edge.ask(country='JP', stream=True)",
    )


@check(
    title="A stream that stops is ended", points=3, needs=("starts", "geography"), machine=("edge",), **WORLD
)
def stall(ctx: Context) -> Verdict:
    """Stop the region in the middle of a stream: the client must not wait for ever."""
    how, took, asked = broken(ctx, lambda at: at.hang("asia"))
    good = how in ("ended", "cut off") and took <= ENDED and asked == ["asia"]
    return verdict(
        good,
        expected=f"the stream is over within {ENDED:.0f} s, and nobody else was asked",
        observed=f"{how} after {took:.1f} s; asked: {', '.join(asked)}",
        look="edge.world.hang('asia') during edge.ask(country='JP', stream=True)",
    )


@check(title="Residents of the EU are answered there, or not at all", points=4, machine=("edge",), **WORLD)
def residency(ctx: Context) -> Verdict:
    """With the EU's region down, then hung: what residents of three members get, and whether anything left the EU. Who is none may go on."""
    at, worker = world(ctx), edge(ctx)
    residents = [somebody(ctx, f"resident {place}", "eu", eu=True) for place in range(3)]
    other = somebody(ctx, "no resident", "eu")
    words = []
    for name, fail in (("down", at.kill), ("hung", at.hang)):
        fail("eu")
        for cf in residents if name == "down" else residents[:1]:
            mark = at.mark()
            try:
                status: int | str = tokens(worker, cf).status_code
            except httpx.HTTPError as error:
                status = str(error)
            left = sorted({it.region for it in at.seen(mark)} - {"eu"})
            if status != 503 or left:
                gone = f", and it went to {', '.join(left)}" if left else ""
                words.append(f"{name}, a resident of {cf['country']}: HTTP {status}{gone}")
        at.restore()
    at.kill("eu")
    with contextlib.suppress(httpx.HTTPError):
        if (status := tokens(worker, other).status_code) != 200:
            words.append(f"a user in {other['country']}, who is no resident, got HTTP {status}")
    at.restore()
    return verdict(
        not words,
        expected="503 for a resident, nothing leaves the EU; others go on elsewhere",
        observed="; ".join(words)
        or f"503 {len(residents) + 1} times, 0 requests left the EU; 200 for a user who is no resident",
        look="edge.world.kill('eu'); edge.ask(country='DE')",
        hidden=" ".join(cf["country"] for cf in [*residents, other]),
    )


@check(title="With everything down the answer is honest", points=2, machine=("edge",), **WORLD)
def honest(ctx: Context) -> Verdict:
    """Kill all three."""
    at, worker = world(ctx), edge(ctx)
    for name in HOSTS:
        at.kill(name)
    try:
        reply = tokens(worker, US)
        said = f"HTTP {reply.status_code}, {reply.headers.get('content-type', 'no content type')}"
        good = reply.status_code in (502, 503, 504) and "error" in json.loads(reply.text)
    except (httpx.HTTPError, ValueError) as error:
        good, said = False, locals().get("said") or str(error)
    at.restore()
    return verdict(
        good,
        expected="502, 503 or 504, with a JSON body that says `error`: what an OpenAI client can show",
        observed=said,
        look="edge.ask(country='US') with every region killed",
    )
