"""Lab 12: users from everywhere through the learner's worker, in Cloudflare's runtime, to three regions with a real llama-server each."""

import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx

from llmlab.checks import Context, Verdict, check, fixture, inconclusive, verdict
from llmlab.load.long_stream import is_whole
from llmlab.tiers.edge.for_labs import HOSTS, Edge, World, user, users, visitor

CONFIG = "worker.capnp"
SOON = 2.0  # seconds within which another region has answered
TRIES = 3
ENDED = 10.0  # seconds after which a stream that stopped is over for the client
LONG = (
    ENDED + 3
)  # seconds of a stream that is whole: longer than any time-out that could be meant for one that stopped
WORLD: dict[str, Any] = {
    "realism": "emulated",
    "stands_in": "the internet: names, not distances; a user's place comes in a header; the runtime and the servers are real",
}
US = {"country": "US", "continent": "NA"}


@fixture(ours=True)
def regions(ctx: Context) -> Iterator[World]:
    """The regions, up."""
    with World(say=ctx.say) as at:
        yield at


def world(ctx: Context) -> World:
    """The regions, as they were before each check."""
    worker = regions(ctx)
    worker.restore()
    worker.idle()
    return worker


@fixture
def edge(ctx: Context) -> Iterator[Edge]:
    """The learner's worker, started."""
    at, key = world(ctx), "sk-client-" + f"{ctx.random('key').getrandbits(48):012x}"
    with Edge(ctx.files / CONFIG, at, client_key=key, log=at.folder / "edge.log") as worker:
        yield worker


def somebody(ctx: Context, purpose: str, home: str, *, eu: bool = False) -> dict[str, Any]:
    """A user who belongs to a region, drawn for this learner and this purpose."""
    return user(ctx.random(purpose), home, eu=eu).cf


def tokens(worker: Edge, cf, count: int = 4, **more) -> httpx.Response:
    """A completion that a user at `cf` asks for."""
    return worker.request(
        "POST", "/v1/completions", cf=cf, json={"prompt": "Once", "max_tokens": count} | more, timeout=120
    )


def generations(seen) -> list[str]:
    """The regions that were asked to generate, in order."""
    return [it.region for it in seen if it.path.startswith("/v1/completions") and it.method == "POST"]


@check(title="The worker starts, and a user gets a token", points=3, machine=("edge",), **WORLD)
def starts(ctx: Context) -> Verdict:
    """Start it as `workerd serve worker.capnp` does; ask for four tokens with the client's key."""
    at, worker = world(ctx), edge(ctx)
    mark, prompt = at.mark(), f"Once {ctx.random('prompt').getrandbits(48):x}"
    try:
        reply = tokens(worker, US, prompt=prompt)
        found = reply.json().get("usage", {}).get("completion_tokens", 0) if reply.status_code == 200 else 0
        said = f"HTTP {reply.status_code}, {found} tokens"
    except (httpx.HTTPError, ValueError) as error:
        found, said = 0, str(error)
    if found and not any(prompt in it.body for it in at.seen(mark, least=1)):
        found, said = 0, f"{said}, and no origin was asked for them"
    log = worker.said(3)
    return verdict(
        found > 0,
        expected="HTTP 200 with tokens, from an origin that asks for its own key",
        observed=said + ("; " + " ".join(log) if log and not found else ""),
        look="edge.ask(country='US')",
    )


@check(title="Users are sent to their region", points=5, machine=("edge",), **WORLD)
def geography(ctx: Context) -> Verdict:
    """Users from everywhere, some from nowhere in particular; which region each one's request reached."""
    at, worker = world(ctx), edge(ctx)
    wrong, tried = [], users(ctx.random("users"))
    for cf, home in tried:
        mark = at.mark()
        with contextlib.suppress(httpx.HTTPError):
            worker.request("GET", "/v1/models", cf=cf)
        reached = [it.region for it in at.seen(mark, least=1, within=1) if it.path.startswith("/v1/models")]
        if reached[:1] != [home]:
            where = " ".join(f"{key}={value}" for key, value in cf.items()) or "nothing known"
            if cf.get("country") != visitor.country(cf):
                where += f" (CF-IPCountry {visitor.country(cf)})"
            wrong.append(f"{where} → {', '.join(reached) or 'nobody'}, not {home}")
    return verdict(
        not wrong,
        expected=f"{len(tried)} users, each in the region of their continent; whoever is nowhere in particular in the US",
        observed=f"{len(wrong)} wrong: " + "; ".join(wrong[:6])
        if wrong
        else f"{len(tried)} of {len(tried)} were",
        look="edge.map().plot()",
        hidden=" ".join(str(cf.get("country", "nowhere")) for cf, _ in tried),
        wrong=len(wrong),
    )


@check(title="A request arrives as it was sent", points=3, machine=("edge",), **WORLD)
def untouched(ctx: Context) -> Verdict:
    """Method, path, query, headers and body, compared with what reached the region."""
    at, worker = world(ctx), edge(ctx)
    draw = ctx.random("untouched")
    word, other = (f"{draw.getrandbits(32):x}" for _ in range(2))
    body = json.dumps({"prompt": f"Grüße, 世界 \u0000 {word}", "max_tokens": 1}, ensure_ascii=False)
    sent = [
        ("GET", f"/v1/models?limit=5&after=%20x%2F{word}&empty=", {"x-request-id": other}, None),
        (
            "POST",
            f"/v1/completions?trace={other}",
            {"content-type": "application/json", "accept-language": draw.choice(["de", "fr", "ja", "pt"])},
            body,
        ),
        ("OPTIONS", "/v1/chat/completions", {f"x-{word}": other}, None),
    ]
    wrong = []
    for method, path, headers, content in sent:
        mark = at.mark()
        with contextlib.suppress(httpx.HTTPError):
            worker.request(method, path, cf=US, headers=headers, content=content)
        got = next((it for it in at.seen(mark, least=1) if it.path.split("?")[0] == path.split("?")[0]), None)
        if got is None:
            wrong.append(f"{method} {path} reached nobody")
            continue
        words = [f"as {got.method}"] if got.method != method else []
        words += [f"as {got.path}"] if got.path != path else []
        words += [f"without {name}" for name, value in headers.items() if got.headers.get(name) != value]
        words += ["with another body"] if got.body != (content or "") else []
        wrong += [f"{method} {path} arrived {', '.join(words)}"] if words else []
    return verdict(
        not wrong,
        expected="the same method, path, query, headers and body",
        observed="; ".join(wrong) or f"{len(sent)} of {len(sent)} arrived so",
        look="edge.seen()",
    )


