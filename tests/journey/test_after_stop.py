"""After `lab.check()` and `lab.stop()` a notebook still has its objects: each method of each works, or says how to open it again.

Twice: of every face without opening it, on any machine; and of what was really open, where the machine has the need.
"""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import factory
import pytest
from faces import FACES, OPENERS, members

from llmlab import Lab
from llmlab.course.info import find_lab
from llmlab.errors import LabError
from llmlab.show.face import Face
from llmlab.show.measured import Measured
from llmlab.show.shown import Drawn, NothingToShow
from llmlab.tiers.aws.notebook.door import LiveFront
from llmlab.tiers.aws.notebook.longest import Longest
from llmlab.tiers.compose.notebook import PolicyShares
from llmlab.tiers.docker.notebook import MeasuredImage
from llmlab.tiers.fleet.notebook.planned import Planned
from llmlab.tiers.gateway.notebook.measured import Balanced
from llmlab.tiers.kubernetes.drivers import choose
from llmlab.tiers.kubernetes.notebook.cluster import LiveApplied
from llmlab.tiers.kubernetes.notebook.rollouts import Scaling
from llmlab.tiers.kubernetes.notebook.states import Timeline
from llmlab.tiers.process.notebook import ASKS, LiveServer
from llmlab.tiers.regions.lost import Lost
from llmlab.tiers.systemd.notebook import Exposed, Printed

COURSE = Path(__file__).resolve().parents[2]
LONGEST = Longest(factory.record([factory.run(concurrency=1), factory.run(concurrency=4, requests=100)]), 100)

#: What a learner would give to a method that cannot be called without.
ARGUMENTS = {
    ("Balanced", "value"): ["yours"],
    ("PolicyShares", "hits"): ["yours"],
    ("Scaling", "value"): ["yours"],
    ("Timeline", "value"): ["yours"],
    ("LiveApplied", "address"): ["llama-server"],
    ("LiveApplied", "endpoints"): ["llama-server"],
    ("LiveApplied", "models"): ["llama-server"],
    ("LiveCluster", "kubectl"): ["get pods"],
    ("LiveGateway", "ask"): ["/v1/models"],
    ("LiveInfra", "cost"): [LONGEST],
    ("LiveMachine", "run"): ["uptime"],
    ("LiveProject", "measure"): [[]],
    ("LiveProject", "scale"): [2],
    ("LiveRegions", "lose"): ["us", "cut off"],
    ("LiveServer", "measure"): [[]],
    ("Measured", "save"): ["record.json"],
}  # fmt: skip
#: What only holds numbers: nothing of it is open, and all of it works.
EXPOSURE = factory.table(
    "exposure",
    "unit directive exposure",
    [[unit, what, 5.0] for unit in ("the guide's unit", "your unit") for what in ("overall", "PrivateTmp")],
)
SCALED = [[name, at, 2, 2, 1, 0] for name in ("guide", "yours") for at in (0.0, 2.0)]
STATES = [[name, f"{name}-1", 0.0, 2.0, "Ready", 0] for name in ("guide", "yours")]
LAYER = [["mine", "layer", "FROM", 1e6, None], ["mine", "start", "1", 0, 0.5]]
HOLD_NUMBERS = {
    "PolicyShares": lambda: PolicyShares(
        factory.table("shares", "policy cached_tokens prompt_tokens", [["yours", 1, 3]]),
        lambda table, **_: None,
        ["yours: 25 %"],
    ),
    "Balanced": lambda: Balanced(factory.talks()),
    "Exposed": lambda: Exposed(EXPOSURE, Path("exposure.json")),
    "Longest": lambda: LONGEST,
    "MeasuredImage": lambda: MeasuredImage(factory.table("image", "image what label bytes seconds", LAYER)),
    "Planned": lambda: Planned(
        SimpleNamespace(files=Path(), seed=0)
    ),  # without a plan.toml: each method says so
    "Printed": lambda: Printed("up 3 days"),
    "Scaling": lambda: Scaling(factory.table("scaling", "set at wanted ready users waiting", SCALED), 1.0),
    "Timeline": lambda: Timeline(factory.table("states", "set pod from to state restarts", STATES)),
}


def methods(face: type) -> dict[str, type]:
    """All that it offers, its bases' too: name → the class that has it."""
    bases = [base for base in reversed(face.__mro__) if base in FACES.values()]
    return {name: base for base in bases for name in members(base)}


