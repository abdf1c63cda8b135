"""Outcomes: whose fault it was, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from llmlab import checks
from llmlab.checks import Context, DeploymentFailed, check, failed, fixture, inconclusive, passed
from llmlab.checks.page import page
from llmlab.checks.run import run_here, snapshot
from llmlab.errors import LabError, Unavailable
from llmlab.tiers.process.probes import ratio_interval


def lab(tmp_path: Path, source: str) -> Path:
    folder = tmp_path / "90-trial"
    folder.mkdir()
    head = "from llmlab.checks import DeploymentFailed, check, failed, inconclusive, passed\n"
    (folder / "checks.py").write_text(head + textwrap.dedent(source))
    return folder


def context(tmp_path: Path) -> Context:
    return Context(files=tmp_path, seed=0, answers={}, profile="laptop")


@check(title="passes", points=2)
def good(ctx):
    return passed(expected="a", observed="a")


@check(title="fails", points=3)
def bad(ctx):
    return failed(expected="a", observed="b", look="look")


@check(title="after a failure", points=1, needs=("bad",))
def after(ctx):
    raise AssertionError("must not run")


@check(title="too noisy", points=4)
def noisy(ctx):
    return inconclusive("noise", expected="a", observed="?")


@check(title="a bug of ours", points=5)
def bug(ctx):
    raise ZeroDivisionError("ours")


@check(title="does not deploy", points=1)
def broken(ctx):
    raise DeploymentFailed("line 3: no such flag")


WHOSE = {
    "a line of theirs": (LabError("No pod is let in.", where="deploy/a.yaml:7, spec.template"), "failed"),
    "their whole file": (LabError("It is empty.", where="deploy/a.yaml"), "failed"),
    "two lines of theirs": (LabError("Twice.", where="deploy/a.yaml:1 and deploy/a.yaml:9"), "failed"),
    "no place": (LabError("Waited 20 s for the scheduler."), "error"),
    "a file of the lab's": (LabError("No pod is let in.", where="dra.yaml:7"), "error"),
    "a file that begins like theirs": (LabError("Broken.", where="deploy/a.yaml.given:7"), "error"),
    "the machine": (Unavailable("The disk is full.", where="deploy/a.yaml:7"), "error"),
}


@pytest.mark.parametrize("whose", WHOSE)
def test_what_is_said_of_a_learners_file_is_the_learners_wherever_it_is_met(whose, tmp_path):
    error, status = WHOSE[whose]

    @check(title="outside of any deployment", points=1)
    def met(ctx):
        return fails(ctx)

    @fixture(ours=True)
    def fails(ctx):
        (tmp_path / "dra.yaml").write_text("laid beside it by the check")
        raise error

    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "a.yaml").write_text("theirs")
    found = run_here([met], context(tmp_path))[0]
    assert found.status == status
    assert error.what in (found.evidence.observed if status == "failed" else found.reason)


def test_its_own_path_is_told_as_the_learner_knows_it(tmp_path):
    @check(title="absolute", points=1)
    def met(ctx):
        raise LabError("Broken.", where=f"{ctx.files}/a.yaml:3")

    (tmp_path / "a.yaml").write_text("theirs")
    found = run_here([met], context(tmp_path))[0]
    assert found.status == "failed"
    assert str(tmp_path) not in found.evidence.observed
    assert "where: a.yaml:3" in found.evidence.observed


def test_a_deployment_may_blame_some_kinds_of_trouble_only(tmp_path):
    ctx = context(tmp_path)
    with pytest.raises(DeploymentFailed), ctx.deploying(KeyedError):
        raise KeyedError("refused")
    with pytest.raises(LabError, match="late"), ctx.deploying(KeyedError):
        raise LabError("late")


class KeyedError(LabError):
    """One kind of it."""


def test_each_check_has_one_outcome_and_costs_what_it_should(tmp_path):
    outcomes = run_here([good, bad, after, noisy, bug, broken], context(tmp_path))
    assert {outcome.check: (outcome.status, outcome.points) for outcome in outcomes} == {
        "good": ("passed", 2),
        "bad": ("failed", 0),
        "after": ("skipped", 0),
        "noisy": ("inconclusive", 0),
        "bug": ("error", 0),
        "broken": ("failed", 0),
    }
    result = checks.Result(lab="90-trial", created="", seed=0, outcomes=outcomes)
    assert (result.points, result.max_points) == (2, 7)  # noise and our own bugs cost nobody points
    assert result["after"].reason == "needs bad to pass first"
    assert "ZeroDivisionError" in result["bug"].reason
    assert not result.passed
    assert result.failing == ["bad", "broken"]
    text = str(result)
    assert "expected: a" in text
    assert "observed: b" in text
    assert "look:     look" in text


def test_a_need_of_the_machine_skips_with_the_mending_command(tmp_path, monkeypatch):
    from llmlab import doctor

    def tried():
        return doctor.Need("moon", False, "no moon here", "fly there")

    monkeypatch.setitem(sys.modules, "moon", SimpleNamespace(tried=tried))
    monkeypatch.setitem(doctor.needs(), "moon", "moon:tried")

    @check(title="on the moon", machine=("moon",))
    def landing(ctx):
        raise AssertionError("must not run")

    (outcome,) = run_here([landing], context(tmp_path))
    assert outcome.status == "skipped"
    assert "fly there" in outcome.reason


def test_html_escapes_what_a_learner_wrote(tmp_path):
    @check(title="x")
    def sly(ctx):
        return failed(expected="<b>", observed="<script>alert(1)</script>")

    result = checks.Result(lab="90-trial", created="", seed=0, outcomes=run_here([sly], context(tmp_path)))
    assert "<script>" not in page(result)


def test_checks_run_in_another_process_and_get_only_declared_files(tmp_path):
    folder = lab(
        tmp_path,
        """
        import os
        @check(title="where")
        def where(ctx):
            seen = sorted(p.name for p in ctx.files.iterdir())
            return passed(expected="", observed=f"{os.getpid()} {seen} {ctx.answers} {ctx.random('x').random()}")
        """,
    )
    files = tmp_path / "files"
    files.mkdir()
    (files / "server.toml").write_text("x")
    (files / "secret.txt").write_text("x")
    one, two = (
        checks.run(folder, files, artifacts=["server.toml"], answers={"knee": 4}, seed=7) for _ in range(2)
    )
    pid, rest = one["where"].evidence.observed.split(" ", 1)
    assert int(pid) != os.getpid()
    assert rest.startswith("['server.toml'] {'knee': 4}")
    assert rest == two["where"].evidence.observed.split(" ", 1)[1]  # the seed decides, nothing else


def test_a_grader_that_dies_is_an_error_not_a_failure(tmp_path):
    folder = lab(
        tmp_path,
        """
        import os
        @check(title="first")
        def first(ctx):
            return passed(expected="", observed="")
        @check(title="dies")
        def dies(ctx):
            os._exit(9)
        """,
    )
    result = checks.run(folder, tmp_path, artifacts=[])
    assert [(outcome.check, outcome.status) for outcome in result.outcomes] == [
        ("first", "passed"),
        ("grader", "error"),
    ]
    assert result.max_points == 1


def test_what_a_check_prints_does_not_reach_the_verdict(tmp_path):
    folder = lab(
        tmp_path,
        """
        @check(title="chatty")
        def chatty(ctx):
            print('{"event": "result"}')
            return failed(expected="", observed="")
        """,
    )
    assert checks.run(folder, tmp_path, artifacts=[]).failing == ["chatty"]


def test_a_verdict_may_hold_a_time_that_never_came(tmp_path):
    folder = lab(
        tmp_path,
        """
        @check(title="never")
        def never(ctx):
            return failed(expected="", observed="", seconds=float("inf"), tries=3)
        """,
    )
    (one,) = checks.run(folder, tmp_path, artifacts=[]).outcomes
    assert (one.check, one.status, one.data) == ("never", "failed", {"seconds": None, "tries": 3})


def test_a_missing_or_linked_artifact_is_said_by_name(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "link.toml").symlink_to("/etc/passwd")
    (files / "big.toml").write_bytes(b"x" * (2 << 20))
    problems = snapshot(files, ["server.toml", "link.toml", "big.toml"], tmp_path)
    assert problems == ["server.toml is missing", "link.toml is a link", "big.toml is larger than 1 MiB"]
    assert not (tmp_path / "link.toml").exists()
    (outcome,) = run_here([good], context(tmp_path), problems=problems)
    assert outcome.status == "failed"
    assert "server.toml is missing" in outcome.evidence.observed


def test_a_grader_whose_asker_is_gone_ends_with_its_servers(tmp_path):
    folder = lab(
        tmp_path,
        """
        from llmlab.serve import Spec
        @check(title="serves")
        def serves(ctx):
            server = ctx.reference(Spec(model="tiny", flags={"threads": 1}))
            ctx.say(f"pid {server.pid}")
            import threading; threading.Event().wait(120)
        """,
    )
    code = (
        "import sys; from pathlib import Path; from llmlab import checks\n"
        f"checks.run(Path({str(folder)!r}), Path({str(tmp_path)!r}), artifacts=[],"
        " on_event=lambda e: e['event'] == 'say' and print(e['text'], flush=True))"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(asker.stdout.readline().split()[1])
    asker.kill()
    asker.wait()
    asker.stdout.close()
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(10)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        ([(100, 100)] * 4, 1.0, 1.0),
        ([(50, 100), (55, 100), (52, 100), (48, 100)], 0.48, 0.55),
        ([(0, 0)], 0.0, 0.0),
    ],
)
def test_ratio_interval_lies_where_the_ratios_do(pairs, low, high):
    a, middle, b = ratio_interval(pairs)
    assert low <= a <= middle <= b <= high


def test_deployment_failed_is_not_an_error_of_the_grader(tmp_path):
    (tmp_path / "server.toml").write_text("model = 3\n")
    with pytest.raises(DeploymentFailed, match=r"server\.toml, line 1"):
        context(tmp_path).spec()
