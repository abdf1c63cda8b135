"""From file to pod there are many who may refuse: each is said in its own words, at the line that is meant, and at once."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

from llmlab.errors import LabError, Unavailable
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.gpus.probes import decided
from llmlab.tiers.kubernetes.manifests import manifests, refusals
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.manifests import Document
from llmlab.tiers.kubernetes.manifests.refusals import WorkloadRefused, blamed, standing
from llmlab.tiers.kubernetes.manifests.trouble import trouble
from llmlab.tiers.kubernetes.probes.pods import forbidden

NS = "refused"
LONG = 60  # seconds: a wait that is not ended early is seen
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: one}
spec:
  replicas: 2
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      MORE
      containers:
      - name: llama
        image: llmlab/pause:1
        resources:
          limits: {memory: 1Gi, cpu: 100m}
"""
STATEFUL = """apiVersion: apps/v1
kind: StatefulSet
metadata: {name: one}
spec:
  serviceName: one
  replicas: 1
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      serviceAccountName: nobody
      containers: [{name: llama, image: "llmlab/pause:1"}]
"""
JOB = """apiVersion: batch/v1
kind: Job
metadata: {name: one}
spec:
  template:
    spec:
      restartPolicy: Never
      serviceAccountName: nobody
      containers: [{name: llama, image: "llmlab/pause:1"}]
"""
DAEMON = """apiVersion: apps/v1
kind: DaemonSet
metadata: {name: one}
spec:
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      serviceAccountName: nobody
      containers: [{name: llama, image: "llmlab/pause:1"}]
"""
QUOTA = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: HARD}\n"
LIMITS = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: small}\nspec: {limits: [{type: Container, max: {memory: 512Mi}}]}\n"
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody}\n"
CLASS = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: nvidia}\nhandler: nvidia\n"


def deployment(more=""):
    return DEPLOYMENT.replace("      MORE\n", f"      {more}\n" if more else "")


def read(tmp_path, *texts, namespace=NS):
    (tmp_path / "a.yaml").write_text("---\n".join(texts))
    return manifests.read(tmp_path, ["a.yaml"], namespaces=[namespace])


# -- which line is meant; no cluster is needed -----------------------------------------------------------

