"""A class that hands in a Dockerfile and a Compose file, some of them meant to harm: what each gets, and that nothing stays."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import tinyboxes
from tinyboxes import DOCKERFILE, TOKEN, compose, hand_in

from llmlab.grade import daemon, grade
from llmlab.grade.sandbox import Sandbox
from llmlab.show.elsewhere import Elsewhere
from llmlab.system import owned

pytestmark = [pytest.mark.needs("docker", "images"), pytest.mark.timeout(400)]

ASKS_THE_DAEMON = """
import os, socket
found = [where for place in ('/run', '/var', '/home', '/tmp') for where, _, names in os.walk(place) if 'docker.sock' in names]
def reached(family, where):
    try:
        with socket.socket(family) as one:
            one.settimeout(2)
            one.connect(where)
        return True
    except OSError:
        return False
there = found or reached(socket.AF_UNIX, '/var/run/docker.sock') or reached(socket.AF_INET, ('172.17.0.1', 22))
there = there or [name for name in os.environ if name.startswith('DOCKER')]
lab.answer(word=f'it is there: {there}' if there else 'box')
"""
HARMLESS = "test ! -e /host/etc && echo hello && touch /tmp/up && exec sleep 600"


@dataclass(frozen=True)
class Case:
    """One submission, and what must come of it."""

    name: str
    points: float
    dockerfile: str = DOCKERFILE
    stack: str | None = None
    word: str = "lab.answer(word='box')"
    fails: tuple[str, ...] = ()
    says: str = ""
    quick: bool = False


CASES = [
    Case("good", 5, quick=True),
    Case("asks the daemon", 5, word=ASKS_THE_DAEMON, quick=True),
    Case(
        "mounts root",
        3,
        stack=compose('volumes: ["/:/host"]'),
        fails=("stack",),
        says="services.web.volumes.0 (line 9): / lies outside of this folder",
        quick=True,
    ),
    Case(
        "endless build",
        3,
        dockerfile="FROM debian:trixie-slim\nRUN sleep 1000\n",
        fails=("image",),
        says="The build was not done after 12 s. It was at [2/2] RUN sleep 1000.\\n  where: Dockerfile:2",
        quick=True,
    ),
    Case(
        "memory hog",
        3,
        stack=compose(command="tail /dev/zero"),
        fails=("stack",),
        says="exited (137)",
        quick=True,
    ),
    Case("fork bomb", 3, stack=compose(command="b() { b | b & b; }; b"), fails=("stack",), says="web"),
    Case(
        "socket",
        3,
        stack=compose('volumes: ["/var/run/docker.sock:/s"]'),
        fails=("stack",),
        says="Docker socket",
    ),
    Case(
        "privileged", 3, stack=compose("privileged: true"), fails=("stack",), says="services.web.privileged"
    ),
    Case(
        "host network",
        3,
        stack=compose("network_mode: host").replace(f"    networks: [{TOKEN}]\n", ""),
        fails=("stack",),
        says="host is not a namespace of its own",
    ),
    Case(
        "another's volume",
        3,
        stack=compose('volumes: ["vol:/v"]', f"volumes: {{vol: {{external: true, name: {TOKEN}}}}}\n"),
        fails=("stack",),
        says="volumes.vol.external",
    ),
    Case("shared name", 5, stack=compose('volumes: ["vol:/v"]', f"volumes: {{vol: {{name: {TOKEN}}}}}\n")),
    Case("link out", 5, stack=compose('volumes: ["./out:/host:ro"]', command=HARMLESS)),
    Case("above", 3, stack=compose("build: {context: ..}"), fails=("stack",), says="lies outside"),
    Case("over the base", 5, stack=compose("build: {context: .}")),
    Case(
        "endless build in Compose",
        1,
        dockerfile="FROM debian:trixie-slim\nRUN sleep 1000\n",
        stack=compose("build: {context: .}"),
        fails=("image", "stack"),
        says="The build was not done after 12 s.",
    ),
    Case("hundreds", 3, stack=compose("deploy: {replicas: 500}"), fails=("stack",), says="500 containers"),
    Case(
        "fork bomb in a build",
        3,
        dockerfile="FROM debian:trixie-slim\nRUN b() { b | b & b; }; b\n",
        fails=("image",),
        says="Cannot fork",
    ),
    Case("no YAML", 3, stack="services: [\n", fails=("stack",), says="compose.yaml:2"),
    Case("no Dockerfile", 3, dockerfile="FRM x\n", fails=("image",), says="FRM"),
    Case(
        "calls the host",
        3,
        dockerfile="FROM debian:trixie-slim\nRUN bash -c 'echo hello > /dev/tcp/127.0.0.1/PORT'\n",
        fails=("image",),
        says="Connection refused",
    ),
    Case(
        "builds on the host",
        3,
        dockerfile="FROM debian:trixie-slim\nRUN --network=host true\n",
        fails=("image",),
        says="--network=host",
    ),
    Case(
        "another reader",
        3,
        dockerfile="# syntax=evil/reader:1\nFROM debian:trixie-slim\n",
        fails=("image",),
        says="only docker/dockerfile reads it",
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, request):
    """A course with the lab in miniature, and the class's submissions."""
    root = tmp_path_factory.mktemp("class")
    info = tinyboxes.make(root / "course")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        port = str(listener.getsockname()[1])
        for case in CASES:
            if case.quick or request.config.getoption("--full"):
                hand_in(
                    root / "submissions" / case.name,
                    dockerfile=case.dockerfile.replace("PORT", port),
                    stack=case.stack,
                    word=case.word,
                )
        if (root / "submissions" / "link out").exists():
            (root / "submissions" / "link out" / "out").symlink_to("/")
        yield root, info, listener


