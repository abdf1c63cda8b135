"""A build that fails says which step, which line and what it said last; one that works says what it took."""

from __future__ import annotations

import subprocess

import pytest
from dockyard import held

from llmlab.errors import LabError, Unavailable
from llmlab.tiers.docker import daemon
from llmlab.tiers.docker.build import build
from llmlab.tiers.docker.daemon import client
from llmlab.tiers.docker.images import STAND_IN, ensure, here, missing, named
from llmlab.tiers.docker.owning import Claim
from llmlab.tiers.docker.registry import pin
from llmlab.tiers.docker.survey import layers, survey

pytestmark = pytest.mark.needs("docker", "images")


@pytest.fixture
def claim(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))
    with Claim("a test of builds") as one:
        yield one
    monkeypatch.undo()
    assert held(one.name) == []


def made(tmp_path, claim, text: str, **options):
    (tmp_path / "Dockerfile").write_text(text)
    return build(tmp_path, tag=f"{claim.name}:test", labels=claim.labels, **options)


#: Files with here-documents, and what a builder that knows none says of each.
HEREDOCS = {
    "copy": "FROM debian:trixie-slim\nCOPY --chmod=0755 <<'EOF' /start\n#!/bin/sh\nset -eu\nEOF\n",
    "run": 'FROM debian:trixie-slim\nRUN <<EOF\necho a > /file\nEOF\nCMD ["cat", "/file"]\n',
    "two": "FROM debian:trixie-slim\nCOPY <<-ONE /one\nFROM nowhere\nONE\nCOPY <<TWO /two\nmode: two\nTWO\n",
}


@pytest.mark.parametrize("text", HEREDOCS.values(), ids=HEREDOCS)
def test_a_here_document_is_built_or_the_builder_is_said_to_be_too_old(tmp_path, claim, text):
    problem = made(tmp_path, claim, text).problem
    if int(client().version()["Version"].split(".")[0]) >= 23:
        assert problem is None
    else:
        assert "too old to know" in problem.what
        assert "they came with Docker 23" in problem.what
        assert problem.where == "Dockerfile:2"
        assert "RUN printf" in problem.fix


def test_an_unknown_instruction_outside_of_a_here_document_is_only_that(tmp_path, claim):
    problem = made(tmp_path, claim, "FROM debian:trixie-slim\nRUN echo $((1 << 2))\nUSSER me\n").problem
    assert "unknown instruction: USSER" in problem.what
    assert "too old" not in problem.what
    assert problem.where == "Dockerfile:3"


GOOD = "FROM debian:trixie-slim AS one\nRUN echo first > /file\nFROM scratch\nCOPY --from=one /file /file\n"


def test_a_build_gives_its_steps_its_bases_and_what_came_from_the_cache(tmp_path, claim):
    first = made(tmp_path, claim, GOOD, fresh=True)
    assert first.problem is None
    assert first.bases == ("docker.io/library/debian:trixie-slim",)
    assert [step.instruction for step in first.steps if step.instruction.startswith("RUN")] == [
        "RUN echo first > /file"
    ]
    assert not first.cached
    assert made(tmp_path, claim, GOOD).cached
    assert layers(first.image()) == [("COPY /file /file", 6)]


def test_a_step_that_fails_is_named_with_its_line_its_code_and_its_last_words(tmp_path, claim):
    text = "FROM debian:trixie-slim\n" + "".join(f"RUN echo {n} > /{n}\n" for n in range(1, 6))
    text += "# a comment\nRUN echo seventh \\\n    && echo the reason >&2 \\\n    && exit 3\n"
    problem = made(tmp_path, claim, text).problem
    assert problem is not None
    assert problem.where == "Dockerfile:8"
    assert "[7/7] RUN echo seventh" in problem.what
    assert "code 3" in problem.what
    # stdout and stderr come through pipes of their own: which of two lines was first, nobody can tell.
    assert "the reason" in problem.what.splitlines()[-2:]


