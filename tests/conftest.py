"""Needs, --full, and the closing list of what was skipped and how to bring it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import groups
import ledger
import pytest

from llmlab import doctor, owned
from llmlab.load import turn

LEDGER = "it passed before on the same lab, modules, engine and programs"


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also what is slow: every fault of every lab, soaks")
    parser.addoption(
        "--fresh", action="store_true", help="with --full: also what passed before on the same content"
    )


def _required() -> set[str]:
    return set(filter(None, os.environ.get("LLMLAB_REQUIRE", "").replace(" ", "").split(",")))


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory):
    """The tests' registry is their own: they must not see, or end, what the developer runs."""
    os.environ["LLMLAB_STATE"] = str(tmp_path_factory.mktemp("state"))
    yield
    left = [entry.label for entry in owned.entries()]
    assert not left, f"still running after the tests: {left}"


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # workers have it from the one who started them
        os.environ[turn.VARIABLE] = str(Path(tempfile.gettempdir(), f"llmlab-turn-{os.getpid()}"))
    unknown = _required() - set(doctor.NEEDS) - {"shellcheck"}
    if unknown:
        raise pytest.UsageError(f"LLMLAB_REQUIRE names no such need: {', '.join(sorted(unknown))}")


def pytest_xdist_auto_num_workers(config):
    """Twice the cores: a test of a deployment waits most of the time."""
    return min(2 * (os.cpu_count() or 1), 8)


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("full") and not config.getoption("--full"):
            item.add_marker(pytest.mark.skip(reason="slow. Bring it: uv run pytest --full"))
    groups.sort(items)


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
    if item.config.getoption("--full") and not item.config.getoption("--fresh"):
        when = ledger.proved(item)
        if when:
            pytest.skip(f"{LEDGER} ({when}). Again: uv run pytest --full --fresh")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.passed:
        ledger.note(item)
    return report


def pytest_terminal_summary(terminalreporter):
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("skipped here, and how to bring it")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count:4} × {reason}")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        Path(os.environ.pop(turn.VARIABLE, "")).unlink(missing_ok=True)
