"""A whole cluster on this machine: real pods, real Services, two at once, and nothing left of any."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.local import Local
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import endpoints, ready_pods

pytestmark = pytest.mark.needs("pods", "root")
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: llama, namespace: inference}
spec:
  replicas: 2
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: llama
        image: llama-server:v1.0.0
        args: [--host, 0.0.0.0, --port, "8080", -m, /models/tiny.gguf, --threads, "1"]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: models, mountPath: /models}]
      volumes: [{name: models, image: {reference: "models/tiny:1"}}]
---
apiVersion: v1
kind: Service
metadata: {name: llama, namespace: inference}
spec: {selector: {app: llama}, ports: [{port: 80, targetPort: 8080}]}
"""


def traces(*clusters: str) -> dict[str, set[str]]:
    """What the clusters of these names have on this machine, and what none may leave; others' are not counted."""
    words = set(clusters)

    def of_these(text: str) -> bool:
        return bool(words & set(re.split(r"[^\w-]+", text)))

    def said(*line: str) -> list[str]:
        return subprocess.run(line, capture_output=True, text=True).stdout.splitlines()

    folders = Path(os.environ["LLMLAB_STATE"]) / "clusters"
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    links = {
        line for line in said("ip", "-o", "link") if of_these(line)
    }  # by its alias: another may have its name by now
    cables = {line.split(": ")[1].partition("@")[0] for line in links}
    found = {
        "links": links,
        "routes": {line for line in said("ip", "route") if cables & set(line.split())},
        "rules": {line for line in said("iptables-save") if "KUBE" in line or "CNI" in line},
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").glob("**/llmlab-*") if path.name in words},
        "mounts": {line for line in Path("/proc/mounts").read_text().splitlines() if of_these(line)},
        "folders": {str(path) for path in folders.glob("*") if path.name in words},
        "cni": {str(path) for path in Path("/var/lib/cni").glob("**/*")},
        "processes": {line for line in commands if of_these(line)},
    }
    return {what: those for what, those in found.items() if those}


def server(tmp_path):
    (tmp_path / "server.yaml").write_text(SERVER)
    return manifests.read(tmp_path, ["server.yaml"], namespaces=["inference"])


def test_real_servers_answer_behind_a_service(local, tmp_path):
    local.load("llama-server:v1.0.0", "models/tiny:1")
    with Applied(local, server(tmp_path)) as one:
        one.up()
        one.ready(40)
        url = f"{local.address('inference', 'llama')}/completion"

        def answer():
            try:
                body, patience = {"prompt": "a", "n_predict": 2}, httpx.Timeout(30, connect=3)
                return httpx.post(url, json=body, timeout=patience, trust_env=False)
            except (
                httpx.ConnectTimeout
            ):  # begun before kube-proxy had heard of the pods: such a one hangs for good
                return None

        reply = wait("an answer", answer, 30)
        assert reply.json()["tokens_predicted"] == 2
        pods = {pod.metadata.name for pod in ready_pods(local, "inference")}
        assert endpoints(local, "inference", "llama") == dict.fromkeys(pods, True)
        assert len(pods) == 2
    assert "inference" not in local.run_kubectl("get", "namespaces")


def test_a_pod_that_would_reach_the_machine_is_refused(local):
    from kubernetes import client

    pod = {
        "metadata": {"name": "bad"},
        "spec": {"hostNetwork": True, "containers": [{"name": "bad", "image": "llmlab/pause:1"}]},
    }
    with pytest.raises(client.ApiException, match="violates PodSecurity"):
        client.CoreV1Api(local.api).create_namespaced_pod("default", pod)


def test_names_resolve_and_claims_get_volumes(local):
    local.add("dns", "storage")
    local.load("fetch:1")
    objects = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: ask}
spec:
  restartPolicy: Never
  containers:
  - name: ask
    image: fetch:1
    args: ["http://coredns.kube-system.svc.cluster.local:8181/ready", /models/said]
    volumeMounts: [{name: models, mountPath: /models}]
  volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
---
apiVersion: v1
kind: Service
metadata: {name: coredns, namespace: kube-system}
spec: {selector: {k8s-app: kube-dns}, ports: [{port: 8181}]}
"""
    local.run_kubectl("apply", "-f", "-", input=objects)
    try:
        local.run_kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ask", "--timeout=40s")
        assert (local.volume("models", "default") / "said").read_text() == "OK"
    finally:
        folder = local.volume("models", "default")
        local.run_kubectl("delete", "pod/ask", "pvc/models", "--grace-period=0")
    wait("the volume's end", lambda: not folder.exists(), 20)


def test_two_at_once_and_nothing_left_of_either():
    both = [Local(), Local()]
    failures: list[BaseException] = []

    def up(one: Local) -> None:
        try:
            one.up()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=up, args=(cluster,)) for cluster in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert not failures
        assert both[0].network != both[1].network
        assert all("node-1" in cluster.run_kubectl("get", "nodes") for cluster in both)
        those = [cluster.name for cluster in both]
        assert {"links", "routes", "cgroups", "folders", "processes"} <= set(traces(*those))
    finally:
        for cluster in both:
            cluster.down()
    assert traces(*those) == {}


BRING_UP = "from llmlab.tiers.kubernetes.drivers.local import Local; Local().up(lambda text: print(text, flush=True))"


@pytest.mark.parametrize("at", ["certificates", "API server"])
def test_what_a_killed_owner_left_is_cleaned(at):
    """kill -9 in mid-bring-up; the keeper ends the processes, `llmlab clean` the rest."""
    with subprocess.Popen([sys.executable, "-c", BRING_UP], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if at in line:
                break
        process.send_signal(signal.SIGKILL)
    entry = next(
        owned_entry.data
        for owned_entry in owned.entries()
        if owned_entry.data.get("owner", {}).get("pid") == process.pid and "cable" in owned_entry.data
    )
    it = entry["name"]
    wait("the end of its processes", lambda: "processes" not in traces(it), 20)
    assert {"cgroups", "folders"} <= set(traces(it))
    owned.clean()
    assert traces(it) == {}
    assert owned.entries() == [] or all(entry.owner_alive for entry in owned.entries())


@pytest.mark.full
@pytest.mark.by_hand
def test_ten_in_a_row_leave_nothing(tmp_path):
    for _ in range(10):
        with Local() as one:
            one.up()
            one.load("llama-server:v1.0.0", "models/tiny:1")
            applied = Applied(one, server(tmp_path))
            applied.up()
            applied.ready(40)
            it = one.name
        assert traces(it) == {}
