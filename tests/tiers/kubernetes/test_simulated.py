"""A cluster without a node: as an ordinary user too, with fake nodes on which the real scheduler decides."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.system.paths import cache_dir
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.fake_nodes import FakeNodes
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import pods

pytestmark = pytest.mark.needs("kubernetes")
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: one, namespace: inference}
spec:
  replicas: 3
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: one}}}
      containers: [{name: one, image: anything}]
"""


def test_pods_are_placed_on_its_nodes_and_said_to_run(simulated, tmp_path):
    (tmp_path / "a.yaml").write_text(DEPLOYMENT)
    with Applied(simulated, manifests.read(tmp_path, ["a.yaml"], namespaces=["inference"])) as one:
        one.up()
        one.ready(30)
        assert {pod.spec.node_name for pod in pods(simulated, "inference")} == {"node-1", "node-2", "node-3"}
        assert simulated.stands_in == "KWOK says that the pods run"
        with pytest.raises(LabError, match="no pod runs on a simulated cluster"):
            simulated.address("inference", "one")


def test_a_tainted_node_with_gpus_takes_only_who_asks_for_them(simulated):
    from kubernetes import client

    nodes = FakeNodes(simulated)
    core = client.CoreV1Api(simulated.api)
    try:
        taint = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
        nodes.add("gpu-1", labels={"pool": "gpu"}, taints=[taint], capacity={"nvidia.com/gpu": "1"})
        nodes.ready()
        limits = {"limits": {"nvidia.com/gpu": "1"}}
        container = {"name": "a", "image": "a", "resources": limits}
        core.create_namespaced_pod(
            "default", {"metadata": {"name": "without"}, "spec": {"containers": [container]}}
        )
        tolerant = {"containers": [container], "tolerations": [{"key": "sku", "operator": "Exists"}]}
        core.create_namespaced_pod("default", {"metadata": {"name": "with"}, "spec": tolerant})
        wait(
            "the pod that tolerates",
            lambda: core.read_namespaced_pod("with", "default").spec.node_name == "gpu-1",
            20,
        )
        refused = core.read_namespaced_pod("without", "default")
        assert refused.spec.node_name is None
        assert "untolerated taint" in refused.status.conditions[0].message
    finally:
        core.delete_collection_namespaced_pod("default", grace_period_seconds=0)
        nodes.remove()
        nodes.close()


def test_two_at_once_have_ports_of_their_own():
    with Simulated(nodes=1) as one, Simulated(nodes=2) as other:
        one.up()
        other.up()
        assert len(one.facts()["nodes"]) == 1
        assert len(other.facts()["nodes"]) == 2
    assert not one.folder.exists()
    assert not [entry for entry in owned.entries() if one.name in entry.label or other.name in entry.label]


SCRIPT = """
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
import os
with Simulated() as cluster:
    cluster.up()
    print(os.geteuid(), sorted(cluster.facts()["nodes"]))
"""


@pytest.mark.needs("root")
@pytest.mark.skipif(
    not shutil.which("setpriv"), reason="no setpriv. Bring it: sudo apt-get install util-linux"
)
def test_an_ordinary_user_can(tmp_path):
    """As nobody, with one capability: to read what lies in root's home (this Python, the cache). It changes nothing with it."""
    for top in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        top.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    env = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "LLMLAB_CACHE": str(home / "cache"),
        "LLMLAB_STATE": str(home / "state"),
        "LLMLAB_SHARED_CACHE": str(cache_dir()),
    }
    may_read = [
        "--inh-caps",
        "-all,+dac_read_search",
        "--ambient-caps",
        "-all,+dac_read_search",
        "--bounding-set",
        "-all,+dac_read_search",
    ]
    line = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        *may_read,
        sys.executable,
        "-c",
        SCRIPT,
    ]
    done = subprocess.run(line, env=env, cwd=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split(maxsplit=1)[0] == "65534"
    assert "node-3" in done.stdout
    assert not list((home / "state" / "clusters").glob("*"))


BRING_UP = "from llmlab.tiers.kubernetes.drivers.simulated import Simulated; Simulated().up(lambda text: print(text, flush=True))"


def test_what_a_killed_owner_left_is_cleaned():
    """kill -9 in mid-bring-up: its programs end by themselves, its files with `llmlab clean`."""
    state = Path(os.environ["LLMLAB_STATE"])

    def below():
        lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        return {line for line in lines if f"{state}/clusters" in line}

    others = below()
    before = set((state / "clusters").glob("*"))
    with subprocess.Popen([sys.executable, "-c", BRING_UP], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "API server" in line:
                break
        wait("its API server", lambda: any("kube-apiserver" in line for line in below() - others), 20)
        process.send_signal(signal.SIGKILL)
    wait("the end of its programs", lambda: below() == others, 20)
    assert set((state / "clusters").glob("*")) != before
    owned.clean()
    assert set((state / "clusters").glob("*")) == before