def test_of_two_steps_at_once_the_one_that_failed_is_named(tmp_path, claim):
    """The other one is cancelled, with words of its own."""
    text = "FROM debian:trixie-slim AS one\nRUN echo slow; sleep 30\nFROM debian:trixie-slim AS two\n"
    text += "RUN echo soon; sleep 1; exit 7\nFROM scratch\nCOPY --from=one / /\nCOPY --from=two / /\n"
    problem = made(tmp_path, claim, text, fresh=True).problem
    assert problem is not None
    assert "code 7" in problem.what
    assert problem.where == "Dockerfile:4"


@pytest.mark.parametrize(
    ("text", "said", "where"),
    [
        ("FROM debian:trixie-slim\nRUNN echo\n", "unknown instruction: RUNN", "Dockerfile:2"),
        ("", "the Dockerfile cannot be empty", "Dockerfile"),
        ("FROM debian:trixie-slim\nCOPY missing /\n", "missing", "Dockerfile:2"),
        ("FROM nowhere.invalid/image:1\n", "nowhere.invalid", "Dockerfile:1"),
    ],
)
def test_a_file_that_is_no_dockerfile_says_where(tmp_path, claim, text, said, where):
    problem = made(tmp_path, claim, text).problem
    assert problem is not None
    assert said in problem.what
    assert problem.where == where


def test_a_build_that_takes_too_long_is_stopped(tmp_path, claim):
    problem = made(
        tmp_path, claim, "FROM debian:trixie-slim\nRUN echo begun; sleep 600\n", timeout=5, fresh=True
    ).problem
    assert problem is not None
    assert "5 s" in problem.what


def test_who_says_that_the_disk_is_full_is_not_believed(tmp_path, claim):
    """/dev/full says what a full disk says; the disk is looked at."""
    text = "FROM debian:trixie-slim\nRUN cat /etc/os-release > /dev/full\n"
    problem = made(tmp_path, claim, text, fresh=True).problem
    assert problem is not None
    assert not isinstance(problem, Unavailable)
    assert "No space left on device" in problem.what


@pytest.mark.needs("root")
def test_a_full_disk_is_the_machines_fault(tmp_path, monkeypatch):
    """A disk of a megabyte, filled; that it is where the daemon keeps its images is pretended."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=True)
    try:
        assert not daemon.disk_full(tmp_path)
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "file").write_bytes(bytes(2 << 20))
        monkeypatch.setattr(type(daemon.client()), "info", lambda _: {"DockerRootDir": str(tmp_path)})
        problem = daemon.failure(("build",), "write /layer: no space left on device")
        assert isinstance(problem, Unavailable)
        assert "The disk is full" in problem.what
        assert "no space left" in problem.what
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_daemon_that_dies_during_a_build_is_the_machines_fault(tmp_path, claim, relay):
    heard = []

    def step(name: str) -> None:
        heard.append(name)
        if "sleep" in name:
            relay.cut()

    problem = made(
        tmp_path, claim, "FROM debian:trixie-slim\nRUN echo begun; sleep 20\n", fresh=True, on_step=step
    ).problem
    assert any("sleep" in name for name in heard)
    assert isinstance(problem, Unavailable), problem


def test_a_pinned_name_builds_whatever_becomes_of_the_tag(tmp_path, claim):
    name = pin("debian:trixie-slim")
    assert "@sha256:" in name
    assert pin("debian:trixie-slim") == name
    result = made(tmp_path, claim, f"FROM {name}\nRUN true\n")
    assert result.problem is None
    assert result.bases == (name if "/" in name else f"docker.io/library/{name}",)


def test_what_no_registry_gives_is_said_by_name():
    with pytest.raises(LabError, match="knows no image"):
        named("nobody/knows:1")
    assert missing(["debian:trixie-slim"]) == []
    assert ensure(["debian:trixie-slim"]) == []
    assert here("debian:trixie-slim")
    assert STAND_IN.startswith("org.llmlab")


def test_an_image_that_does_not_start_is_measured_all_the_same(tmp_path, claim):
    (tmp_path / "Dockerfile").write_text('FROM debian:trixie-slim\nCMD ["false"]\n')
    table = survey(tmp_path, "Dockerfile", name="it", arguments=["false"], mounts={}, repeats=1)
    rows = table.dicts()
    assert {row["label"] for row in rows if row["what"] == "build"} == {"cold", "warm"}
    assert not [row for row in rows if row["what"] == "start"]
    assert "does not start" in table.note
