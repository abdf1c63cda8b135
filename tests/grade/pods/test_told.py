"""What a pod tells becomes the result that this machine would have made."""

from __future__ import annotations

import msgspec
import pytest
import tinylab
from paper_pod import PaperPod

from llmlab.grade.here import Here
from llmlab.grade.one import grade_one
from llmlab.grade.opened import Opened, opened
from llmlab.grade.pods import packing
from llmlab.grade.pods.steps import NETWORK_OPEN
from llmlab.grade.pods.told import Told, ToldPlace
from llmlab.grade.rules import read_rules
from llmlab.submissions.handed_in import Submission

pytestmark = [pytest.mark.needs("process", "sandbox")]
SECRET = b"a secret of sixteen and more"
CASES = {
    "good": {},
    "one-slot": {"server": tinylab.GOOD.replace("parallel = 2", "parallel = 1")},
    "no-file": {"server": None},
    "typo": {"server": tinylab.GOOD.replace("parallel", "paralel")},
    "error": {"answer_slots": "lab.answer(slots=2)\n1/0"},
    "exit": {"answer_slots": "lab.answer(slots=2)\nimport os; os._exit(3)"},
}


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return tinylab.make(tmp_path_factory.mktemp("course"))


def pod_of(info, submission, folder):
    """The submission's pod, and what its log is signed with."""
    rules = read_rules(info.folder)
    with opened(info, submission, secret=SECRET, rules=rules) as found:
        assert isinstance(found, Opened)
        packed = packing.pack_submission(
            info, found.taken, rules, seed=found.seeds["notebook"], fingerprint=found.fingerprint
        )
        sealed = packing.sealed(SECRET, found.seeds["checks"], found.fingerprint, "batch")
        token = packing.token(SECRET, found.fingerprint, "batch")
    return PaperPod(folder, lab=packing.pack_lab(info), parcel=packed, sealed=sealed), token


def in_a_pod(info, submission, folder):
    pod, token = pod_of(info, submission, folder)
    cells = pod.run("notebook")
    assert cells.returncode == 0, cells.stderr.decode()
    checks = pod.run("checks")
    assert checks.returncode == 0, checks.stderr.decode()
    return Told.read(checks.stdout.splitlines(), token)


def test_nothing_is_deployed_where_the_network_has_been_opened_since_the_cells_ran(info, tmp_path):
    path = tinylab.hand_in(tmp_path / "handed-in" / "good")
    pod, _ = pod_of(info, Submission("good", "good", path), tmp_path / "pod")
    assert pod.run("notebook").returncode == 0
    # A refusal is an answer, too: it came from somewhere.
    checks = pod.run("checks", KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT="9")
    assert (checks.returncode, checks.stdout) == (NETWORK_OPEN, b"")
    assert b"127.0.0.1:9 answered" in checks.stderr


def plain(graded):
    """Without times, and without what held it."""
    data = msgspec.to_builtins(graded)
    for name in ("graded", "seconds", "cpu_seconds", "isolation"):
        del data[name]
    for name in ("created", "seconds", "machine", "engine"):
        data["result"].pop(name, None)
    del data["notebook"]["seconds"]
    for outcome in data["result"]["outcomes"]:
        del outcome["seconds"]
        if (
            outcome["check"] == "starts" and outcome["status"] == "passed"
        ):  # a port and seconds are in its evidence
            outcome["evidence"] = None
    return data


@pytest.mark.parametrize("name", CASES)
def test_a_submission_is_graded_in_a_pod_as_on_this_machine(info, tmp_path, name):
    path = tinylab.hand_in(tmp_path / "handed-in" / name, **CASES[name])
    submission = Submission(name, name, path)
    told = in_a_pod(info, submission, tmp_path / "pod")
    assert told.whole
    there = grade_one(info, submission, secret=SECRET, place=ToldPlace(told))
    here = grade_one(info, submission, secret=SECRET, place=Here())
    assert plain(there.graded) == plain(here.graded)
    assert there.graded.isolation.startswith("pod: ")
    outputs = [[cell.get("outputs") for cell in work.notebook.cells] for work in (there, here)]
    assert [len(cells) for cells in outputs[0] if cells] == [len(cells) for cells in outputs[1] if cells]
