"""Each kind of file that people write for llmlab: a wrong type, an unknown key and a missing one name file, key and line."""

from __future__ import annotations

import re

import pytest

from llmlab.course.info import read_info
from llmlab.errors import LabError
from llmlab.grade.manual import read_manual
from llmlab.grade.rules import Rules, read_rules
from llmlab.serve import Spec
from llmlab.tiers.regions import numbers

LAB = """\
schema = 1
title = "Short replies"
minutes = 30
objectives = ["say what a slot is"]
needs = ["process"]
artifacts = ["server.toml"]
points = 3

[starter]
fails = ["starts"]

[images]
docker = ["debian:trixie-slim"]
kubernetes = ["llama-server:v1.0.0"]

[late]
per_day = 0.1

[grade]
ready = 30
memory = "1G"
"""
SERVER = """\
schema = 1
model = "tiny"
[flags]
ctx-size = 4096
[limits]
cpus = 1
[env]
OMP_NUM_THREADS = 8080
"""
MANUAL = """\
schema = 1
["alice"]
points = 1
checks.starts = { points = 1 }
"""
REGIONS = """\
schema: 1
policy: pickclosest
ttl: 2
weights: { us: 1, eu: 1, asia: 1 }
health:
  interval: 1
  timeout: 1
  fall: 2
  rise: 5
promise:
  region: 5.5
  servers: 5.5
"""


def lab(path):
    read_rules(path.parent)
    return read_info(path.parent)


KINDS = {
    "lab.toml": (LAB, lab),
    "server.toml": (SERVER, Spec.read),
    "manual.toml": (MANUAL, lambda path: read_manual(path, ["alice"], {"starts": 2.0})),
    "regions.yaml": (REGIONS, numbers.read),
}


@pytest.fixture
def read(tmp_path):
    def go(name, before="", after=""):
        text, reads = KINDS[name]
        assert before in text
        path = tmp_path / "20-short-replies" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(before, after, 1))
        return reads(path)

    return go


def test_a_good_one_is_read(read):
    info = read("lab.toml")
    assert (info.number, info.minutes, info.points, info.starter_fails) == ("20", 30, 3.0, ("starts",))
    assert info.images == {"docker": ("debian:trixie-slim",), "kubernetes": ("llama-server:v1.0.0",)}
    assert info.late is not None
    assert read_rules(info.folder) == Rules(ready=30.0, memory=1 << 30)
    assert read("server.toml").env == {"OMP_NUM_THREADS": "8080"}
    assert read("manual.toml")["alice"].checks["starts"].points == 1
    made = read("regions.yaml")
    assert (made.ttl, made.promise_region) == (2, 5.5)
    assert "SCHEMA" not in made.names


@pytest.mark.parametrize("name", KINDS)
def test_without_a_schema_it_is_the_first_and_another_is_refused(read, name):
    before = "schema: 1" if name.endswith("yaml") else "schema = 1"
    read(name, before)
    with pytest.raises(LabError, match=r"schema.*2") as caught:
        read(name, before, before.replace("1", "2"))
    assert name in str(caught.value)
    assert "1" in caught.value.where
    with pytest.raises(LabError, match=r"schema.*True"):
        read(name, before, before.replace("1", "true"))


@pytest.mark.parametrize(
    ("name", "before", "after", "line", "says"),
    [
        # a wrong type
        (
            "lab.toml",
            "minutes = 30",
            'minutes = "soon"',
            3,
            "minutes is 'soon', and should be a whole number",
        ),
        ("lab.toml", '["process"]', '"process"', 5, "needs is 'process', and should be a list"),
        ("lab.toml", '["process"]', "[1]", 5, "needs is [1], and should be a list of text in quotes"),
        ("lab.toml", "points = 3", "points = nan", 7, "points is nan"),
        (
            "lab.toml",
            '["starts"]',
            "[true]",
            10,
            "[starter] fails is [True], and should be a list of text in quotes",
        ),
        (
            "lab.toml",
            '["llama-server:v1.0.0"]',
            '"llama-server"',
            14,
            "[images] kubernetes is 'llama-server'",
        ),
        ("lab.toml", "per_day = 0.1", 'per_day = "much"', 17, "[late] per_day is 'much'"),
        ("lab.toml", "ready = 30", 'ready = "soon"', 20, "[grade] ready is 'soon'"),
        ("lab.toml", '"1G"', '"lots"', 21, "'lots' is not a size"),
        ("lab.toml", '"1G"', "true", 21, "memory is True"),
        ("server.toml", '"tiny"', "3", 2, "model must be text"),
        ("server.toml", "4096", "{ a = 1 }", 4, "ctx-size cannot be"),
        ("server.toml", "4096", '["a", 1]', 4, "ctx-size cannot be"),
        ("server.toml", "cpus = 1", 'cpus = "many"', 6, "above 0, not 'many'"),
        ("server.toml", "8080", "[8080]", 8, "OMP_NUM_THREADS cannot be"),
        ("manual.toml", "points = 1\n", 'points = "x"\n', 3, "points is 'x', and should be a number"),
        ("manual.toml", "{ points = 1 }", "{ points = [1] }", 4, "checks.starts.points is [1]"),
        ("regions.yaml", "ttl: 2", "ttl: soon", 3, "'soon' is not of type 'integer'"),
        (
            "regions.yaml",
            "ttl: 2",
            "ttl: 90000",
            3,
            "ttl: 90000, and should be a whole number of at most 86400",
        ),
        ("regions.yaml", "eu: 1", "eu: [1]", 4, "weights.eu"),
        # an unknown key
        ("lab.toml", "minutes = 30", "minutes = 30\nminuets = 30", 4, "no key 'minuets'"),
        ("lab.toml", "fails =", "fals =", 10, "[starter] has no key 'fals'"),
        ("lab.toml", "per_day", "per_week", 17, "[late]"),
        ("lab.toml", "ready =", "redy =", 20, "[grade] has no key 'redy'"),
        ("server.toml", "[flags]", "[flag]", 3, "did you mean flags"),
        ("server.toml", "cpus", "cpu", 6, "[limits] has no key 'cpu'"),
        ("manual.toml", "points = 1\n", "point = 1\n", 3, "no key 'point'"),
        ("regions.yaml", "eu: 1", "ue: 1", 4, "no region ue"),
        ("regions.yaml", "fall: 2", "fal: 2", 8, "nothing is known of fal"),
        ("regions.yaml", "fall: 2", "7: 2", 8, "nothing is known of 7"),
        # a missing one: where there is no line of its own, that of its table
        ("lab.toml", "minutes = 30\n", "", None, "lab.toml lacks minutes"),
        ("lab.toml", "per_day = 0.1\n", "", 16, "[late] lacks per_day"),
        ("manual.toml", '["alice"]\n', "", 2, "above the first learner"),
        ("regions.yaml", "ttl: 2\n", "", 1, "'ttl' is missing"),
        ("regions.yaml", "  rise: 5\n", "", 5, "health: 'rise' is missing"),
    ],
)
def test_what_is_wrong_names_file_key_and_line(read, name, before, after, line, says):
    with pytest.raises(LabError) as caught:
        read(name, before, after)
    said = str(caught.value)
    assert says in said
    assert name in said
    if line:
        assert re.search(rf"(?:line |:){line}\b", said), said
