"""The learner's manifests in a cluster: whole or not at all, changed, awaited, gone; and what is said when it fails."""

from __future__ import annotations

import itertools
import json

import pytest

from llmlab.errors import LabError, Unavailable
from llmlab.serve.ports import free_port
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import pods, ready_pods
from llmlab.tiers.kubernetes.manifests.trouble import trouble

pytestmark = pytest.mark.needs("kubernetes")
NS = "inference"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: one}
spec:
  replicas: 1
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: one
        image: llmlab/pause:1
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec: {selector: {app: one}, ports: [{port: 80}]}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
JOB = """apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: work, image: "fetch:1", args: [ARGS, /into/copy], volumeMounts: [{name: into, mountPath: /into}]}]
      volumes: [{name: into, emptyDir: {}}]
"""


def read(tmp_path, *texts, namespace=NS):
    (tmp_path / "a.yaml").write_text("---\n".join(texts))
    return manifests.read(tmp_path, ["a.yaml"], namespaces=[namespace])


_numbers = itertools.count(1)


@pytest.fixture
def applied(simulated, tmp_path):
    """Applied to a namespace that no other test has: deleting one takes five seconds, ending the cluster none."""

    def make(*texts, **more):
        one = Applied(simulated, read(tmp_path, *texts, namespace=f"{NS}-{next(_numbers)}"), **more)
        one.up()
        return one

    return make


def kept(cluster, one, what):
    return cluster.run_kubectl("get", what, "-n", one.namespaces[0], "-o", "name").split()


def test_a_change_is_applied_to_what_is_there(simulated, applied, tmp_path):
    one = applied(DEPLOYMENT, SERVICE)
    one.ready(30)
    one.apply(*read(tmp_path, DEPLOYMENT.replace("replicas: 1", "replicas: 3"), namespace=one.namespaces[0]))
    one.ready(30)
    assert len(ready_pods(simulated, one.namespaces[0], "app=one")) == 3
    assert len(one.documents) == 2  # the changed one instead of the old, not beside it


def test_of_a_change_that_is_refused_nothing_is_applied(simulated, applied, tmp_path):
    one = applied(DEPLOYMENT)
    good = DEPLOYMENT.replace("replicas: 1", "replicas: 2")
    bad = SERVICE.replace("port: 80", "port: 80000")
    with pytest.raises(LabError, match="must be between 1 and 65535"):
        one.apply(*read(tmp_path, good, bad, namespace=one.namespaces[0]))
    found = simulated.run_kubectl(
        "get", "deploy/one", "-n", one.namespaces[0], "-o", "jsonpath={.spec.replicas}"
    )
    assert found == "1"
    assert "service/one" not in kept(simulated, one, "services")


def test_an_amount_that_is_none_is_the_files_fault_at_its_line(simulated, tmp_path):
    """The API server says 500, and not which one."""
    text = (
        DEPLOYMENT
        + "        resources:\n          requests: {cpu: 100m}\n          limits:\n            memory: 512MB\n"
    )
    with pytest.raises(LabError, match="quantities must match") as caught:
        Applied(simulated, read(tmp_path, text)).up()
    assert not isinstance(caught.value, Unavailable)
    assert caught.value.where == "a.yaml:17, spec.template.spec.containers[0].resources.limits.memory"


def test_every_character_arrives(simulated, applied):
    text = 'grüße 😀 \x85 \u2028 \\ud83d\\ude00 \t " / end'
    written = json.dumps(text, ensure_ascii=False).replace("\x85", "\\N").replace("\u2028", "\\L")
    one = applied(MAP + f"data:\n  a: {written}\n")
    found = json.loads(simulated.run_kubectl("get", "cm/one", "-n", one.namespaces[0], "-o", "json"))
    assert found["data"]["a"] == text


def test_images_are_those_of_the_cluster_wherever_they_stand(simulated, applied):
    text = (
        DEPLOYMENT
        + "      initContainers: [{name: first, image: mine}]\n"
        + "      volumes: [{name: models, image: {reference: mine}}]\n"
    )
    one = applied(text.replace("llmlab/pause:1", "mine"), images={"mine": "registry.invalid/theirs:2"})
    spec = wait("its pod", lambda: pods(simulated, one.namespaces[0]), 20)[0].spec
    named = [spec.containers[0].image, spec.init_containers[0].image, spec.volumes[0].image.reference]
    assert named == ["registry.invalid/theirs:2"] * 3


