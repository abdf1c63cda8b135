"""A class in real pods: the gradebook of this machine, and nothing that a learner's cells could reach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import tinylab
import yaml

from llmlab.errors import LabError
from llmlab.grade.batch import Grading, Settings
from llmlab.grade.pods import packing, trouble
from llmlab.grade.pods.access import Access, ApiRefusal
from llmlab.grade.pods.grading import PodGrading, PodSettings
from llmlab.grade.schema import Graded
from llmlab.image.archive import read
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
if os.getuid() == 0 and os.path.exists("/in"): found.append("root")  # this machine's sandbox keeps its user
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
def info(tmp_path_factory):
    return tinylab.make(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A class, and the secret that its inputs are drawn from."""
    folder = tmp_path_factory.mktemp("class")
    for name, cells in CLASS.items():
        tinylab.hand_in(folder / "submissions" / name, **cells)
    (folder / "secret").write_text("of one class, here and there")
    return folder


@pytest.fixture(scope="module")
def here(info, root):
    """What this machine makes of it."""
    with Grading(info, root / "submissions", root / "here", Settings(secret=root / "secret")) as it:
        it.run()
    return root / "here"


def name_in(archive):
    """As the node knows the image."""
    name = read(Path(archive)).names[0]
    return name if "." in name.partition("/")[0] or name.startswith("localhost/") else f"docker.io/{name}"


def context_of(cluster):
    return yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]


def grade_there(cluster, info, root, out, image):
    with closing(Access(context_of(cluster), kubeconfig=str(cluster.kubeconfig))) as access:
        settings = Settings(secret=root / "secret")
        with PodGrading(info, root / "submissions", out, access, PodSettings(image=image), settings) as it:
            it.run()
        wait("the namespace to go", lambda: _gone(access), 60)


def batches():
    return [entry.label for entry in owned.entries() if entry.label.startswith("batch ")]


@pytest.fixture(scope="module")
def there(cluster, info, root):
    """What the pods of a cluster make of it."""
    grade_there(cluster, info, root, root / "there", name_in(ARCHIVE))
    return root / "there"


def _gone(access):
    try:
        access.ask("GET", f"/api/v1/namespaces/{access.namespace}")
    except ApiRefusal as error:
        return error.status == 404
    return False


def test_the_gradebook_is_that_of_this_machine(here, there):
    assert (there / "gradebook.csv").read_bytes() == (here / "gradebook.csv").read_bytes()
    assert batches() == []


@pytest.mark.parametrize("name", CLASS)
def test_what_a_learner_reads_is_the_same(here, there, name):
    ours, theirs = (
        msgspec.json.decode((folder / name / "result.json").read_bytes(), type=Graded)
        for folder in (here, there)
    )
    assert (theirs.answers, theirs.remarks, theirs.notebook.status) == (
        ours.answers,
        ours.remarks,
        ours.notebook.status,
    )
    assert [outcome.status for outcome in theirs.result.outcomes] == [
        outcome.status for outcome in ours.result.outcomes
    ]
    assert theirs.isolation.startswith("pod: ")
    assert "without a way out" in theirs.isolation


def test_a_grader_that_is_killed_goes_on_with_the_same_command(cluster, info, root, here, tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, "-m", "llmlab", "grade", str(info.folder), str(root / "submissions")]
    line += ["--out", str(out), "--secret", str(root / "secret")]
    line += ["--on", "kubernetes", "--context", context_of(cluster), "--image", name_in(ARCHIVE)]
    env = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "NO_PROXY": "*"}
    with subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL) as grader:
        try:
            wait("a first result", lambda: list(out.glob("*/result.json")), 120)
        finally:
            grader.send_signal(signal.SIGKILL)
    assert grader.returncode == -signal.SIGKILL
    assert len(list(out.glob("*/result.json"))) < len(CLASS)
    (first,) = jobs(cluster)
    seen = {first["metadata"]["uid"]}
    with subprocess.Popen(
        line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as again:
        while again.poll() is None:
            seen |= {job["metadata"]["uid"] for job in jobs(cluster)}
        assert again.returncode == 0, again.stdout.read()
    # The one that was there, and that of the hog, whose cells are not run again.
    assert len(seen) == 2
    assert (out / "gradebook.csv").read_bytes() == (here / "gradebook.csv").read_bytes()
    assert jobs(cluster) == []
    assert batches() == []


def jobs(cluster):
    label = "app.kubernetes.io/name=llmlab-grade"
    return yaml.safe_load(cluster.run_kubectl("get", "jobs", "-A", "-l", label, "-o", "json"))["items"]


def refused(cluster, info, root, out, image):
    with pytest.raises(LabError) as error:
        grade_there(cluster, info, root, out, image)
    assert "\n" not in error.value.what
    wait("what was begun to be gone", lambda: not jobs(cluster), 60)
    assert batches() == []
    assert not (out / "batch.json").exists()
    assert not list(out.glob("*/result.json"))
    return error.value


def test_an_image_that_cannot_be_pulled_is_said(cluster, info, root, tmp_path, monkeypatch):
    monkeypatch.setattr(trouble, "PULLING", 3.0)
    said = refused(cluster, info, root, tmp_path / "out", "registry.invalid/course:1")
    assert "The image registry.invalid/course:1 cannot be pulled: " in said.what
    assert "--image" in said.fix


def test_an_image_of_another_version_is_said_and_runs_nothing(cluster, info, root, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "package", lambda: "another")
    said = refused(cluster, info, root, tmp_path / "out", name_in(ARCHIVE))
    assert "holds another version of the course than this one" in said.what
    assert "--image" in said.fix
