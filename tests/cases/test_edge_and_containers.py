"""Real files of strangers for the labs of images, Compose, bare metal and the edge, named by their symptom.

Each is laid over the worked solution and checked as a learner's own folder is. An outcome `error` is always wrong.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from llmlab.course.info import find_lab
from llmlab.lab import Lab
from llmlab.system import owned
from llmlab.tiers.docker.daemon import client

HERE = Path(__file__).parent
COURSE = HERE.parents[1]
CASES = [
    "builder-knows-no-heredoc",
    "compose-needs-an-env-file",
    "compose-takes-a-blank",
    "country-from-a-request-header",
    "health-check-ends-its-container",
    "quadlet-loses-its-image",
    "worker-imports-a-framework",
]
#: As in tests/labs: a notebook's folder holds these, a learner's does not.
NOT_THEIRS = shutil.ignore_patterns("starter", "lab.py", "lab.ipynb", "from-source")


def cases():
    for name in CASES:
        case = tomllib.loads((HERE / name / "case.toml").read_text(encoding="utf-8"))
        yield pytest.param(name, case, id=name, marks=pytest.mark.needs(*find_lab(case["lab"]).needs))


def old_builder() -> bool:
    return int(client().version()["Version"].split(".")[0]) < 23


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_a_strangers_files_are_judged_by_what_they_do(name, case, tmp_path):
    if "before" in case and not old_builder():
        pytest.skip(
            "this daemon's builder knows here-documents. Bring it: a daemon older than " + case["before"]
        )
    files = tmp_path / "work"
    shutil.copytree(COURSE / case["base"], files, ignore=NOT_THEIRS)
    shutil.copytree(HERE / name / "files", files, dirs_exist_ok=True)
    expected = case["expect"]
    result = Lab(find_lab(case["lab"]), files).check(*case.get("only", ()), quiet=True)
    found = {outcome.check: outcome.status for outcome in result.outcomes}
    assert "error" not in found.values(), str(result)
    wanted = {
        check: status for status in ("passed", "failed", "skipped") for check in expected.get(status, ())
    }
    assert {check: found.get(check) for check in wanted} == wanted, str(result)
    said = "\n".join(outcome.evidence.observed for outcome in result.outcomes if outcome.evidence)
    for words in expected.get("words", ()):
        assert words in said, f"{words!r} is not said:\n{said}"
    assert owned.entries() == []
