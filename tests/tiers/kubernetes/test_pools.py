"""The pools of data/pools.toml: whole, dated, and labelled as GPU feature discovery labels nodes."""

from __future__ import annotations

from datetime import date

import pytest

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.gpus.pools import catalogue, discovered, pools, retired, taint
from llmlab.tiers.kubernetes.gpus.probes import on_node, short


def test_the_data_are_whole_and_dated():
    data = catalogue()
    date.fromisoformat(data["as_of"])
    assert {pool.cloud for pool in pools()} == {"EKS", "GKE", "AKS"}
    assert len({pool.name for pool in pools()}) == len(pools())
    for pool in pools():
        assert pool.gpu in data["gpu"]
        assert pool.gpus > 0 < pool.dollars
        assert [taint(it)["effect"] for it in pool.taints]
        assert pool.machine not in retired(), "a pool that cannot be had"
    assert all(date.fromisoformat(day) <= date.fromisoformat(data["as_of"]) for day in retired().values())


def test_every_gpu_of_a_pool_agrees_with_lab_03():
    """Its compute capability is the one that lab 03's fleet has, where that has it."""
    from llmlab.tiers.docker.cuda import fleet

    known = {gpu["name"]: gpu["capability"] for gpu in fleet()}
    for name, about in catalogue()["gpu"].items():
        found = known.get(name.split()[0])
        assert found is None or about["capability"] == f"{found // 10}.{found % 10}", name


def test_labels_of_gpu_feature_discovery():
    assert discovered("L4", 4) == {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "nvidia.com/gpu.memory": "23034",
        "nvidia.com/gpu.count": "4",
        "nvidia.com/gpu.compute.major": "8",
        "nvidia.com/gpu.compute.minor": "9",
    }


def test_taints():
    assert taint("sku=gpu:NoSchedule") == {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
    assert taint("dedicated:NoExecute")["value"] == ""
    for text in ("sku=gpu", "sku=gpu:Never", ":NoSchedule", ""):
        with pytest.raises(LabError, match="is no taint"):
            taint(text)


def test_the_schedulers_reason_without_the_nodes_that_were_not_asked_for():
    said = (
        "0/9 nodes are available: 1 node(s) had untolerated taint(s), 8 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
        "no new claims to deallocate, preemption: 0/9 nodes are available: 9 Preemption is not helpful for scheduling."
    )
    assert short(said) == "had untolerated taint(s)"
    assert short("0/3 nodes are available: 2 Insufficient nvidia.com/gpu, 1 node(s) were unschedulable.") == (
        "Insufficient nvidia.com/gpu"
    )


def test_a_pod_for_one_node_keeps_what_its_template_asks_for():
    term = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term, {}]}}
    body = {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": required}}}}}
    made = on_node(body, "node-7", "probe")["spec"]["affinity"]["nodeAffinity"]
    terms = made["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [selector["matchFields"][0]["values"] for selector in terms] == [["node-7"], ["node-7"]]
    assert terms[0]["matchExpressions"] == term["matchExpressions"]
    assert "matchFields" not in term, "the learner's own is left alone"


def test_a_probe_keeps_its_name_and_asks_for_no_account_of_another_namespace():
    spec = {"containers": [], "serviceAccountName": "llama", "serviceAccount": "llama"}
    made = on_node({"spec": {"template": {"spec": spec}}}, "node-7", "guide-eks-g6")
    assert made["metadata"]["name"] == "guide-eks-g6"
    assert {"serviceAccountName", "serviceAccount"} & made["spec"].keys() == set()
    assert spec["serviceAccountName"] == "llama"
