"""Bad input to lab 13's three files: file, line and the tool's own words; the globe stands on, and the next routing works."""

from __future__ import annotations

import socket

import pytest

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.tiers.regions import numbers
from llmlab.tiers.regions.globe import Globe
from llmlab.tiers.regions.probes import REFERENCE
from llmlab.tiers.regions.routing import Routing
from llmlab.tiers.regions.users import RegionalUsers

pytestmark = pytest.mark.needs("process", "regions")
FILES = ("regions.yaml", "llama.zone", "haproxy-global.cfg")


@pytest.fixture(scope="module")
def globe():
    with Globe() as one:
        yield one


@pytest.fixture
def files(tmp_path):
    for name in FILES:
        (tmp_path / name).write_text((REFERENCE / name).read_text())
    return tmp_path


def change(files, name, before, after):
    text = (files / name).read_text()
    assert before in text
    (files / name).write_text(text.replace(before, after, 1))
    return next(
        (
            n
            for n, line in enumerate((files / name).read_text().splitlines(), 1)
            if after.split("\n")[0] in line
        ),
        1,
    )


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("ttl: 2 ", "ttl: 0 ", "TTL of zero"),
        ("ttl: 2 ", "ttl: soon ", "not of type 'integer'"),
        ("asia: 1", "africa: 1", "no region africa; there are us, eu, asia"),
        ("policy: pickclosest", "policy: nearest", "'nearest' is not one of"),
        ("timeout: 1 ", "timeout: 3 ", "longer than the time between two"),
        ("fall: 2 ", "fal: 2 ", "nothing is known of fal"),
        ("rise: 5 ", "fall: 5 ", "stands twice"),
        ("ttl: 2 ", "ttl 2 ", "no YAML"),
        ("servers: 5.5", "server: 5.5", "promise: nothing is known of server"),
    ],
)
def test_numbers_that_cannot_be_are_refused_with_their_line(files, before, after, says):
    line = change(files, "regions.yaml", before, after)
    with pytest.raises(LabError) as caught:
        numbers.read(files / "regions.yaml")
    assert says in str(caught.value)
    assert caught.value.where in {f"regions.yaml:{line}", f"regions.yaml:{line + 1}"}, caught.value.where


@pytest.mark.parametrize("text", ["", "# only words\n", "- a\n- b\n"])
def test_a_file_without_numbers_is_said(files, text):
    (files / "regions.yaml").write_text(text)
    with pytest.raises(LabError, match=r"regions\.yaml"):
        numbers.read(files / "regions.yaml")


@pytest.mark.parametrize(
    ("name", "before", "after", "says"),
    [
        ("llama.zone", "@   IN LUA A", "@   IN LAU A", "'LAU' doesn't look like a qtype"),
        ("llama.zone", "eu  IN A   127.13.2.1", "eu  IN A   127.13.2", "eu.llama.example.com has no answer"),
        ("llama.zone", "@   IN LUA A (\"ifurlup(", "@   IN LUA A (\"ifurlupp(", "attempt to call global 'ifurlupp'"),
        ("llama.zone", "$TTL ${TTL}", "$TTL ${TLL}", "Nothing is called ${TLL}"),
        ("llama.zone", "eu  IN A ", "europe IN A ", "eu.llama.example.com has no answer: NXDOMAIN"),
        ("haproxy-global.cfg", "balance first", "balance frist", "balance"),
        ("haproxy-global.cfg", "default_backend everybody", "default_backend nobody", "nobody"),
        ("haproxy-global.cfg", 'bind "${BIND}"', 'bind "127.0.0.1:1"', "does not listen on ${BIND}"),
    ],
)  # fmt: skip
def test_what_a_tool_refuses_is_said_in_its_words_and_the_globe_stands_on(
    globe, files, name, before, after, says
):
    entries = len(owned.entries())
    line = change(files, name, before, after)
    with pytest.raises(LabError) as caught:
        Routing(globe, files)
    assert says in str(caught.value)
    assert str(caught.value.where).startswith(name)
    if says in ("balance", "'LAU' doesn't look like a qtype", "Nothing is called ${TLL}"):
        assert caught.value.where == f"{name}:{line}"
    assert str(globe.folder) not in str(caught.value)
    assert len(owned.entries()) == entries, "what it had started is still there"
    assert globe.routings == []


def test_checks_that_can_never_pass_are_told_by_the_proxy(globe, files):
    change(files, "haproxy-global.cfg", "GET /health", "GET /healthz")
    with Routing(globe, files) as routing, RegionalUsers(routing, at=["NA"]) as users:
        users.wait(8, lambda: any("404" in line for line in routing.said()))
        assert any("everybody/local" in line and "404" in line for line in routing.said()), routing.said()
        assert {row.status for row in users.stop() if row.sent > 6} <= {503}


def test_a_missing_file_says_what_brings_it_back(globe, files):
    (files / "llama.zone").unlink()
    with pytest.raises(LabError, match=r"no llama\.zone") as caught:
        Routing(globe, files)
    assert caught.value.fix == "llmlab reset"


def test_two_routings_of_one_globe_do_not_meet(globe, files):
    change(files, "llama.zone", "selector='pickclosest'", "selector='hashed'")
    with Routing(globe, files) as one, Routing(globe, REFERENCE) as other:
        assert one.port != other.port
        assert all(led == ("asia",) for kind, _, led, _, _ in other.answers() if kind in ("AS", "OC"))
    for port in (one.port, other.port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.13.1.1", port)), "the way to an entry is still open"
