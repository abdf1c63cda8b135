"""The world of lab 12: what reaches a region, how regions fail and come back, what the runtime says, and that nothing is left."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from random import Random

import httpx
import pytest
from orphans import kill_kernel

from llmlab.errors import LabError, Unavailable
from llmlab.load.long_stream import is_whole
from llmlab.tiers.edge import visitor, workerd
from llmlab.tiers.edge.probes import HOME, countries, user, users
from llmlab.tiers.edge.worker import Edge
from llmlab.tiers.edge.world import HOSTS, World

COURSE = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.needs("process", "edge")
CONFIG = (COURSE / "solutions/12-edge/worker.capnp").read_text()
#: Sends everybody to the region that a header names.
WORKER = """
export default {
  async fetch(request, env) {
    if (request.headers.get("x-fail")) throw new Error("as asked");
    const url = new URL(request.url);
    return fetch(`https://${request.headers.get("x-to")}${url.pathname}${url.search}`, request);
  },
};
"""


@pytest.fixture(scope="module")
def world():
    with World() as one:
        yield one


@pytest.fixture
def make(world, tmp_path):
    """Start a worker: `make(js, config)`; it ends with the test."""
    made = []

    def start(js: str = WORKER, config: str = CONFIG) -> Edge:
        (tmp_path / "worker.js").write_text(js)
        (tmp_path / "worker.capnp").write_text(config)
        made.append(Edge(tmp_path / "worker.capnp", world, client_key="sk-client", log=tmp_path / "log"))
        return made[-1]

    yield start
    for edge in made:
        edge.close()
    world.restore()


def ask(edge, region: str, path: str = "/health", **more) -> httpx.Response:
    return edge.request(
        "GET", path, headers={"x-to": HOSTS.get(region, region)} | more.pop("headers", {}), **more
    )


def test_a_request_is_noted_where_it_arrives_as_it_was(world, make):
    edge, mark = make(), world.mark()
    reply = edge.request(
        "POST",
        "/v1/completions?a=1&b=%20",
        key=world.key,
        headers={"x-to": HOSTS["eu"], "x-mine": "1"},
        json={"prompt": "é", "max_tokens": 2},
    )
    assert reply.json()["usage"]["completion_tokens"] == 2
    (one,) = world.seen(mark, least=1)
    assert (one.region, one.method, one.path) == ("eu", "POST", "/v1/completions?a=1&b=%20")
    assert "é" in one.body
    assert one.headers["authorization"] == f"Bearer {world.key}"


def test_a_region_is_down_hangs_and_comes_back(world, make):
    edge = make()
    world.kill("asia")
    assert ask(edge, "asia").status_code == 521
    assert ask(edge, "us").status_code == 200
    world.restore("asia")
    assert ask(edge, "asia").status_code == 200
    world.hang("asia")
    with pytest.raises(httpx.ReadTimeout):
        ask(edge, "asia", timeout=0.5)
    world.restore()
    assert ask(edge, "asia").status_code == 200


def test_a_name_that_nobody_has_is_530(make):
    assert ask(make(), "eu-south.llama.example.com").status_code == 530


@pytest.mark.parametrize(
    ("js", "config", "where", "says"),
    [
        ("export default {\n  fetch( {\n};\n", CONFIG, "worker.js:3", "SyntaxError"),
        (WORKER, CONFIG.replace("esModule", "esModul"), "worker.capnp:14", "esModul"),
        (WORKER, CONFIG.replace('embed "worker.js"', 'embed "other.js"'), "worker.capnp:14", "other.js"),
    ],
    ids=["no-javascript", "no-such-field", "no-such-file"],
)
def test_what_the_runtime_refuses_is_said_in_its_words(make, js, config, where, says):
    with pytest.raises(LabError) as caught:
        make(js, config)
    assert says.lower() in str(caught.value).lower()
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("js", "where", "says"),
    [
        (
            '// ours\nimport { Hono } from "hono";\nexport default new Hono();\n',
            "worker.js:2",
            'No such module "hono"',
        ),
        ("import {\n  nearest,\n} from './regions.js';\nexport default {};\n", "worker.js:3", "regions.js"),
        ('import x from "https://esm.sh/hono";\nexport default {};\n', "worker.js:1", "esm.sh/hono"),
    ],
    ids=["framework", "second-file", "url"],
)
def test_a_module_that_is_not_there_is_named_with_the_line_that_imports_it(make, js, where, says):
    with pytest.raises(LabError, match="has to be one file") as caught:
        make(js)
    assert says in caught.value.what
    assert caught.value.where == where
    assert "esbuild worker.js --bundle" in caught.value.fix


#: Answers with the headers that it got and what it was told of the visitor.
MIRROR = """
export default {
  async fetch(request) {
    return Response.json({ headers: Object.fromEntries(request.headers), cf: request.cf ?? null });
  },
};
"""


def test_a_worker_gets_what_cloudflare_adds_and_it_agrees_with_request_cf(make):
    edge = make(MIRROR)
    for cf, _ in users(Random(7)):
        got = edge.request(
            "GET", "/", cf=cf, headers={"CF-IPCountry": "KP", "X-Forwarded-For": "198.51.100.7"}
        ).json()
        headers = got["headers"]
        assert set(visitor.ALWAYS) <= set(headers)
        assert got["cf"] == dict(cf)
        assert headers["cf-ipcountry"] == cf.get("country", "XX").upper()
        assert headers.get("cf-ipcontinent") in (cf.get("continent", "").upper() or None, "T1")
        assert headers["x-forwarded-for"] == "198.51.100.7," + headers["cf-connecting-ip"]
        assert headers["x-forwarded-proto"] == "https"
    assert edge.request("GET", "/").json()["headers"]["cf-ipcountry"] == "XX"


def test_what_a_worker_fetches_has_its_zone_and_no_country(world, make):
    edge, mark = make(), world.mark()
    ask(edge, "eu", "/v1/models", cf={"country": "DE", "continent": "EU"})
    (seen,) = world.seen(mark, least=1)
    assert seen.headers["cf-worker"] == visitor.ZONE
    assert "cf-ipcountry" not in seen.headers
    assert seen.headers["cf-connecting-ip"] == visitor.address({"country": "DE"})


#: How strangers ask where a visitor is; each has to send a user in Japan to Asia, one in Germany to the EU, and others to the US.
WAYS = {
    "lower-case": 'request.headers.get("cf-ipcountry")',
    "as-documented": 'request.headers.get("CF-IPCountry") || "XX"',
    "an-object-of-all": 'Object.fromEntries(request.headers)["cf-ipcountry"]',
    "cf-or-else-the-header": 'request.cf?.country ?? request.headers.get("CF-IPCountry")',
    "the-continent": '({ AS: "JP", EU: "DE" })[request.headers.get("cf-ipcontinent")]',
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_however_a_worker_asks_for_the_country_it_is_told(world, make, way):
    route = "{ JP: 'asia-east', DE: 'eu-west' }"
    edge = make(
        f"""export default {{ async fetch(request) {{
          const country = {way};
          const host = ({route})[country] ?? "us-east";
          return fetch(`https://${{host}}.llama.example.com/health`, {{ headers: request.headers }});
        }} }};"""
    )
    for cf, home in (
        ({"country": "JP", "continent": "AS"}, "asia"),
        ({"country": "DE", "continent": "EU", "isEUCountry": "1"}, "eu"),
        ({"country": "T1"}, "us"),
        ({}, "us"),
    ):
        mark = world.mark()
        assert edge.request("GET", "/", cf=cf).status_code == 200
        assert [request.region for request in world.seen(mark, least=1)] == [home]


def test_an_exception_on_some_request_is_in_the_log_and_the_next_is_served(make):
    edge = make()
    assert ask(edge, "us", headers={"x-fail": "1"}).status_code == 500
    assert "as asked" in "\n".join(edge.said())
    assert ask(edge, "us").status_code == 200


def test_every_country_has_a_tile_of_its_own_and_a_region():
    found = countries()
    assert len({(country.column, country.row) for country in found}) == len(found) > 140
    assert {country.home for country in found} == set(HOSTS)
    assert all(country.continent == "EU" or not country.eu for country in found if country.code != "CY")


def test_users_are_drawn_of_every_kind_from_many():
    drawn = [users(Random(seed)) for seed in range(30)]
    known = {country.code: country for country in countries()}
    for cf, home in drawn[0]:
        if cf.get("country", "").upper() in known:
            assert known[cf["country"].upper()].continent == cf["continent"].upper()
            assert HOME[cf["continent"].upper()] == home
    for tried in drawn:
        assert {cf.get("continent", "").upper() for cf, _ in tried} == {*HOME, "AN", ""}
        assert any("isEUCountry" in cf for cf, _ in tried)
    assert len({cf["country"] for tried in drawn for cf, _ in tried if "country" in cf}) > 120, (
        "a table is no short way"
    )
    assert drawn[0] == users(Random(0)) != drawn[1]
    for seed in range(30):
        resident, other = user(Random(seed), "eu", eu=True), user(Random(seed), "eu")
        assert (resident.cf["isEUCountry"], "isEUCountry" in other.cf) == ("1", False)


def test_without_npm_one_sentence_says_what_brings_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no npm here"):
        workerd.bring()


KERNEL = """
from llmlab.tiers.edge.world import World
world = World()
world.hang("eu")
print(world.folder, flush=True)
input()
"""


def test_a_kernel_killed_in_mid_experiment_leaves_nothing_after_clean():
    kill_kernel(KERNEL, least=8)  # three servers, the internet, and a keeper for each


#: Streams the origin's reply on, with a signal of a second on its fetch; READ: passes the body on untouched, or reads it itself.
SIGNALLED = """
export default {
  async fetch(request) {
    const reply = await fetch("https://us-east.llama.example.com" + new URL(request.url).pathname, {
      method: request.method, headers: request.headers, body: request.body, signal: AbortSignal.timeout(1000),
    });
    return READ;
  },
};
function read(reader) {
  return new ReadableStream({
    async pull(controller) {
      const next = await reader.read();
      next.done ? controller.close() : controller.enqueue(next.value);
    },
  });
}
"""


@pytest.mark.guess(
    guess="`AbortSignal.timeout()` on a worker's fetch bounds the whole reply; or: it is over once the headers are there.",
    really="Both, by what the worker does with the body. Passed on untouched (`return reply`, `new Response(reply.body, reply)`) the signal is "
    "over with the headers, and a stream that stops is not ended. Once the worker reads the body itself (`getReader`, "
    "`pipeThrough`), the signal still counts, and cuts a healthy stream that takes longer.",
    version="workerd 1.20261117",
    source="seen in the runtime; `AbortSignal` in the DOM standard says nothing of it",
    see="lab 12: a worker with `AbortSignal.timeout(1000)`, and a stream of some seconds through it",
)
@pytest.mark.parametrize(
    ("read", "whole"),
    [
        ("reply", True),
        ("new Response(reply.body, reply)", True),
        ("new Response(reply.body.pipeThrough(new TransformStream()), reply)", False),
        ("new Response(read(reply.body.getReader()), reply)", False),
    ],
    ids=["as-it-is", "in-a-new-response", "piped-through", "with-a-reader"],
)
def test_a_signal_cuts_a_stream_that_the_worker_reads_and_no_other(world, make, read, whole):
    edge = make(SIGNALLED.replace("READ", read))
    body = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True}
    done, began = False, time.monotonic()
    with contextlib.suppress(httpx.RemoteProtocolError):
        request = edge.build("POST", "/v1/completions", key=world.key, json=body)
        with contextlib.closing(edge.stream(request)) as reply:
            done = is_whole(reply.iter_bytes(), world.halting("us"), 2.5)
    assert done is whole
    assert whole or time.monotonic() - began < 2.5