WORDS = {
    "runtime class": (
        "runtimeClassName: nvidia",
        'pods "one-…" is forbidden: pod rejected: RuntimeClass "nvidia" not found',
        "a.yaml:10, spec.template.spec.runtimeClassName",
    ),
    "priority class": (
        "priorityClassName: urgent",
        'pods "one-…" is forbidden: no PriorityClass with name urgent was found',
        "a.yaml:10, spec.template.spec.priorityClassName",
    ),
    "service account": (
        "serviceAccountName: nobody",
        'pods "one-…" is forbidden: error looking up service account refused/nobody: serviceaccount "nobody" not found',
        "a.yaml:10, spec.template.spec.serviceAccountName",
    ),
    "quota of pods": (
        "",
        'pods "one-…" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1',
        "a.yaml:5, spec.replicas",
    ),
    "quota of memory": (
        "",
        'pods "one-…" is forbidden: exceeded quota: small, requested: limits.memory=1Gi, used: limits.memory=0, limited: limits.memory=1Mi',
        "a.yaml:14, spec.template.spec.containers[0].resources.limits.memory",
    ),
    "limit range": (
        "",
        'pods "one-…" is forbidden: maximum memory usage per Container is 512Mi, but limit is 1Gi',
        "a.yaml:13, spec.template.spec.containers[0].resources",
    ),
    "baseline": (
        "hostNetwork: true",
        'pods "one-…" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
        "a.yaml:10, spec.template.spec.hostNetwork",
    ),
    "restricted": (
        "",
        'pods "one-…" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
        '(container "llama" must set securityContext.allowPrivilegeEscalation=false)',
        "a.yaml:11, spec.template.spec.containers[0]",
    ),
    "invalid": (
        "",
        'Pod "one-…" is invalid: spec.containers[0].image: Required value',
        "a.yaml:12, spec.template.spec.containers[0].image",
    ),
    "somebody's webhook": ("", "admission webhook says no", "a.yaml:7, spec.template"),
    "somebody's webhook, about a field": (
        "nodeSelector: {pool: gold}",
        'admission webhook "vet.example.com" denied the request: pool "gold" is not yours',
        "a.yaml:10, spec.template.spec.nodeSelector.pool",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_the_words_lead_to_the_line_that_is_meant(name, tmp_path):
    more, said, where = WORDS[name]
    [one] = read(tmp_path, deployment(more))
    assert blamed(one, said)[0] == where


def test_of_an_object_without_a_text_the_document_is_named():
    """What a kustomization generates has no lines of its own."""
    one = Document("kustomization.yaml", 1, "Deployment", "apps/v1", "one", NS, {"spec": {}}, None)
    assert blamed(one, 'RuntimeClass "x" not found')[0] == "kustomization.yaml:1, spec.template"


class Clock:
    """Of monotonic seconds, set by hand."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def looks(monkeypatch, tmp_path):
    """A watch whose cluster says what it is told: at, the refusal's words, whether pods are on their way out."""
    clock = Clock()
    monkeypatch.setattr(refusals, "time", clock)
    [one] = read(tmp_path, deployment())
    watch = refusals.Watch(object(), one)

    def look(at, said, leaving=False, since=None):
        clock.now = 100.0 + at
        there = [refusals.Refusal("ReplicaSet one-1", said, 0, 2, since)] if said else []
        monkeypatch.setattr(refusals, "standing", lambda *_: there)
        monkeypatch.setattr(refusals.Watch, "_leaving", lambda *_: leaving)
        return watch()

    return look


FULL = "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"


def test_a_refusal_is_final_when_it_has_stood_for_a_while(looks):
    assert looks(0, FULL) is None
    assert looks(2, FULL) is None
    assert looks(3.1, FULL).what.startswith(
        "No pod of Deployment one is let in. ReplicaSet one-1: FailedCreate: exceeded"
    )


def test_one_that_went_away_begins_anew(looks):
    assert [looks(at, said) for at, said in ((0, FULL), (2, ""), (4, FULL), (6, FULL))] == [None] * 4
    assert looks(7.5, FULL) is not None


def test_while_pods_are_on_their_way_out_and_as_long_again_it_may_pass(looks):
    """A quota is full while the old pods end; the controller's pause has doubled with each refusal."""
    assert [looks(at, FULL, leaving=True) for at in (0, 5, 10)] == [None] * 3
    assert looks(22, FULL) is None
    assert looks(23.5, FULL) is not None


def test_one_that_stood_before_anybody_looked_is_given_as_long_again(looks):
    since = datetime.now(UTC) - timedelta(seconds=10)
    assert looks(0, FULL, since=since) is None
    assert looks(12, FULL, since=since) is None
    assert looks(13.6, FULL, since=since) is not None


@pytest.mark.parametrize(
    "said", ["status unknown for quota: llmlab, resources: pods", 'serviceaccount "default" not found']
)
def test_what_a_young_cluster_takes_back_by_itself_is_never_final(said, looks):
    assert [looks(at, said) for at in (0, 5, 50)] == [None] * 3


# -- what API server and controllers say -----------------------------------------------------------------

_numbers = itertools.count(1)


@pytest.fixture
def applied(simulated, tmp_path):
    """In a namespace that no other test has."""

    def make(*texts, labels=None):
        name = f"{NS}-{next(_numbers)}"
        documents = read(tmp_path, *texts, namespace=name)
        if labels:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            documents.append(Document("n.yaml", 1, "Namespace", "v1", name, None, body))
        one = Applied(simulated, documents)
        one.up()
        return one

    return make


cluster_is_needed = pytest.mark.needs("kubernetes")
REFUSALS = {
    "runtime class": ([deployment("runtimeClassName: nvidia")], 'RuntimeClass "nvidia" not found', 10),
    "priority class": (
        [deployment("priorityClassName: urgent")],
        "no PriorityClass with name urgent was found",
        10,
    ),
    "service account": ([deployment("serviceAccountName: nobody")], 'serviceaccount "nobody" not found', 10),
    "quota of pods": (
        [QUOTA.replace("HARD", '{pods: "0"}'), deployment()],
        "exceeded quota: small, requested: pods=1",
        10,
    ),
    "quota of memory": (
        [QUOTA.replace("HARD", "{limits.memory: 1Mi}"), deployment()],
        "exceeded quota: small, requested: limits.memory=1Gi",
        19,
    ),
    "quota that wants more said": (
        [QUOTA.replace("HARD", "{limits.memory: 8Gi}"), deployment().split("        resources:")[0]],
        "failed quota: small: must specify limits.memory for: llama",
        16,
    ),
    "limit range": (
        [LIMITS, deployment()],
        "maximum memory usage per Container is 512Mi, but limit is 1Gi",
        18,
    ),
    "baseline": ([deployment("hostPID: true")], "host namespaces (hostPID=true)", 10),
    "stateful set": ([STATEFUL], 'serviceaccount "nobody" not found', 11),
    "job": ([JOB], 'serviceaccount "nobody" not found', 8),
    "daemon set": ([DAEMON], 'serviceaccount "nobody" not found', 9),
}


@cluster_is_needed
@pytest.mark.parametrize("name", REFUSALS)
def test_the_wait_ends_with_the_events_words_and_the_line(name, applied):
    texts, said, line = REFUSALS[name]
    one = applied(*texts)
    began = time.monotonic()
    with pytest.raises(WorkloadRefused) as caught:
        one.ready(LONG)
    assert time.monotonic() - began < LONG / 2
    assert said in caught.value.what
    assert "FailedCreate: " in caught.value.what
    assert str(caught.value.where).startswith(f"a.yaml:{line}, ")
    if name != "baseline":
        assert "kubectl" in str(caught.value.fix)


@cluster_is_needed
def test_what_the_learners_own_namespace_does_not_admit(applied):
    one = applied(deployment(), labels={"pod-security.kubernetes.io/enforce": "restricted"})
    with pytest.raises(
        WorkloadRefused,
        match=r'No pod of Deployment one is let in. ReplicaSet one-.* violates PodSecurity "restricted',
    ) as caught:
        one.ready(LONG)
    assert caught.value.where == "a.yaml:11, spec.template.spec.containers[0]"


@cluster_is_needed
def test_some_are_let_in_and_no_more(simulated, applied):
    one = applied(QUOTA.replace("HARD", '{pods: "1"}'), deployment())
    with pytest.raises(WorkloadRefused, match="Only 1 of 2 pods of Deployment one are let in"):
        one.ready(LONG)
    said = trouble(simulated, one.namespaces[0])  # the pod that runs does not speak for the other one
    assert len([line for line in said if "exceeded quota" in line]) == 1


@cluster_is_needed
def test_one_that_is_paused_from_the_start_makes_none(applied):
    one = applied(deployment().replace("spec:\n  replicas", "spec:\n  paused: true\n  replicas"))
    with pytest.raises(WorkloadRefused, match="it is paused") as caught:
        one.ready(LONG)
    assert caught.value.where == "a.yaml:5, spec.paused"


@cluster_is_needed
def test_a_refusal_that_passes_is_waited_out(simulated, applied, tmp_path):
    one = applied(deployment("serviceAccountName: nobody"))
    mine = one.documents[0]
    wait("the refusal", lambda: standing(simulated, one.namespaces[0], mine), 20)
    one.apply(*read(tmp_path, ACCOUNT, namespace=one.namespaces[0]))
    one.ready(LONG)
    assert standing(simulated, one.namespaces[0]) == []


@cluster_is_needed
def test_the_schedulers_decision_is_not_awaited_for_pods_that_are_refused(simulated, applied):
    one = applied(deployment("runtimeClassName: nvidia"))
    with pytest.raises(WorkloadRefused) as caught:
        decided(simulated, one.documents[0], 2, LONG)
    assert caught.value.where == "a.yaml:10, spec.template.spec.runtimeClassName"


@cluster_is_needed
def test_who_names_another_scheduler_hears_that_there_is_none(simulated, applied):
    one = applied(deployment("schedulerName: volcano"))
    found = decided(simulated, one.documents[0], 2, LONG)
    assert {reason for _, reason in found.values()} == {"no scheduler volcano runs here"}


@cluster_is_needed
@pytest.mark.parametrize("text", [deployment("serviceAccountName: nobody"), JOB, STATEFUL, DAEMON])
def test_a_workload_whose_pods_are_forbidden_is_told_from_one_that_has_them(text, simulated, applied):
    assert 'serviceaccount "nobody" not found' in forbidden(simulated, applied(text).documents[0])
    assert forbidden(simulated, applied(text, ACCOUNT).documents[0]) is None


@cluster_is_needed
def test_one_that_wants_no_pods_is_not_forbidden_any(simulated, applied):
    one = applied(deployment().replace("replicas: 2", "replicas: 0"))
    assert forbidden(simulated, one.documents[0], 2) is None


@cluster_is_needed
def test_what_is_the_whole_clusters_is_refused_by_name_and_line(simulated, tmp_path):
    with pytest.raises(LabError) as caught:
        Applied(simulated, read(tmp_path, deployment("runtimeClassName: nvidia"), CLASS)).up()
    assert not isinstance(caught.value, Unavailable)
    assert "refuses RuntimeClass nvidia" in caught.value.what
    assert str(caught.value.where).startswith("a.yaml:17")
    assert "a RuntimeClass is the whole cluster's" in str(caught.value.fix)


@cluster_is_needed
def test_a_job_that_removes_itself_was_done(applied):
    one = applied(
        JOB.replace("      serviceAccountName: nobody\n", "").replace(
            "spec:\n  template", "spec:\n  ttlSecondsAfterFinished: 0\n  template"
        )
    )
    one.ready(LONG)
    job = one.documents[0]
    wait("its end", lambda: one.job(job) is None, 20)
    one.ready(LONG)