def test_once_more_is_a_new_one_and_down_takes_all_of_it(simulated, tmp_path):
    Applied(simulated, read(tmp_path, DEPLOYMENT, MAP)).up()
    with Applied(simulated, read(tmp_path, SERVICE)) as again:
        again.up()
        assert kept(simulated, again, "deployments,services") == ["service/one"]
    again.down()
    assert NS not in simulated.run_kubectl("get", "namespaces", "-o", "name").replace(f"{NS}-", "")


def test_a_pod_that_the_namespace_does_not_admit_is_said_once(simulated, applied):
    host = DEPLOYMENT.replace("      containers:", "      hostNetwork: true\n      containers:")
    one = applied(host.replace("replicas: 1", "replicas: 3"))
    with pytest.raises(LabError) as caught:
        one.ready(3)
    lines = [line for line in str(caught.value).splitlines() if "violates PodSecurity" in line]
    assert len(lines) == 1
    assert "host namespaces (hostNetwork=true)" in lines[0]
    assert "(×" in lines[0]


def test_a_service_that_selects_nobody_is_named_with_its_labels(simulated, applied):
    one = applied(
        DEPLOYMENT, SERVICE.replace("{app: one}", "{app: two}"), SERVICE.replace("name: one", "name: good")
    )
    one.ready(30)
    assert trouble(simulated, one.namespaces[0]) == [
        "Service one leads to no pod: none has the labels app=two"
    ]


def test_a_deadline_names_what_was_awaited_and_the_schedulers_words(applied):
    one = applied(DEPLOYMENT + "        resources: {requests: {cpu: 1000}}\n")
    with pytest.raises(LabError, match=r"Waited 1 s for Deployment one(.|\n)*3 Insufficient cpu"):
        one.ready(1)


def test_a_cluster_that_is_gone_is_nobodys_fault(simulated, tmp_path):
    dead = Simulated()
    dead.folder.mkdir(parents=True)
    try:
        server = f"https://127.0.0.1:{free_port()}"
        line = next(it for it in simulated.kubeconfig.read_text().splitlines() if "server:" in it)
        dead.kubeconfig.write_text(simulated.kubeconfig.read_text().replace(line.split()[-1], server))
        with pytest.raises(Unavailable, match=f"cluster {dead.name} does not answer"):
            Applied(dead, read(tmp_path, DEPLOYMENT)).up()
    finally:
        dead.down()


@pytest.mark.needs("pods", "binary")
class TestOnARealNode:
    def test_jobs_complete_and_failed_ones_say_why_at_once(self, local, tmp_path):
        local.load("fetch:1")
        good = JOB.replace("ARGS", "/fetch")
        bad = JOB.replace("ARGS", "/nowhere").replace("name: work}", "name: fails}", 1)
        one = Applied(local, read(tmp_path, good, bad, namespace="jobs"))
        one.up()
        done, fails = one.documents
        one.wait_for(done, 30)
        with pytest.raises(LabError, match=r"Job fails failed.(.|\n)*log: .*/nowhere") as caught:
            one.wait_for(fails, 30)
        assert caught.value.where == "a.yaml:12"

    def test_a_pod_that_never_becomes_ready_shows_its_events_and_last_log_lines(self, local, tmp_path):
        local.load("llama-server:v1.0.0", "models/tiny:1")
        text = DEPLOYMENT.replace("llmlab/pause:1", "llama-server:v1.0.0") + (
            "        args: [-m, /models/tiny.gguf, --port, '8080', --threads, '1']\n"
            "        readinessProbe: {httpGet: {path: /helth, port: 8080}, periodSeconds: 1}\n"
            "        volumeMounts: [{name: models, mountPath: /models}]\n"
            '      volumes: [{name: models, image: {reference: "models/tiny:1"}}]\n'
        )
        one = Applied(local, read(tmp_path, text, namespace="never"))
        one.up()
        with pytest.raises(LabError) as caught:
            one.ready(8)
        said = str(caught.value)
        assert "Waited 8 s for Deployment one" in said
        assert "one runs, not ready" in said
        assert "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404" in said
        assert "log: " in said