def environment(root: Path) -> dict[str, str]:
    (root / "tmp").mkdir(exist_ok=True)
    return os.environ | {"LLMLAB_STATE": str(root / "state"), "TMPDIR": str(root / "tmp")}


def line(root: Path, info, *more: str) -> list[str]:
    done = [sys.executable, "-m", "llmlab", "grade", str(info.folder), str(root / "submissions")]
    return [*done, "--out", str(root / "grades"), "--jobs", "2", *more]


def base() -> str:
    from llmlab.tiers.docker.daemon import client

    return str(client().images.get("debian:trixie-slim").id)


@pytest.fixture(scope="module")
def graded(place):
    """The class, graded once, two submissions at a time."""
    root, info, _ = place
    before = base()
    done = subprocess.run(line(root, info), env=environment(root), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert base() == before, "no submission may put its own image in a base's place"
    with open(root / "grades" / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        return {row["learner"]: row for row in csv.DictReader(file)}, root / "grades", done.stdout


def result(out: Path, key: str) -> dict:
    return json.loads((out / key / "result.json").read_text())


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[] if case.quick else pytest.mark.full) for case in CASES]
)
def test_each_submission_gets_what_it_deserves(graded, case):
    rows, out, _ = graded
    row = rows[case.name]
    found = result(out, row["key"])
    said = json.dumps(found, ensure_ascii=False)
    checks = found["result"]["outcomes"]
    assert found["status"] == "graded", said
    assert {check["check"] for check in checks if check["status"] != "passed"} == set(case.fails), said
    assert {check["status"] for check in checks} <= {"passed", "failed"}, said
    assert float(row["score"]) == case.points
    assert case.says in said
    assert found["leftovers"] == []
    assert "/tmp" not in "".join(json.dumps(check["evidence"]) for check in checks), "the grader's own paths"


def test_it_says_what_holds_them_and_what_they_may_take(graded):
    rows, out, said = graded
    found = result(out, rows["good"]["key"])
    assert "(containers)" in said
    assert found["isolation"].startswith("containers: ")
    data = {outcome["check"]: outcome["data"] for outcome in found["result"]["outcomes"]}
    cpus = min(2, os.cpu_count() or 2) * 10**9
    assert data["image"] == {"pids": 64, "memory": 96 << 20, "cpus": cpus}
    assert data["stack"]["limits"] == str([(64, 96 << 20, cpus)])


