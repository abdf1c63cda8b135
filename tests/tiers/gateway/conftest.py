"""One cluster with a door for the tests of a module, and one on which nobody looks at Gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmlab.tiers.kubernetes.drivers.local import Local
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
from llmlab.tiers.kubernetes.manifests import manifests

NAMESPACE = "inference"


def _server(name: str, *arguments: str, replicas: int = 1) -> str:
    """A Deployment of llama-servers of the smallest model, and their Service on port 80."""
    args = ", ".join(["-m", "/models/tiny.gguf", "--port", '"8080"', "--threads", '"1"', *arguments])
    return f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: llama
        image: llama-server:v1.0.0
        args: [{args}]
        readinessProbe: {{httpGet: {{path: /health, port: 8080}}, periodSeconds: 1, failureThreshold: 300}}
        volumeMounts: [{{name: models, mountPath: /models}}]
      volumes: [{{name: models, image: {{reference: "models/tiny:1"}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""


@pytest.fixture(scope="session")
def server():
    return _server


@pytest.fixture(scope="module")
def local():
    with Local() as cluster:
        cluster.preload = ("llama-server:v1.0.0", "models/tiny:1", "envoy-gateway", "envoy")
        cluster.up()
        cluster.add("envoy-gateway")
        yield cluster
    # the Envoys too: they are in the cluster's own cgroup, whoever made them
    assert list(Path("/sys/fs/cgroup").glob(f"**/{cluster.name}")) == []
    assert not cluster.folder.exists()


@pytest.fixture(scope="module")
def simulated():
    with Simulated() as cluster:
        cluster.up()
        cluster.add("envoy-gateway")
        yield cluster


@pytest.fixture
def read(tmp_path):
    """Documents of one file, gateway.yaml."""

    def documents(*texts: str) -> list[manifests.Document]:
        (tmp_path / "gateway.yaml").write_text("---\n".join(texts))
        return manifests.read(tmp_path, ["gateway.yaml"], namespaces=[NAMESPACE])

    return documents
