"""Needs, --full, and the closing list of what was skipped and how to bring it."""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
import time
from pathlib import Path

import groups
import ledger
import pytest
import skipped

from llmlab import doctor
from llmlab.errors import LabError
from llmlab.load import turn
from llmlab.system import owned, without

LATE = "no time was left for it"
LEDGER = "it passed before on the same lab, modules, engine and programs"


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also what is slow: every fault of every lab, soaks")
    parser.addoption(
        "--fresh",
        action="store_true",
        help="with --full or --until: also what passed before on the same content",
    )
    parser.addoption(
        "--until",
        metavar="SECONDS",
        type=float,
        help="begin no long test of a lab after this time (`date +%%s`); those longest unproved are first, the others are listed",
    )


def _required() -> set[str]:
    return set(filter(None, os.environ.get("LLMLAB_REQUIRE", "").replace(" ", "").split(",")))


@pytest.fixture(scope="session")
def _states(tmp_path_factory):
    """Folders for what runs, one after the other; their names are short, because sockets lie below them."""
    made = []

    def another() -> str:
        made.append(str(tmp_path_factory.getbasetemp() / f"s{next(count)}"))
        return made[-1]

    count = itertools.count()
    yield another
    left = []
    with pytest.MonkeyPatch.context() as patch:
        for state in filter(os.path.isdir, made):
            patch.setenv("LLMLAB_STATE", state)
            left += [entry.label for entry in owned.entries()]
    assert not left, f"still running after the tests: {left}"


@pytest.fixture(scope="session", autouse=True)
def _own_state(_states):
    """The tests' registry is their own: they must not see, or end, what the developer runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMLAB_STATE", _states())
        yield


@pytest.fixture(autouse=True)
def _own_registry(_states, monkeypatch):
    """And each test's is its own too: what a fixture of a module or of the session holds is none of its business."""
    monkeypatch.setenv("LLMLAB_STATE", _states())


@pytest.fixture
def nothing_taken(monkeypatch):
    """For tests that plant what is looked for: the rest of this machine does not matter to them."""
    monkeypatch.delenv(without.VARIABLE, raising=False)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # workers have it from the one who started them
        os.environ[turn.VARIABLE] = str(Path(tempfile.gettempdir(), f"llmlab-turn-{os.getpid()}"))
    needs_are_known()


def needs_are_known() -> None:
    """What the variables name are needs: a misspelt one would skip, or prove, less than it says."""
    try:
        without.names()
    except LabError as error:
        raise pytest.UsageError(str(error)) from None
    unknown = _required() - set(doctor.needs())
    if unknown:
        raise pytest.UsageError(f"LLMLAB_REQUIRE names no such need: {', '.join(sorted(unknown))}")


def pytest_xdist_auto_num_workers(config):
    """As many as there are cores: more of the heavy labs side by side take longer than one after the other."""
    return min(os.cpu_count() or 1, 8)


def pytest_xdist_make_scheduler(config, log):
    return groups.ByGroup(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected stays to the end: no look for garbage while it is made (half of the time), nor at it ever after."""
    gc.disable()
    done = yield
    gc.freeze()
    gc.enable()
    return done


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("full") and not config.getoption("--full"):
            item.add_marker(pytest.mark.skip(reason="slow. Bring it: uv run pytest --full"))
    groups.sort(items)
    if config.getoption("--until") is not None:
        groups.labs_last(items, ledger.last())


def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            found = doctor.need(name)
            if found.met:
                continue
            reason = f"{name}: {found.detail}. Bring it: {found.mend}"
            if name in _required():
                pytest.fail(f"LLMLAB_REQUIRE asks for {reason}", pytrace=False)
            pytest.skip(reason)
    option = item.config.getoption
    until = option("--until")
    if (option("--full") or until is not None) and not option("--fresh"):
        when = ledger.proved(item, full=option("--full"))
        if when:
            pytest.skip(f"{LEDGER} ({when}). Again: uv run pytest --full --fresh")
    # What has failed beside others is tried again in any case (.ci/again).
    late = until is not None and time.time() > until and not option("--last-failed")
    if late and item.get_closest_marker("ledger"):
        pytest.skip(f"{LATE}. Bring it: .ci/run --full")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.passed:
        ledger.note(item, full=item.config.getoption("--full"))
    return report


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.stats.get("skipped", [])
    before = [report for report in reports if skipped.reason_of(report).startswith(LEDGER)]
    if before:
        terminalreporter.section("proved before, on the same content (again: --fresh)")
        for report in before:
            when = skipped.reason_of(report).partition("(")[2].partition(")")[0]
            terminalreporter.write_line(f"{when}  {report.nodeid}")
    late = [report for report in reports if skipped.reason_of(report).startswith(LATE)]
    if late:
        terminalreporter.section("not proved: no time was left (.ci/run --full)")
        for report in late:
            terminalreporter.write_line(report.nodeid)
    lines = skipped.lines([report for report in reports if report not in before and report not in late])
    if lines:
        terminalreporter.section("skipped here, and how to bring it")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        Path(os.environ.pop(turn.VARIABLE, "")).unlink(missing_ok=True)
