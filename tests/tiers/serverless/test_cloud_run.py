"""A Cloud Run service.yaml as it is read: what Knative gets of it, what is set aside, and how it says what is wrong."""

from __future__ import annotations

import re

import pytest

from llmlab.errors import LabError
from llmlab.tiers.serverless import cloud_run

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: llama-server
  namespace: '317264917301'
spec:
  template:
    metadata:
      annotations:
        run.googleapis.com/cpu-throttling: 'false'
    spec:
      containerConcurrency: 4
      nodeSelector:
        run.googleapis.com/accelerator: nvidia-l4
      containers:
      - name: metrics
        image: us-central1-docker.pkg.dev/llmlab/llm/metrics:1
      - name: server
        image: us-central1-docker.pkg.dev/llmlab/llm/llama-server:v1.0.0
        ports:
        - containerPort: 8000
        startupProbe:
          httpGet: {path: /health, port: 8000}
        livenessProbe:
          httpGet: {path: /health, port: 9000}
        resources:
          limits:
            cpu: "4"
            nvidia.com/gpu: "1"
"""


def read(tmp_path, text: str) -> cloud_run.RunService:
    (tmp_path / "service.yaml").write_text(text)
    return cloud_run.read(tmp_path, "service.yaml", "inference")


def test_what_only_google_understands_is_set_aside_at_its_line(tmp_path):
    found = read(tmp_path, SERVICE)
    assert [re.match(r"service\.yaml:(\d+): (\S+):", remark).groups() for remark in found.aside] == [
        ("14", "run.googleapis.com/accelerator"),
        ("29", "nvidia.com/gpu"),
    ]
    assert "nodeSelector" not in found.template["spec"]
    assert found.ingress["resources"]["limits"] == {"cpu": "4"}
    assert found.document.namespace == found.document.body["metadata"]["namespace"] == "inference"
    assert found.template["metadata"]["annotations"] == {"run.googleapis.com/cpu-throttling": "false"}


def test_requests_come_to_the_container_with_a_port(tmp_path):
    found = read(tmp_path, SERVICE)
    assert (found.name, found.ingress["name"], found.port, found.concurrency) == (
        "llama-server",
        "server",
        8000,
        4,
    )
    alone = read(tmp_path, SERVICE.replace("        ports:\n        - containerPort: 8000\n", ""))
    assert (alone.ingress["name"], alone.port) == ("metrics", 8080)


def test_another_port_takes_the_probes_of_the_old_one_along(tmp_path):
    found = read(tmp_path, SERVICE)
    moved = found.on_port(9300)
    assert moved.port == moved.ingress["startupProbe"]["httpGet"]["port"] == 9300
    assert moved.ingress["livenessProbe"]["httpGet"]["port"] == 9000  # it asks somebody else
    assert found.port == 8000


def test_annotations_are_knatives_and_of_the_template(tmp_path):
    found = read(tmp_path, SERVICE).with_annotations(initial_scale="2")
    assert found.template["metadata"]["annotations"]["autoscaling.knative.dev/initial-scale"] == "2"
    assert found.template["metadata"]["annotations"]["run.googleapis.com/cpu-throttling"] == "false"


@pytest.mark.parametrize(
    ("before", "after", "where", "says"),
    [
        ("serving.knative.dev/v1", "v1", "service.yaml:1", "no Service of serving.knative.dev/v1"),
        ("      containers:", "      container:", "service.yaml:11", "has no containers"),
        ("kind: Service", "kind: [", "service.yaml:", "is not YAML"),
    ],
    ids=["another-service", "no-containers", "no-yaml"],
)
def test_what_is_no_service_is_said_at_its_line(tmp_path, before, after, where, says):
    with pytest.raises(LabError, match=re.escape(says)) as caught:
        read(tmp_path, SERVICE.replace(before, after))
    assert (caught.value.where or "").startswith(where)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LabError, match=r"service\.yaml"):
        cloud_run.read(tmp_path, "service.yaml", "inference")
