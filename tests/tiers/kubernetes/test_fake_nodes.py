"""Nodes that are not there beside one that is: the scheduler means both, and only the real one's pods have processes."""

from __future__ import annotations

import os
import signal

import pytest

from llmlab.errors import LabError, Unavailable
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.fake_nodes import FakeNodes

pytestmark = pytest.mark.needs("pods", "root")


@pytest.fixture
def nodes(local):
    made = FakeNodes(local)
    yield made
    made.remove()
    made.close()


@pytest.fixture
def core(local):
    from kubernetes import client

    made = client.CoreV1Api(local.api)
    yield made
    made.delete_collection_namespaced_pod("default", grace_period_seconds=0)


def pod(core, name, node, **more):
    spec = {
        "containers": [{"name": "one", "image": "llmlab/pause:1", **more}],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "terminationGracePeriodSeconds": 0,
    }
    core.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})


def running(core, name):
    found = wait(
        f"pod {name}",
        lambda: next(
            (it for it in [core.read_namespaced_pod(name, "default")] if it.status.phase == "Running"), None
        ),
        20,
    )
    assert found.status.container_statuses
    return found


def test_the_real_nodes_pods_stay_real(local, nodes, core):
    local.load("fetch:1")
    nodes.add("fake-1", labels={"pool": "gpu"}, capacity={"nvidia.com/gpu": "2"})
    nodes.ready()
    pod(core, "said", "fake-1", image="anything:1", resources={"limits": {"nvidia.com/gpu": "2"}})
    pod(core, "real", "node-1", image="fetch:1", args=["--wait=60s", "/nowhere"])
    assert local.processes(running(core, "real"))
    assert local.processes(running(core, "said")) == []
    found = {it.metadata.name: it for it in core.list_node().items}
    assert found["fake-1"].status.allocatable["nvidia.com/gpu"] == "2"
    assert found["fake-1"].metadata.labels["pool"] == "gpu"
    assert "nvidia.com/gpu" not in found["node-1"].status.allocatable
    nodes.remove("fake-1")
    # the cluster itself would come to its pods after a minute
    wait("the end of its pods", lambda: len(core.list_namespaced_pod("default").items) == 1, 5)
    assert local.processes(core.read_namespaced_pod("real", "default"))
    assert list(local.facts()["nodes"]) == ["node-1"]


def test_one_that_is_full_or_gone_takes_nobody(nodes, core):
    nodes.add("fake-2", capacity={"pods": "1"})
    nodes.ready()
    pod(core, "first", "fake-2")
    running(core, "first")
    pod(core, "second", "fake-2")

    def said():
        conditions = core.read_namespaced_pod("second", "default").status.conditions
        return conditions and "Too many pods" in conditions[0].message

    wait("the scheduler's words", said, 20)
    nodes.remove()
    nodes.remove()  # nothing is left to be removed
    wait(
        "its pods' end",
        lambda: [it.metadata.name for it in core.list_namespaced_pod("default").items] == ["second"],
        5,
    )


def test_its_end_is_the_end_of_kwok_alone(local, nodes):
    nodes.add("fake-3")
    nodes.ready()
    assert len(nodes._programs.pids) == 1
    nodes.close()
    assert nodes._programs.pids == []
    local.check()
    nodes.add("fake-4")
    with pytest.raises(LabError, match="fake nodes fake-3, fake-4"):
        nodes.ready(1)


def test_kwok_that_ended_is_named_with_its_last_words(nodes):
    nodes.add("fake-5")
    os.kill(nodes._programs.pids[0], signal.SIGKILL)
    nodes.add("fake-6")
    with pytest.raises(Unavailable, match="kwok of fake nodes of llmlab-"):
        nodes.ready(5)
