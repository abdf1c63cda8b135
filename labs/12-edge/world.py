"""The regions, the learner's worker before them, and users."""

from collections.abc import Iterator
from typing import Any

import httpx

from llmlab.checks import Context, fixture
from llmlab.tiers.edge.for_labs import Edge, World, user

CONFIG = "worker.capnp"
ENDED = 10.0  # seconds after which a stream that stopped is over for the client
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
