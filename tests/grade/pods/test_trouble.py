"""A batch that cannot run says why in a sentence, with the command that mends it, and leaves nothing behind."""

from __future__ import annotations

from contextlib import closing

import pytest
import tinylab
from paper_cluster import PaperCluster, state

from llmlab.errors import LabError
from llmlab.grade.pods import access as access_
from llmlab.grade.pods import steps, trouble
from llmlab.grade.pods import watch as watch_
from llmlab.grade.pods.access import NAMESPACE, Access, open_access
from llmlab.grade.pods.grading import PodGrading, PodSettings
from llmlab.grade.pods.manifest import ENFORCE, GRADER, OURS
from llmlab.grade.pods.room import RIGHTS, require_pods
from llmlab.system import owned

IMAGE = "registry.example/course:1"


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return tinylab.make(tmp_path_factory.mktemp("course"))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(access_, "PAUSE", 0.01)
    for name in ("SOON", "LATER"):
        monkeypatch.setattr(watch_, name, 1)
    for name in ("PULLING", "PLACING", "MAKING"):
        monkeypatch.setattr(trouble, name, 1.5)
    with PaperCluster().running(tmp_path) as it:
        yield it


def grade(cluster, info, tmp_path, namespace="", **pods):
    submissions = tmp_path / "class"
    if not submissions.exists():
        tinylab.hand_in(submissions / "good")
    access = Access("paper", namespace or NAMESPACE, str(cluster.kubeconfig))
    settings = PodSettings(image=IMAGE, named=bool(namespace), **pods)
    with closing(access), PodGrading(info, submissions, tmp_path / "out", access, settings) as it:
        it.run()


def refused(cluster, info, tmp_path, words, fix, namespace=""):
    with pytest.raises(LabError) as error:
        grade(cluster, info, tmp_path, namespace)
    said = error.value
    assert words in said.what
    assert "\n" not in said.what
    assert fix in said.fix
    # Nothing half-started is left, here or there.
    assert [path for path in cluster.objects if "llmlab" in path] == []
    assert owned.entries() == []
    assert not (tmp_path / "out" / "batch.json").exists()
    assert not list((tmp_path / "out").glob("*/result.json"))
    return said


def waiting(reason, message):
    return {
        "phase": "Pending",
        "initContainerStatuses": [
            {"name": "notebook", "state": {"waiting": {"reason": reason, "message": message}}}
        ],
    }


def given(cluster, name="given", **labels):
    cluster.put(
        f"/api/v1/namespaces/{name}",
        {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"}},
    )


def test_who_may_not_is_told_what(cluster, info, tmp_path):
    cluster.forbidden = {"create jobs", "get pods/log"}
    refused(
        cluster,
        info,
        tmp_path,
        "You may not create jobs, get pods/log in the namespace",
        "create rolebinding",
    )
    assert cluster.asked["POST selfsubjectaccessreviews"] == len(RIGHTS)
    assert not cluster.asked["POST jobs"]


def test_who_may_not_make_a_namespace_is_told_so(cluster, info, tmp_path):
    cluster.refuses["POST namespaces"] = (403, 'namespaces is forbidden: User "me" cannot create')
    refused(cluster, info, tmp_path, "You may not do that there", "auth can-i")


def test_a_namespace_that_is_named_must_be_there(cluster, info, tmp_path):
    refused(
        cluster,
        info,
        tmp_path,
        "There is no namespace elsewhere in paper.",
        "create namespace elsewhere",
        "elsewhere",
    )
    assert not cluster.asked["POST jobs"]


def test_a_namespace_that_takes_any_pod_is_refused(cluster, info, tmp_path):
    given(cluster)
    refused(cluster, info, tmp_path, "not `restricted`", f"{ENFORCE}=restricted", "given")


def test_a_namespace_of_somebody_elses_stays(cluster, info, tmp_path):
    given(cluster, **{ENFORCE: "restricted", OURS: GRADER})
    cluster.pods_wait = waiting("InvalidImageName", "couldn't parse")
    refused(cluster, info, tmp_path, f"The image {IMAGE} cannot be pulled", "--image", "given")
    assert "/api/v1/namespaces/given" in cluster.objects


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_not_waited_for(cluster, info, tmp_path, reason):
    cluster.pods_wait = waiting(reason, "failed to pull:\nnot found")
    said = refused(
        cluster, info, tmp_path, f"The image {IMAGE} cannot be pulled: failed to pull: not found", "--image"
    )
    assert said.where == f"paper, namespace {NAMESPACE}"


def test_a_quota_is_said(cluster, info, tmp_path):
    cluster.no_pods = (
        'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4'
    )
    refused(cluster, info, tmp_path, "is used up: team, requested: pods=1", "describe quota")


def test_a_quota_of_objects_is_said(cluster, info, tmp_path):
    cluster.refuses["POST secrets"] = (
        403,
        'secrets "x" is forbidden: exceeded quota: team, requested: secrets=1',
    )
    refused(cluster, info, tmp_path, "is used up: team, requested: secrets=1", "describe quota")


def test_pod_securitys_refusal_is_said(cluster, info, tmp_path):
    cluster.no_pods = 'pods "x" is forbidden: violates PodSecurity "restricted:v1.20": seccompProfile'
    refused(cluster, info, tmp_path, "Pod Security refuses our pods", "label namespace")


def test_another_refusal_of_pods_is_said(cluster, info, tmp_path):
    cluster.no_pods = 'pods "x" is forbidden: RuntimeClass "gvisor" not found'
    refused(cluster, info, tmp_path, 'RuntimeClass "gvisor" not found', "describe job")


def test_a_pod_that_no_node_takes_is_said(cluster, info, tmp_path):
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: cpu",
    }
    cluster.pods_wait = {"phase": "Pending", "conditions": [condition]}
    refused(cluster, info, tmp_path, "No node takes a pod of ours: 0/1 nodes", "describe nodes")


