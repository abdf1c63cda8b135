"""An existing cluster: one namespace of it, made by us, and nothing else."""

from __future__ import annotations

import os

import pytest

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.tiers.kubernetes.drivers.context import KubeContext
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.manifests import read
from llmlab.tiers.kubernetes.programs import binaries

pytestmark = pytest.mark.needs("kubernetes")


@pytest.fixture
def named(simulated, monkeypatch):
    """Somebody's cluster: a kubeconfig with a context, and a kubectl on PATH."""
    kubectl = binaries.find("kubectl")
    assert kubectl is not None
    monkeypatch.setenv("PATH", f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(simulated.kubeconfig))
    return simulated.run_kubectl("config", "current-context").strip()


def names(simulated):
    return set(simulated.run_kubectl("get", "namespaces", "-o", "name").split())


def test_it_makes_its_namespace_and_takes_it_away(simulated, named, tmp_path):
    before = names(simulated)
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: mine}\n"
    )
    with KubeContext(context=named, namespace="mine") as cluster:
        cluster.up()
        assert names(simulated) - before == {"namespace/mine"}
        Applied(cluster, read(tmp_path, ["a.yaml"], namespaces=["mine"])).up()
        assert "configmap/a" in simulated.run_kubectl("get", "configmaps", "-n", "mine", "-o", "name")
    assert "Terminating" in simulated.run_kubectl("get", "namespaces") or names(simulated) == before
    assert not [entry for entry in owned.entries() if entry.kind == "context"]


def test_a_namespace_that_is_there_is_somebody_elses(simulated, named):
    with pytest.raises(LabError, match="is a namespace default"):
        KubeContext(context=named, namespace="default").up()
    assert "namespace/default" in names(simulated)


def test_a_context_that_nobody_has(named):
    with pytest.raises(LabError, match="knows no context nowhere"):
        KubeContext(context="nowhere", namespace="mine").up()
    assert not [entry for entry in owned.entries() if entry.kind == "context"]
