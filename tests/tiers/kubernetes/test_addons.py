"""What a cluster gets only when a lab asks for it: each really does its work, and comes once."""

from __future__ import annotations

import httpx
import pytest

from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import ready_pods

NS = "inference"
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llama}
spec:
  parentRefs: [{name: front}]
  rules:
  - backendRefs: [{name: llama, port: 80}]
    timeouts: {request: 30s}
"""
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: llama}
spec:
  replicas: 1
  selector: {matchLabels: {app: llama}}
  template:
    metadata:
      labels: {app: llama}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: llama
        image: llama-server:v1.0.0
        args: [-m, /models/tiny.gguf, --port, "8080", --threads, "1", --metrics]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 100m, memory: 64Mi}}
        volumeMounts: [{name: models, mountPath: /models}]
      volumes: [{name: models, image: {reference: "models/tiny:1"}}]
"""
SCALED = """apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llama}
spec:
  scaleTargetRef: {name: llama}
  pollingInterval: 1
  minReplicaCount: 1
  maxReplicaCount: 3
  triggers:
  - type: prometheus
    metricType: AverageValue
    metadata: {serverAddress: "http://prometheus.llmlab-system:9090", query: vector(5), threshold: "2"}
"""


def read(tmp_path, *texts):
    (tmp_path / "a.yaml").write_text("---\n".join(texts))
    return manifests.read(tmp_path, ["a.yaml"], namespaces=[NS])


@pytest.mark.needs("kubernetes")
def test_routes_are_known_only_with_their_definitions(simulated, tmp_path):
    with pytest.raises(LabError, match='knows no kind "HTTPRoute"'):
        Applied(simulated, read(tmp_path, ROUTE)).up()
    said: list[str] = []
    simulated.add("gateway-api", say=said.append)
    assert said == ["gateway-api: the definitions of Gateway and HTTPRoute"]
    simulated.add("gateway-api", say=said.append)
    assert len(said) == 1  # it is there
    one = Applied(simulated, read(tmp_path, ROUTE))
    one.up()
    with pytest.raises(LabError, match=r"spec\.rules\[0\]\.timeouts\.request") as caught:
        one.apply(*read(tmp_path, ROUTE.replace("30s", "soon")))
    assert caught.value.where == "a.yaml:8, spec.rules[0].timeouts.request"


@pytest.mark.needs("kubernetes")
def test_an_unknown_one_lists_those_there_are(simulated):
    with pytest.raises(LabError, match=r'no add-on "?\'?istio(.|\n)*metrics-server'):
        simulated.add("istio")
    assert "istio" not in simulated.added


@pytest.fixture(scope="module")
def serving(local, tmp_path_factory):
    """One real server with metrics, and what looks at it."""
    local.load("llama-server:v1.0.0", "models/tiny:1")
    one = Applied(local, read(tmp_path_factory.mktemp("serving"), SERVER))
    one.up()  # its end is the cluster's
    local.add("prometheus")
    one.ready(40)
    return one


def asked(local, query):
    reply = httpx.get(
        f"{local.address('llmlab-system', 'prometheus')}/api/v1/query",
        params={"query": query},
        trust_env=False,
    )
    return {
        series["metric"].get("pod"): float(series["value"][1]) for series in reply.json()["data"]["result"]
    }


@pytest.mark.needs("pods", "binary")
class TestOnARealNode:
    def test_annotated_pods_are_scraped_every_second(self, local, serving):
        pod = ready_pods(local, NS)[0].metadata.name
        found = wait("its first samples", lambda: asked(local, "llamacpp:requests_processing"), 15)
        assert found == {pod: 0}
        wait("four samples of five seconds", lambda: asked(local, "count_over_time(up[5s])")[pod] >= 4, 10)

    @pytest.mark.full
    @pytest.mark.by_hand
    def test_kubectl_top_knows_cpu_and_memory_of_pods(self, local, serving):
        local.add("metrics-server")

        def top():
            try:
                return local.run_kubectl("top", "pods", "-n", NS, "--no-headers")
            except LabError:  # none yet
                return None

        name, cpu, memory = wait("the first metrics", top, 60).split()
        assert name.startswith("llama-")
        assert cpu.endswith("m")
        assert 5 <= int(memory.removesuffix("Mi")) <= 400

    @pytest.mark.full
    @pytest.mark.by_hand
    def test_keda_scales_on_what_a_query_says(self, local, serving, tmp_path):
        """5 at a threshold of 2: three servers; and the learner may ask for it."""
        local.add("keda")
        serving.apply(*read(tmp_path, SCALED))
        wait("three servers", lambda: len(ready_pods(local, NS, "app=llama")) == 3, 60)
        assert {"dns", "prometheus", "metrics-server", "keda"} == set(local.added)