@pytest.mark.needs("sandbox")
def test_the_notebook_ran_to_its_end_without_the_daemon(graded):
    rows, out, _ = graded
    found = result(out, rows["good"]["key"])
    assert found["notebook"]["status"] == "ran"
    assert found["notebook"]["cells"] == [], "lab.build, run, up and boot may not fail there"
    text = (out / "good" / "lab.ipynb").read_text()
    assert "The grader deploys these files itself." in text
    assert "5 of 5 points" in text


def test_afterwards_nothing_is_left(place, graded):
    root, _, listener = place
    assert tinyboxes.left() == []
    clean = [sys.executable, "-m", "llmlab", "clean", "--list"]
    said = subprocess.run(clean, env=environment(root), capture_output=True, text=True).stdout
    assert said == "nothing is running\n"
    assert not [path for path in (root / "tmp").iterdir() if path.name.startswith("llmlab")]
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.full
def test_out_of_time_while_it_comes_up_it_failed_and_is_removed(tmp_path):
    """The process that deploys is ended in the middle; the daemon would go on without it."""
    info = tinyboxes.make(tmp_path / "course", checks="8")
    never = compose(command="echo hello; exec sleep 600").replace("retries: 20", "retries: 2000")
    found = grade(info, hand_in(tmp_path / "slow", stack=never))
    assert found.result is not None
    assert found.result["stack"].status == "failed", found
    assert "all checks are done within 8 s" in found.result["stack"].evidence.expected
    assert found.result["word"].status == "skipped"
    assert found.leftovers == []
    assert (tinyboxes.left(), owned.entries()) == ([], [])


