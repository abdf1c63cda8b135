"""A class in real pods: the gradebook of this machine, and nothing that a learner's cells could reach."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import tinylab
import yaml

from llmlab.grade.batch import Grading, Settings
from llmlab.grade.pods.access import Access, ApiRefusal
from llmlab.grade.pods.grading import PodGrading, PodSettings
from llmlab.grade.schema import Graded
from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.local import Local

ARCHIVE = os.environ.get("LLMLAB_COURSE_IMAGE", "")
pytestmark = [
    pytest.mark.full,
    pytest.mark.needs("process", "sandbox", "pods"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not ARCHIVE,
        reason="no image of the course. Bring it: llmlab image build --to course.tar; LLMLAB_COURSE_IMAGE=course.tar",
    ),
]

#: Says what it found that it should not have.
LOOKS = """
import glob, os, socket
found = []
for path in glob.glob("/proc/[0-9]*/environ"):
    try: found += [path] if b"LLMLAB_SECRET" in open(path, "rb").read() else []
    except OSError: pass
for path in ("/in/sealed", "/var/run/secrets/kubernetes.io/serviceaccount/token"):
    found += [path] if os.path.exists(path) else []
for path in ("/in", "/opt", "/etc", "/usr", "/home"):
    try: open(path + "/written", "w"); found.append("wrote " + path)
    except OSError: pass
host, port = os.environ.get("KUBERNETES_SERVICE_HOST", "10.96.0.1"), 443
for address in ((host, port), ("192.0.2.1", 80), ("1.1.1.1", 53)):
    try: socket.create_connection(address, 1).close(); found.append(address[0])
    except OSError: pass
if os.getuid() == 0: found.append("root")
lab.answer(word=" ".join(found) or "slot")
"""
#: Says where it left something for the checks to run into.
STAYS = """
import subprocess, sys
code = '''import os, socket, time
if os.fork(): os._exit(0)
os.setsid()
s = socket.socket(); s.bind(("0.0.0.0", 18999)); s.listen(); time.sleep(600)'''
subprocess.Popen([sys.executable, "-c", code], start_new_session=True).wait()
lab.answer(slots=2)
"""
CLASS = {
    "good": {},
    "looks": {"answer_word": LOOKS},
    "one-slot": {"server": tinylab.GOOD.replace("parallel = 2", "parallel = 1")},
    "stays": {"answer_slots": STAYS, "server": tinylab.GOOD + "port = 18999\n"},
    "hog": {"answer_slots": "lab.answer(slots=2)\nx = b'x' * (3 << 30)"},
    "exit": {"answer_slots": "lab.answer(slots=2)\nimport os; os._exit(0)"},
}


@pytest.fixture(scope="module")
def cluster():
    with Local() as it:
        it.up()
        it.load_archive(Path(ARCHIVE))
        yield it


@pytest.fixture(scope="module")
def classes(cluster, tmp_path_factory):
    """The same class here and there: both output folders."""
    root = tmp_path_factory.mktemp("class")
    info = tinylab.make(root / "course")
    for name, cells in CLASS.items():
        tinylab.hand_in(root / "submissions" / name, **cells)
    (root / "secret").write_text("of one class, here and there")
    settings = Settings(secret=root / "secret")
    with Grading(info, root / "submissions", root / "here", settings) as it:
        it.run()
    context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
    with closing(Access(context, kubeconfig=str(cluster.kubeconfig))) as access:
        pods = PodSettings(image="docker.io/llmlab/course:0.1.0")
        with PodGrading(info, root / "submissions", root / "there", access, pods, settings) as it:
            it.run()
        wait("the namespace to go", lambda: _gone(access), 60)
    return root / "here", root / "there"


def _gone(access):
    try:
        access.ask("GET", f"/api/v1/namespaces/{access.namespace}")
    except ApiRefusal as error:
        return error.status == 404
    return False


def test_the_gradebook_is_that_of_this_machine(classes):
    here, there = ((folder / "gradebook.csv").read_bytes() for folder in classes)
    assert there == here
    assert owned.entries() == []


@pytest.mark.parametrize("name", CLASS)
def test_what_a_learner_reads_is_the_same(classes, name):
    here, there = (
        msgspec.json.decode((folder / name / "result.json").read_bytes(), type=Graded) for folder in classes
    )
    assert (there.answers, there.remarks, there.notebook.status) == (
        here.answers,
        here.remarks,
        here.notebook.status,
    )
    assert [outcome.status for outcome in there.result.outcomes] == [
        outcome.status for outcome in here.result.outcomes
    ]
    assert there.isolation.startswith("pod: ")
    assert "without a way out" in there.isolation