def ask(thing: object, name: str, owner: type) -> object:
    """Call a method, or read a property, as a learner would; a LabError is an answer."""
    kind = inspect.getattr_static(type(thing), name)
    try:
        if isinstance(kind, property):
            return getattr(thing, name)
        given = ARGUMENTS.get((owner.__name__, name), [])
        required = [
            word
            for word in list(inspect.signature(kind).parameters.values())[1:]
            if word.default is word.empty and word.kind in (word.POSITIONAL_ONLY, word.POSITIONAL_OR_KEYWORD)
        ]
        assert len(given) >= len(required), f"{owner.__name__}.{name} has no arguments in ARGUMENTS"
        return getattr(thing, name)(*given)
    except LabError as error:
        return error


def says(found: object) -> str:
    """The lines of the one LabError."""
    assert isinstance(found, LabError | NothingToShow), found
    return str(found) if isinstance(found, LabError) else repr(found)


def is_the_sentence(found: object) -> bool:
    """What ended, and the line that opens it again."""
    said = says(found)
    return bool(re.search(r"lab\.(check|stop)\(\)", said)) and bool(re.search(r"fix: .* = lab\.\w+\(", said))


# -- without opening it --------------------------------------------------------------------------------------


def closed(name: str) -> Face:
    """A face that has ended, with nothing in it: whatever a method would need is not there."""
    face = FACES[name]
    thing = object.__new__(face)
    thing._closed = True
    thing.lab = SimpleNamespace(files=None)
    if face is LiveServer:
        thing.server = SimpleNamespace(running=False, exit_code=0, last_error=lambda: "")
    if face is LiveApplied:
        thing._live = closed("LiveCluster")
    vars(thing).update(_words="", _line="lab.run('mine')", file="compose.yaml", dockerfile="Dockerfile")
    return thing


def test_every_face_is_one_that_can_end_or_holds_numbers_alone():
    kinds = {name for name, face in FACES.items() if issubclass(face, Face)}
    assert kinds.isdisjoint(HOLD_NUMBERS)
    assert sorted(FACES) == sorted(kinds | HOLD_NUMBERS.keys()), (
        "a new face: a Face, or an entry in HOLD_NUMBERS"
    )
    assert set(OPENERS.values()) <= kinds
    assert set(OPENERS) == set(REAL), "what opens it for real"


WORKS = {("LiveServer", "status"), ("LiveServer", "notes"), ("LiveRegions", "predicted"), ("LiveCluster", "cost")} | {
    ("LiveInfra", "longest"), ("LiveInfra", "cost"), ("LiveFront", "config"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name, face in FACES.items() if issubclass(face, Face)))
def test_each_method_of_what_has_ended_says_how_to_open_it_again(name):
    thing = closed(name)
    asked = {
        method: owner
        for method, owner in methods(FACES[name]).items()
        if (owner.__name__, method) not in WORKS and method not in closing(FACES[name])
    }
    assert asked or name == "LiveFront"
    for method, owner in asked.items():
        found = ask(thing, method, owner)
        assert is_the_sentence(found), f"{name}.{method}: {found!r}"
    if name != "LiveServer":
        assert "fix:" in repr(thing), "the cell that ends with it"
        assert getattr(thing, "_repr_html_", lambda: None)() is None, "the lines are enough"


def closing(face: type) -> set[str]:
    return {"stop"} if face is LiveServer else {"close"}