def coming_up(root: Path, info) -> subprocess.Popen[str]:
    """A grader with two projects in the daemon that never get healthy."""
    never = compose(command="echo hello; exec sleep 600").replace("retries: 20", "retries: 2000")
    for name in ("a", "b"):
        shutil.rmtree(root / "submissions" / name, ignore_errors=True)
        hand_in(root / "submissions" / name, stack=never)
    process = subprocess.Popen(
        line(root, info), env=environment(root), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len([remnant for remnant in tinyboxes.left() if remnant.startswith("container llmlab-")]) < 2:
        assert time.monotonic() < deadline, "two projects come up"
        time.sleep(0.2)
    return process


def killed(process: subprocess.Popen[str]) -> None:
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert tinyboxes.left(), "the daemon knows nothing of who asked"


@pytest.mark.full
def test_interrupted_it_removes_what_was_coming_up(tmp_path):
    info = tinyboxes.make(tmp_path / "course")
    process = coming_up(tmp_path, info)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in said
    assert tinyboxes.left() == []


@pytest.mark.full
def test_after_a_killed_grader_nothing_stays_and_the_next_run_goes_on(tmp_path):
    """kill -9 with containers up: `llmlab clean` removes them, and so does grading on."""
    info = tinyboxes.make(tmp_path / "course")
    env = environment(tmp_path)
    killed(coming_up(tmp_path, info))
    subprocess.run([sys.executable, "-m", "llmlab", "clean"], env=env, check=True, capture_output=True)
    assert tinyboxes.left() == []
    killed(coming_up(tmp_path, info))
    for name in ("a", "b"):
        (tmp_path / "submissions" / name / "compose.yaml").write_text(compose())
    done = subprocess.run(line(tmp_path, info), env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 of 5") == 2, done.stdout
    assert tinyboxes.left() == []


@pytest.mark.needs("root")
def test_what_holds_builds_is_let_go_of_also_after_a_killed_grader(tmp_path, monkeypatch):
    """On files of our own: what they stand for is the daemon's."""
    info = tinyboxes.make(tmp_path / "course")
    path = tmp_path / "pids" / "docker" / "buildkit" / "pids.max"
    path.parent.mkdir(parents=True)
    path.write_text("max\n")
    monkeypatch.setattr(daemon, "CGROUP", tmp_path)
    with daemon.held(info, 77):
        assert path.read_text() == "77"
        with daemon.held(info, 99):
            assert path.read_text() == "77", "the first one's, until it lets go"
        assert path.read_text() == "77", "the first one is still at work"
    assert path.read_text() == "max"
    with daemon.held(info, 77):
        for entry in [entry for entry in owned.entries() if entry.kind == daemon.HELD]:
            entry.end()  # as `llmlab clean --all` would
        assert path.read_text() == "max", "its own entry is no other grader's"
    path.write_text("64")
    with daemon.held(info, 77):
        assert path.read_text() == "64"
    assert path.read_text() == "max", "also what somebody left who is gone"
    code = (
        "import os, sys; from pathlib import Path; from llmlab.grade import daemon; from llmlab.course.info import read_info\n"
        "daemon.CGROUP = Path(sys.argv[1])\n"
        "with daemon.held(read_info(Path(sys.argv[2])), 55): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(info.folder)])
    assert path.read_text() == "55"
    owned.clean()
    assert path.read_text() == "max"


def test_without_docker_it_says_so_before_it_looks_at_anything(tmp_path):
    info = tinyboxes.make(tmp_path / "course")
    env = environment(tmp_path) | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(line(tmp_path, info), env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "graded in containers: The Docker daemon is not running" in done.stderr
    assert "fix:" in done.stderr
    assert "submissions" not in done.stderr, "there is no such folder, but nobody has looked"
    assert not (tmp_path / "grades").exists()


@pytest.mark.full
def test_without_bubblewrap_no_cell_runs_beside_the_daemon(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    info = tinyboxes.make(tmp_path / "course")
    mark = tmp_path / "ran"
    word = f"open({str(mark)!r}, 'w')\nlab.answer(word='box')"
    found = grade(info, hand_in(tmp_path / "alice", word=word))
    assert not mark.exists()
    assert found.notebook.status == "none"
    assert found.answers == {"word": "box"}
    assert any("was not run" in remark for remark in found.remarks)
    assert found.result is not None
    assert found.result.points == 5


def test_a_group_that_is_killed_takes_what_it_started_along(tmp_path, monkeypatch):
    """Also where no cgroup is there to find it: a docker command that goes on would make things after their removal."""
    monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    info = tinyboxes.make(tmp_path / "course")
    with Sandbox(lab=info.folder) as box:
        code = "import subprocess, sys\nprint('up', flush=True)\nsubprocess.run(['sleep', '600'])"
        process = box.popen(["-c", code])
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        deadline = time.monotonic() + 10
        while not any(
            child.name() == "sleep" for child in psutil.Process(process.pid).children(recursive=True)
        ):
            assert time.monotonic() < deadline, "it has started something"
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(timeout=10)
        _, alive = psutil.wait_procs(below, timeout=2)
        assert alive == []


def test_whatever_a_notebook_asks_of_what_is_elsewhere_it_goes_on():
    here = Elsewhere()
    with here.run("x", 1) as one:
        assert repr(one.stdout["a"][0]) == "The grader deploys these files itself."
    assert f"{here.seconds:.1f} s" == "The grader deploys these files itself. s"
    assert [*here.steps] == list(here) == []
    assert not here.ready
    assert not here.seconds < 3
    assert str(round((here.size - 1) / 2**20 + 3, 1)) == repr(here)
    assert "nan" in f"{float(here):.1f}"
    with pytest.raises(AttributeError):
        here._repr_html_()
    import matplotlib.figure

    matplotlib.figure.Figure().subplots().plot([1, 2], [here.a, here.b])


def test_the_miniature_fails_when_it_should(tmp_path):
    """The starter says no hello; so the checks here can fail."""
    info = tinyboxes.make(tmp_path / "course")
    shutil.copytree(info.folder, tmp_path / "starter")
    found = grade(info, tmp_path / "starter")
    assert found.result is not None
    assert found.result.points == 0, found.result
    assert tinyboxes.left() == []
