"""A cluster as a notebook handles it: one that was left running, here a simulated one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from llmlab.course.info import find_lab
from llmlab.errors import LabError
from llmlab.tiers.kubernetes.drivers import choose, hold
from llmlab.tiers.kubernetes.notebook.cluster import NAMESPACE, LiveCluster

pytestmark = pytest.mark.needs("kubernetes")
COURSE = Path(__file__).resolve().parents[3]
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: llama, namespace: inference}
spec:
  replicas: 1
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      nodeSelector: {disk: fast}
      containers: [{name: llama, image: anything}]
"""


@pytest.fixture
def live(simulated, monkeypatch, tmp_path):
    monkeypatch.delenv(choose.VARIABLE, raising=False)
    monkeypatch.setenv("LLMLAB_STATE", str(simulated.folder.parents[1]))  # where its kubeconfig is looked for
    monkeypatch.setattr(hold, "running", lambda: choose.attach(simulated.handle()))
    (tmp_path / "deployment.yaml").write_text(SERVER)
    live = LiveCluster(SimpleNamespace(info=find_lab("06", COURSE), files=tmp_path, opened=[], seed=0))
    yield live
    live.close()


def test_what_was_applied_says_why_it_is_not_ready_and_is_cleared(live, simulated):
    assert live.why == "llmlab cluster up left it running"
    app = live.apply("deployment.yaml")
    assert app.refused is None
    assert "deployment.apps/llama" in repr(live.kubectl(f"get all -n {NAMESPACE} -o name"))
    waited = app.ready(1)
    assert "llama" in repr(waited)  # nobody can run it: it says so, and raises nothing
    assert waited.value("llama") == 0
    replicas = live.kubectl(f"get deployment llama -n {NAMESPACE} -o jsonpath={{.spec.replicas}}")
    assert (replicas.value("number"), live.kubectl("version").value("number")) == (1, None)
    assert "node affinity/selector" in repr(app.why())
    with pytest.raises(LabError, match="no pod runs on a simulated cluster"):
        app.address("llama")
    live.clear()
    assert live.live is None
    assert NAMESPACE not in simulated.run_kubectl("get", "namespaces", "-o", "name")
    app.close()  # once more
    live.close()
    assert simulated.facts()["nodes"]  # it was somebody's: only what was applied is gone


def test_what_the_api_server_refuses_is_shown_by_every_method(live):
    (live.lab.files / "deployment.yaml").write_text(SERVER.replace("replicas: 1", "replicas: many"))
    app = live.apply("deployment.yaml")
    said = repr(app)
    assert "replicas" in said
    assert [repr(shown) for shown in (app.why(), app.pods(), app.endpoints("llama"), app.ready(1))] == [
        said
    ] * 4