@pytest.mark.parametrize(
    ("code", "words", "fix"),
    [
        (steps.ANOTHER_VERSION, "holds another version of the course", "--image"),
        (
            steps.NETWORK_OPEN,
            "Nothing keeps a learner's cells in paper from the network (said)",
            "NetworkPolicies",
        ),
        (steps.LACKING, "lacks something that this lab needs: said", "whole image"),
        (steps.UNREADABLE, "could not read what it was given: said", "--image"),
    ],
)
def test_a_pod_that_refuses_for_all_ends_the_batch(cluster, info, tmp_path, code, words, fix):
    failed = {
        "phase": "Failed",
        "initContainerStatuses": [state("notebook", exitCode=code, reason="Error", message="noise\nsaid")],
    }
    cluster.ends = lambda *_: (failed, b"")
    said = refused(cluster, info, tmp_path, words, fix)
    assert "without --on" in said.without


def test_an_image_from_before_there_were_pods_is_another_version(cluster, info, tmp_path):
    message = "/usr/bin/python: No module named llmlab.grade.pods.steps"
    failed = {
        "phase": "Failed",
        "initContainerStatuses": [state("notebook", exitCode=1, reason="Error", message=message)],
    }
    cluster.ends = lambda *_: (failed, b"")
    refused(cluster, info, tmp_path, "holds another version of the course", "--image")


def test_a_job_that_somebody_deletes_is_said(cluster, info, tmp_path):
    cluster.pods_wait = {"phase": "Running"}
    made = cluster._work

    def work(path):
        made(path)
        cluster.drop(path)

    cluster._work = work
    refused(cluster, info, tmp_path, "was deleted by somebody else", "the same command")


def test_no_cluster_is_taken_that_nobody_named(cluster, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig))
    for named in (None, "prod"):
        with pytest.raises(LabError, match="There are: paper, production"):
            open_access(named, None)
    assert not cluster.asked
    open_access("paper", None).close()


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (("docker", "images"), "a Docker daemon"),
        (("kubernetes", "binary"), "clusters of its own"),
        (("process", "cpu-quota"), "cgroups"),
    ],
)
def test_a_lab_that_a_pod_cannot_grade_stays_on_one_machine(info, needs, words):
    from dataclasses import replace

    with pytest.raises(LabError, match=words):
        require_pods(replace(info, needs=needs))


def test_an_old_cluster_is_refused(cluster, info, tmp_path, monkeypatch):
    answer = cluster.answer

    def old(verb, path, query, body):
        return (
            (200, {"major": "1", "minor": "28", "gitVersion": "v1.28.9"})
            if path == "/version"
            else answer(verb, path, query, body)
        )

    cluster.answer = old
    refused(cluster, info, tmp_path, "runs Kubernetes v1.28.9", "without --on")
