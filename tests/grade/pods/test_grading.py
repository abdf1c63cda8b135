"""A class graded on a cluster: the same gradebook, whatever happens on the way."""

from __future__ import annotations

import io
import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest
import tinylab
from paper_cluster import SUCCEEDED, PaperCluster, state
from paper_pod import PaperPod

from llmlab.errors import LabError
from llmlab.grade.batch import Grading, Settings
from llmlab.grade.pods import access as access_
from llmlab.grade.pods import watch as watch_
from llmlab.grade.pods.access import Access
from llmlab.grade.pods.grading import PodGrading, PodSettings
from llmlab.grade.pods.steps import OUT_OF_MEMORY
from llmlab.grade.pods.transcript import Log, LogWriter
from llmlab.system import owned

pytestmark = [pytest.mark.needs("process", "sandbox"), pytest.mark.timeout(300)]
CLASS = {
    "good": {},
    "one-slot": {"server": tinylab.GOOD.replace("parallel = 2", "parallel = 1")},
    "no-notebook": {"raw": "<<<<"},
}
SECRET = "the secret of a class, long enough"


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return tinylab.make(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for name, cells in CLASS.items():
        tinylab.hand_in(folder / name, **cells)
    (folder / "empty").mkdir()
    (folder / "secret").write_text(SECRET)
    return folder


@pytest.fixture(scope="module")
def settings(submissions):
    return Settings(secret=submissions / "secret")


@pytest.fixture(scope="module")
def here(info, submissions, settings, tmp_path_factory):
    """The gradebook of this machine."""
    out = tmp_path_factory.mktemp("here")
    with Grading(info, submissions, out, settings) as it:
        it.run()
    return (out / "gradebook.csv").read_bytes()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(access_, "PAUSE", 0.01)
    monkeypatch.setattr(watch_, "SOON", 1)
    monkeypatch.setattr(watch_, "LATER", 1)


class Node:
    """Runs a batch's pods one after the other; of pods with the same parcel the first, whose words the others sign themselves."""

    SAID: ClassVar[dict[bytes, list[dict]]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.ran = 0

    def __call__(self, cluster: PaperCluster, index: int):
        self.ran += 1
        given, sealed = cluster.secret("0")[str(index)], cluster.secret("sealed")[str(index)]
        token = json.loads(sealed)["token"]
        if given not in self.SAID:
            pod = PaperPod(
                self.folder / str(next(self.numbers)),
                lab=cluster.secret("lab")["lab"],
                parcel=given,
                sealed=sealed,
            )
            cells = pod.run("notebook")
            assert cells.returncode == 0, cells.stderr
            self.SAID[given] = list(Log(token).parts(pod.run("checks").stdout.splitlines()))
        out = io.BytesIO()
        writer = LogWriter(out, token)
        for part in self.SAID[given]:
            writer.tell(part)
        writer.end()
        return SUCCEEDED, out.getvalue()


def grading(cluster, info, submissions, out, settings, **pods):
    return PodGrading(
        info,
        submissions,
        out,
        Access("paper", kubeconfig=str(cluster.kubeconfig)),
        PodSettings(image="course:1", **pods),
        settings,
    )


def graded(cluster, info, submissions, out, settings, **pods):
    with grading(cluster, info, submissions, out, settings, **pods) as it, closing(it.access):
        heard = []
        it.run(heard=lambda result, resumed: heard.append((result.key, resumed)))
    return heard


def left(cluster):
    return [path for path in cluster.objects if "llmlab" in path]


@pytest.fixture
def cluster(tmp_path, quick):
    with PaperCluster(Node(tmp_path / "pods")).running(tmp_path) as it:
        yield it


def test_a_class_gets_the_gradebook_of_this_machine(cluster, info, submissions, settings, here, tmp_path):
    heard = graded(cluster, info, submissions, tmp_path / "out", settings)
    assert sorted(heard) == [("empty", False), ("good", False), ("no-notebook", False), ("one-slot", False)]
    assert (tmp_path / "out" / "gradebook.csv").read_bytes() == here
    assert cluster.ends.ran == 3
    assert left(cluster) == []
    assert owned.entries() == []
    ran = cluster.ends.ran
    again = graded(cluster, info, submissions, tmp_path / "out", settings)
    assert sorted(again)[1:] == [("good", True), ("no-notebook", True), ("one-slot", True)]
    assert (tmp_path / "out" / "gradebook.csv").read_bytes() == here
    assert cluster.ends.ran == ran
    assert cluster.asked["POST jobs"] == 1


def node(cluster, name, cpu, **spec):
    about = {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": {"cpu": cpu}}}
    cluster.put(f"/api/v1/nodes/{name}", about)


@pytest.mark.parametrize(("again", "at_once"), [(False, 2 + 16 + 2), (True, 3)])
def test_a_pod_a_core_runs_at_once_and_one_a_node_where_they_measure(
    cluster, info, submissions, settings, tmp_path, again, at_once
):
    for name, cpu in (("small", "1930m"), ("large", "16"), ("tiny", "250m")):
        node(cluster, name, cpu)
    node(cluster, "cordoned", "64", unschedulable=True)
    with grading(cluster, info, submissions, tmp_path / "out", settings) as it, closing(it.access):
        assert it._shape(again).parallelism == at_once
    with (
        grading(cluster, info, submissions, tmp_path / "out", settings, parallelism=2) as it,
        closing(it.access),
    ):
        assert it._shape(again).parallelism == 2


def test_a_grader_that_was_killed_goes_on_with_the_pods_that_are_there(
    cluster, info, submissions, settings, here, tmp_path
):
    out = tmp_path / "out"
    first = grading(cluster, info, submissions, out, settings)
    first.__enter__()

    class Killed(BaseException):
        pass

    def stop(result, resumed):
        if result.status == "graded":
            raise Killed

    first._end = lambda: None  # it had no time to
    with pytest.raises(Killed):
        first.run(heard=stop)
    first.__exit__()
    assert left(cluster) != []
    heard = graded(cluster, info, submissions, out, settings)
    assert len(heard) == 4
    assert (out / "gradebook.csv").read_bytes() == here
    assert cluster.asked["POST jobs"] == 1
    assert left(cluster) == []
    assert owned.entries() == []


def test_clean_ends_the_batch_of_a_grader_that_was_killed(cluster, info, submissions, settings, tmp_path):
    first = grading(cluster, info, submissions, tmp_path / "out", settings)
    first.__enter__()
    first._end = lambda: None
    with pytest.raises(ZeroDivisionError):
        first.run(heard=lambda result, resumed: 1 / (result.status != "graded"))
    first.__exit__()
    (entry,) = owned.entries()
    assert "batch llmlab-90-" in entry.label
    entry.end()
    assert left(cluster) == []
    assert owned.entries() == []


@pytest.mark.timeout(60)  # a third of the watch
def test_nobody_watches_on_when_all_have_told(
    cluster, info, submissions, settings, here, tmp_path, monkeypatch
):
    for name in ("SOON", "LATER"):
        monkeypatch.setattr(watch_, name, 180)
    graded(cluster, info, submissions, tmp_path / "out", settings)
    assert (tmp_path / "out" / "gradebook.csv").read_bytes() == here


FAILED = {"phase": "Failed", "initContainerStatuses": [state("notebook", exitCode=137, reason="Error")]}


def test_what_a_lost_pod_had_said_is_asked_of_another_batch(
    cluster, info, submissions, settings, here, tmp_path
):
    node, lost = cluster.ends, set()

    def ends(cluster, index):
        if index == 0 and len(lost) < 3:
            lost.add(len(lost))
            return FAILED, b""
        if index == 1 and "log" not in lost:
            lost.add("log")
            return SUCCEEDED, b"cut"
        return node(cluster, index)

    cluster.ends = ends
    graded(cluster, info, submissions, tmp_path / "out", settings)
    assert (tmp_path / "out" / "gradebook.csv").read_bytes() == here
    assert cluster.asked["POST jobs"] == 2


def test_a_submission_that_no_pod_ever_tells_of_is_the_graders_fault(
    cluster, info, submissions, settings, tmp_path
):
    node = cluster.ends
    cluster.ends = lambda cluster, index: (FAILED, b"") if index == 0 else node(cluster, index)
    with grading(cluster, info, submissions, tmp_path / "out", settings) as it:
        rows = {result.key: result for result, _ in it.run()}
    broken = [result for result in rows.values() if result.status == "error"]
    assert len(broken) == 1
    assert "code 137" in broken[0].reason
    assert left(cluster) == []


@pytest.mark.parametrize(
    ("phase", "code", "reason"),
    [
        ("Failed", 137, "OOMKilled"),  # with the whole container
        ("Failed", OUT_OF_MEMORY, "Error"),  # by a runtime that does not say so
        ("Pending", 0, "OOMKilled"),  # and a kubelet that leaves it so
    ],
)
def test_cells_that_used_up_their_memory_are_told_so(
    cluster, info, submissions, settings, tmp_path, phase, code, reason
):
    node, killed = cluster.ends, []

    def ends(cluster, index):
        if index == 0 and not killed:
            killed.append(index)
            status = {
                "phase": phase,
                "initContainerStatuses": [state("notebook", exitCode=code, reason=reason)],
            }
            return status, b""
        return node(cluster, index)

    cluster.ends = ends
    with grading(cluster, info, submissions, tmp_path / "out", settings) as it:
        rows = {result.key: result for result, _ in it.run()}
    assert rows["good"].notebook.status == "stopped"
    assert "more memory" in rows["good"].notebook.reason
    assert rows["good"].answers == {"slots": 2, "word": "slot"}


def test_a_control_plane_that_is_away_costs_nothing(cluster, info, submissions, settings, here, tmp_path):
    node = cluster.ends

    def ends(cluster, index):
        cluster.away = 8
        return node(cluster, index)

    cluster.ends = ends
    graded(cluster, info, submissions, tmp_path / "out", settings)
    assert (tmp_path / "out" / "gradebook.csv").read_bytes() == here
    assert cluster.asked["POST jobs"] <= 2


def test_what_waits_in_another_cluster_is_not_forgotten(cluster, info, submissions, settings, tmp_path):
    out = tmp_path / "out"
    first = grading(cluster, info, submissions, out, settings)
    first.__enter__()
    first._end = lambda: None
    with pytest.raises(ZeroDivisionError):
        first.run(heard=lambda result, resumed: 1 / (result.status != "graded"))
    first.__exit__()
    second = grading(cluster, info, submissions, out, settings)
    second.access.context = "elsewhere"
    with second, pytest.raises(LabError, match="still in paper"):
        second.run()
    (entry,) = owned.entries()
    assert entry.kind == "batch"
    entry.end()