@pytest.mark.parametrize("name", sorted(HOLD_NUMBERS))
def test_what_holds_numbers_works_for_ever(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    thing = HOLD_NUMBERS[name]()
    for method, owner in methods(FACES[name]).items():
        found = ask(thing, method, owner)
        assert not isinstance(found, LabError), f"{name}.{method}: {found}"
    assert repr(thing)


def test_what_was_replaced_says_so_and_the_line_has_the_learners_words():
    applied = closed("LiveApplied")
    applied._live._closed, applied._live._words = False, "'storage'"
    assert "no longer in the cluster" in says(ask(applied, "pods", LiveApplied))
    applied._live._closed = True
    assert "cluster = lab.cluster('storage'), then app = cluster.apply()" in says(
        ask(applied, "pods", LiveApplied)
    )
    front = closed("LiveFront")
    assert isinstance(front, LiveFront)
    assert "front = infra.front()" in says(ask(front, "ask", LiveFront))


# -- what was really open ------------------------------------------------------------------------------------

#: Method of the lab → the lab, and how its notebook opens the thing.
REAL = {
    "serve": ("01", lambda lab: [lab.serve("server.toml")]),
    "build": ("03", lambda lab: [lab.build()]),
    "run": ("03", lambda lab: [lab.run("debian:trixie-slim", "sleep", "60")]),
    "up": ("04", lambda lab: [lab.up("compose.yaml")]),
    "boot": ("05", lambda lab: [lab.boot()]),
    "cluster": ("06", lambda lab: [cluster := lab.cluster(), cluster.apply()]),
    "front": ("09", lambda lab: [front := lab.front(), front.apply()]),
    "terraform": ("10", lambda lab: [lab.terraform()]),
    "cloud_run": ("11", lambda lab: [lab.cloud_run()]),
    "fargate": ("11", lambda lab: [lab.fargate()]),
    "container_instances": ("11", lambda lab: [lab.container_instances()]),
    "edge": ("12", lambda lab: [lab.edge()]),
    "fleet": ("14", lambda lab: [lab.fleet()]),
    "regions": ("13", lambda lab: [regions := lab.regions(), regions.lose("us", "cut off", 1)]),
}


def cases() -> list[object]:
    found = []
    for name, (number, _) in REAL.items():
        needs = {
            *find_lab(number, COURSE).needs,
            "docker" if name in ("fargate", "container_instances") else "process",
        }
        marks = pytest.mark.needs(*sorted(needs))
        found.append(pytest.param(name, marks=marks, id=name))
    return found


@pytest.fixture
def lab_of(tmp_path, monkeypatch):
    """A lab of a copy of the course, with the solution's files."""
    made = []

    def make(number: str) -> Lab:
        info = find_lab(number, COURSE)
        for name in (f"labs/{info.name}", f"solutions/{info.name}"):
            skip = shutil.ignore_patterns("records", ".llmlab", "__pycache__")
            shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
        (tmp_path / "data").symlink_to(COURSE / "data")
        for name in info.artifacts:
            shutil.copyfile(info.solution / name, tmp_path / "labs" / info.name / name)
        monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
        monkeypatch.chdir(tmp_path / "labs" / info.name)
        made.append(Lab.here())
        return made[0]

    yield make
    for lab in made:
        lab.stop()


@pytest.mark.parametrize("opener", cases())
def test_what_was_open_works_or_says_how_to_open_it_again(opener, lab_of, monkeypatch):
    monkeypatch.setenv(choose.VARIABLE, "simulated")
    number, opened = REAL[opener]
    lab = lab_of(number)
    things = opened(lab)
    assert type(things[0]).__name__ == OPENERS[opener]
    assert "ended with lab.check()" not in repr(things[0])
    lab.stop()
    for thing in things:
        if isinstance(thing, Drawn):
            assert thing.plot().alt
            assert not isinstance(thing, Lost) or thing.seen().rows
            continue
        for method, owner in methods(type(thing)).items():
            found = (
                LONGEST if method == "longest" else ask(thing, method, owner)
            )  # that measures for a minute
            if (owner.__name__, method) in WORKS:
                assert not isinstance(found, LabError | NothingToShow), f"{method}: {found!r}"
            elif method not in closing(type(thing)):
                assert is_the_sentence(found), f"{method}: {found!r}"
        assert repr(thing)
        if isinstance(thing, LiveServer):
            for name in ASKS:
                with pytest.raises(LabError, match=r"not running: it ended with lab\.check\(\)"):
                    getattr(thing, name)
            assert thing.status() == "○ llama-server stopped"
            assert thing.log_tail() is not None


def test_the_longest_reply_is_measured_where_nothing_is_open(monkeypatch):
    monkeypatch.setattr("llmlab.tiers.aws.notebook.longest.longest", lambda lab, tokens: LONGEST)
    assert closed("LiveInfra").longest() is LONGEST


@pytest.mark.needs("process")
def test_what_a_check_closes_says_the_same(lab_of):
    lab = lab_of("01")
    server = lab.serve()
    lab.check("starts", quiet=True)
    assert is_the_sentence(ask(server, "load", LiveServer))


@pytest.mark.needs("process")
def test_a_server_that_died_by_itself_says_so(lab_of):
    import os
    import signal

    lab = lab_of("01")
    server = lab.serve()
    os.kill(server.pid, signal.SIGKILL)
    server.server._process.wait(10)
    assert "it ended by itself" in says(ask(server, "load", LiveServer))


@pytest.mark.needs("process")
def test_figures_and_tables_of_a_load_are_drawn_after_the_end(lab_of):
    lab = lab_of("01")
    run = lab.serve().load(concurrency=1, requests=2, max_tokens=4, quiet=True)
    lab.stop()
    assert isinstance(run, Measured)
    assert run.plot().alt
    assert len(run.table()) == 1
    assert run.save(lab.files / "again.json").exists()
