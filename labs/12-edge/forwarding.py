"""With everything up: where a request goes, how it arrives, how its reply comes back, whose key it has."""

import contextlib
import json
import time

import httpx

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.load.long_stream import is_whole
from llmlab.tiers.edge.for_labs import Edge, World, users, visitor

from .world import ENDED, US, WORLD, edge, somebody, tokens, world

LONG = (
    ENDED + 3
)  # seconds of a stream that is whole: longer than any time-out that could be meant for one that stopped


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