@check(title="A stream comes as it is written", points=2, needs=("starts",), machine=("edge",), **WORLD)
def streaming(ctx: Context) -> Verdict:
    """Of the time of a whole streamed reply, how much lies between its first and its last piece; and a long one, read to its end."""
    at, worker = world(ctx), edge(ctx)
    best = 0.0
    for _ in range(4):
        request = worker.build(
            "POST",
            "/v1/completions",
            cf=US,
            json={"prompt": "Once", "max_tokens": 200, "ignore_eos": True, "stream": True},
        )
        began = time.monotonic()
        with contextlib.suppress(httpx.HTTPError), contextlib.closing(worker.stream(request)) as reply:
            times = [time.monotonic() for _ in reply.iter_bytes()]
            if len(times) > 1:
                best = max(best, (times[-1] - times[0]) / (times[-1] - began))
    how, took = long_stream(at, worker) if best >= 0.3 else ("not tried", 0.0)
    return verdict(
        best >= 0.3 and how == "whole",
        expected=f"at least 30 % of a reply's time lies after its first piece, and a stream that goes on for {LONG:.0f} s arrives whole",
        observed=f"{best:.0%}, the most of 4 replies; the long one: {how}"
        + (f" after {took:.1f} s" if took else ""),
        look="edge.ask(country='US', stream=True)",
    )


def long_stream(at: World, worker: Edge) -> tuple[str, float]:
    """A healthy stream that takes longer than any time-out for one that stopped: how it ended, after how many seconds.

    The server writes in bursts, with less than half a second between two pieces.
    """
    try:
        rate = tokens(worker, US, 64, ignore_eos=True).json()["timings"]["predicted_per_second"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"no tokens before it ({type(error).__name__})", 0.0
    count, how, took = max(100, int(0.4 * LONG * rate)), "", 0.0
    for more in (1, 2, 4):
        how, took = in_bursts(at, worker, min(3500, more * count))
        if how != "whole" or took > ENDED:
            break
    return how, took


def in_bursts(at: World, worker: Edge, count: int) -> tuple[str, float]:
    """One such stream of so many tokens; when it has gone on for long enough, its server does the rest at once."""
    body = {"prompt": "Once", "max_tokens": count, "ignore_eos": True, "stream": True}
    request, began = worker.build("POST", "/v1/completions", cf=US, json=body), time.monotonic()
    try:
        with contextlib.closing(worker.stream(request)) as reply:
            whole = is_whole(reply.iter_bytes(), at.halting("us"), LONG)
            how = "whole" if whole else f"it ended without [DONE] (HTTP {reply.status_code})"
    except httpx.HTTPError as error:
        how = f"cut off ({type(error).__name__})"
    return how, time.monotonic() - began


@check(title="Keys stay on their own side", points=4, machine=("edge",), **WORLD)
def keys(ctx: Context) -> Verdict:
    """With the client's key, another one, none: what reaches an origin, and with which key."""
    at, worker = world(ctx), edge(ctx)
    mark = at.mark()
    with contextlib.suppress(httpx.HTTPError):
        tokens(worker, US, 1)
        worker.request("GET", "/v1/models", cf=somebody(ctx, "keys", "asia"), headers={"x-api-key": "mine"})
    seen = at.seen(mark, least=2)
    words = []
    if any(worker.client_key in value for it in seen for value in it.headers.values()):
        words.append("the client's key reached an origin")
    if not seen or any(
        it.headers.get("authorization") != f"Bearer {at.key}" for it in seen if it.path != "/health"
    ):
        words.append("an origin was asked without its own key")
    for name, key in (("another key", "sk-client-guessed"), ("no key", None)):
        mark = at.mark()
        try:
            status: int | str = worker.request(
                "POST", "/v1/completions", cf=US, key=key, json={"prompt": "x", "max_tokens": 1}
            ).status_code
        except httpx.HTTPError as error:
            status = str(error)
        if status != 401 or at.seen(mark, within=0.3):
            words.append(
                f"{name}: HTTP {status}" + (", and it reached an origin" if at.seen(mark, within=0) else "")
            )
    return verdict(
        not words,
        expected="an origin sees its own key and never the client's; another key, or none, is 401 and reaches nobody",
        observed="; ".join(words)
        or f"{sum(it.path != '/health' for it in seen)} requests with the origin's own key, 0 with the client's; 401 for the 2 others",
        look="edge.seen()",
    )


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
    """A reply that takes seconds and is not streamed: who was asked for it."""
    at, worker = world(ctx), edge(ctx)
    there = somebody(ctx, "slow", "asia")
    rate = (
        tokens(worker, there, 64, ignore_eos=True)
        .json()
        .get("timings", {})
        .get("predicted_per_second", 100.0)
    )
    count = max(64, min(3000, int(2.5 * rate)))  # some seconds of silence, on any machine
    mark, began = at.mark(), time.monotonic()
    try:
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
