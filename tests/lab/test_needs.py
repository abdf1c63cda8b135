"""A need that is missing is said in the lab's cell, with the command that brings it; checks that cannot run do not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmlab import Lab, LabError
from llmlab.checks.check import Check, Context, passed
from llmlab.checks.run import _spawn, run, run_here
from llmlab.course.info import all_labs, find_lab
from llmlab.doctor import needs as known
from llmlab.lab import needs
from llmlab.system import without
from llmlab.tier import Need

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def lacking(monkeypatch):
    """Take needs away, with the command that would bring each."""

    def take(**mends: str) -> None:
        tried = {name.replace("_", "-"): mend for name, mend in mends.items()}
        monkeypatch.setattr(
            "llmlab.doctor.need", lambda name: Need(name, name not in tried, "not here", tried.get(name, ""))
        )

    return take


def test_the_labs_cell_names_what_is_missing_the_command_and_the_time(lacking):
    info = find_lab("04", COURSE)
    lab = Lab(info, info.folder)
    lacking()
    assert len(repr(lab).splitlines()) == 1
    assert "Missing" not in lab._repr_html_()
    lacking(docker="sudo dockerd   (in a terminal of its own)")
    assert repr(lab).splitlines()[1] == (
        "Missing: docker (not here). Bring it: sudo dockerd (in a terminal of its own, about five minutes)"
    )
    assert "<code>sudo dockerd</code> (in a terminal of its own, about five minutes)" in lab._repr_html_()


def test_a_grader_looks_for_nothing(lacking, monkeypatch):
    lacking(docker="sudo dockerd")
    monkeypatch.setenv("LLMLAB_GRADING", "1")
    assert needs.missing(find_lab("04", COURSE)) == []
    needs.refuse(find_lab("04", COURSE))


@pytest.mark.parametrize(
    ("number", "away", "refused"),
    [
        ("04", "docker", True),  # none of its checks says what it needs: all need what the lab needs
        ("00", "process", True),
        ("12", "edge", True),  # all say it, or wait for one that does
        ("02", "cpu-quota", False),  # one of its checks needs it
        ("06", "pods", False),
        ("01", "docker", False),  # no need of this lab
    ],
)
def test_checks_are_refused_where_none_of_them_can_run(lacking, number, away, refused):
    lacking(**{away: f"llmlab fetch {away}"})
    info = find_lab(number, COURSE)
    if not refused:
        needs.refuse(info)
        return
    with pytest.raises(LabError, match=f"No check of this lab can run here. Missing: {away}") as caught:
        Lab(info, info.folder).check()
    assert f"llmlab fetch {away}" in caught.value.fix


def test_each_need_of_a_lab_has_a_time_unless_no_command_brings_it():
    asked = {name for info in all_labs(COURSE) for name in info.needs}
    assert asked <= set(known())
    assert asked - needs.TAKES.keys() <= {"cpu-quota", "memory-quota", "root", "gpu"}


def engineless(_: Context) -> None:
    raise LabError("There is no llama-server to put into an image.")


def test_a_missing_engine_is_no_error_of_the_grader(tmp_path):
    checks = [
        Check("serves", "it serves", 1, engineless),
        Check("reads", "it can be read", 1, lambda _: passed(expected="", observed="")),
    ]
    context = Context(files=tmp_path, seed=0, answers={}, profile="laptop")
    words = {"binary": "this machine lacks binary. Bring it: llmlab fetch binary"}
    serves, reads = run_here(checks, context, missing=words)
    assert (serves.status, serves.lacks, reads.status) == ("skipped", ["binary"], "passed")
    assert serves.reason.startswith(words["binary"])
    [error] = run_here(checks[:1], context)
    assert (error.status, error.lacks) == ("error", [])


def test_only_a_learners_own_check_asks_what_is_missing_and_before_it_deploys(monkeypatch, tmp_path):
    """A grader's machine has what the lab needs: what is missing there later, the files may have broken."""
    lab = tmp_path / "90-trial"
    lab.mkdir()
    (lab / "checks.py").write_text(
        "from llmlab.checks import check\nfrom llmlab.errors import LabError\n\n"
        "@check(title='it serves', points=1)\ndef serves(ctx):\n    raise LabError('There is no llama-server.')\n"
    )
    monkeypatch.setenv(without.VARIABLE, "binary")
    (own,) = run(lab, tmp_path, artifacts=(), needs=["binary"]).outcomes
    assert (own.status, own.lacks) == ("skipped", ["binary"])
    (graded,) = run(lab, tmp_path, artifacts=(), spawn=_spawn).outcomes
    assert (graded.status, graded.lacks) == ("error", [])
