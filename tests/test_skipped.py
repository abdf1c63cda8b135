"""The closing list: what was skipped, one line a need, also when other processes ran the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import skipped


def report(reason: str, kind: type = tuple) -> SimpleNamespace:
    """As pytest has it; one of another worker's has a list."""
    return SimpleNamespace(longrepr=kind(("tests/test_it.py", 7, f"Skipped: {reason}")))


def test_one_line_a_need_with_its_count_and_one_command():
    docker = "docker: Docker is not installed. Bring it: sudo apt-get install docker.io"
    slow = "slow. Bring it: uv run pytest --full"
    reports = [
        report(docker),
        report("docker: The Docker daemon is not running. Bring it: sudo systemctl start docker", list),
        report(docker, list),
        *[report(slow)] * 4,
        report("it passed before (2026-11-29 10:00 UTC). Again: uv run pytest --full --fresh"),
        report("it passed before (2026-11-29 10:01 UTC). Again: uv run pytest --full --fresh"),
        report("az is not on PATH. Bring it: uv tool install azure-cli"),
        report("nothing to edit in this lab"),
        report("nothing to edit in this lab"),
    ]
    assert skipped.lines(reports) == [
        f"   4 × {slow}",
        f"   3 × {docker}",
        "   2 × it passed before (2026-11-29 10:00 UTC). Again: uv run pytest --full --fresh",
        "   2 × nothing to edit in this lab",
        "   1 × az is not on PATH. Bring it: uv tool install azure-cli",
    ]
    assert skipped.lines(reversed(reports))[1] == f"   3 × {docker}", "whoever was first"
    assert skipped.lines([]) == []


def test_the_one_who_hands_out_the_tests_has_the_list(tmp_path):
    """A worker skips, the process that it belongs to tells."""
    (tmp_path / "conftest.py").write_text(
        "import skipped\n"
        "def pytest_terminal_summary(terminalreporter):\n"
        "    print(*skipped.lines(terminalreporter.stats.get('skipped', [])), sep='\\n')\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_it(n):\n    pytest.skip('docker: no daemon. Bring it: start it')\n"
    )
    env = os.environ | {
        "PYTHONPATH": os.path.dirname(skipped.__file__),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    line = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "1", str(tmp_path)]
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "   3 × docker: no daemon. Bring it: start it" in done.stdout.splitlines(), (
        done.stdout + done.stderr
    )
