"""Who answers: in turn, by a hash, or whoever the picker says; the same kind of conversations through each."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from llmlab.load import Target, measure, sessions
from llmlab.records import stats
from llmlab.records.schema import ServerInfo
from llmlab.system.waiting import wait
from llmlab.tiers.gateway.conditions import settled
from llmlab.tiers.gateway.door import FrontDoor, door
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied

pytestmark = pytest.mark.needs("pods", "root", "binary")
NS = "inference"
REPLICAS = """apiVersion: v1
kind: Service
metadata: {name: replicas}
spec: {clusterIP: None, selector: {app: llama}, ports: [{port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llama}
spec:
  parentRefs: [{name: front}]
  rules:
  - backendRefs: [{name: llama, port: 80}]
    timeouts: {request: 0s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: picker}
spec:
  selector: {matchLabels: {app: picker}}
  template:
    metadata: {labels: {app: picker}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: picker
        image: llmlab/picker:1
        args: [-service=replicas.inference.svc.cluster.local]
        readinessProbe: {grpc: {port: 9002}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: picker}
spec: {selector: {app: picker}, ports: [{port: 9002}]}
"""
BALANCING = """apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: balancing}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: llama}]
  loadBalancer: %s
"""
PICKED = """apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: picked}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: llama}]
  extProc:
  - backendRefs: [{name: picker, port: 9002}]
    processingMode: {request: {body: Buffered}}
    messageTimeout: 5s
"""
SPLIT = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  parentRefs: [{name: front}]
  hostnames: [NAME.example.com]
  rules:
  - backendRefs:
    - {name: llama, port: 80, weight: 9FILTER}
    - {name: next, port: 80, weight: 1FILTER}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: NAME}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: NAME}]
  loadBalancer: {type: ConsistentHash, consistentHash: {type: Headers, headers: [{name: x-session}]}}
"""
FILTERED = (
    ", filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: a}]}}]"
)
IN_TURN = BALANCING % "{type: RoundRobin}"
AS_PICKED = (
    BALANCING % "{type: RoundRobin, endpointOverride: {extractFrom: [{header: x-replica}]}}"
    + "---\n"
    + PICKED
)


def kept(front: FrontDoor) -> bool:
    """Whether each of a dozen new prompts is known to whoever is asked a second time: by chance it is for one in three.

    A policy is Accepted long before it is in force, and this one costs 15 s of answers 500: so long Envoy waits for a new cluster's
    endpoints (Envoy Gateway 1.9.1, Envoy 1.40).
    """
    for _ in range(12):
        body = {"prompt": f"{uuid.uuid4()} " * 20, "n_predict": 1, "cache_prompt": True}
        first, second = (front.ask("POST", "/completion", "x", json=body, timeout=30) for _ in range(2))
        if not (first.is_success and second.is_success and second.json()["timings"]["cache_n"] > 100):
            return False
    return True


@pytest.fixture(scope="module")
def replicas(local, server, tmp_path_factory):
    local.load("llmlab/picker:1")
    folder = tmp_path_factory.mktemp("replicas")
    many = ("--parallel", '"2"', "--ctx-size", '"8192"', "--metrics")
    servers = (server("llama", *many, replicas=3), server("next", "--alias", "next"))
    (folder / "front.yaml").write_text("---\n".join([*servers, REPLICAS]))
    stack = Applied(local, manifests.read(folder, ["front.yaml"], namespaces=[NS]))
    stack.up()
    stack.ready(60)
    assert settled(local, stack.documents, 60) == []
    return stack


@pytest.fixture
def cached(local, replicas, read):
    """The share of prompt tokens found in a cache, of conversations under a policy."""
    info = ServerInfo(
        command=[], flags={}, engine="built", engine_version="", model="tiny", model_sha256="", model_parameters=None,
        model_bytes=0, slots=6, ctx_per_slot=4096, threads=1,
    )  # fmt: skip

    def under(policy: str, seed: int, ready: Callable[[FrontDoor], bool] | None = None) -> float:
        documents = read(*policy.split("---\n"))
        for document in documents:
            replicas.apply(document)
        assert settled(local, documents, 30) == []
        front = door(local, "front", NS)
        if ready is not None:
            wait("the policy in force", lambda: ready(front), 60)
        target = Target(url=front.base, info=info)
        plan = sessions(
            3, sessions=12, turns=4, think=0.3, prompt_tokens=30, max_tokens=16, system_tokens=0, seed=seed
        )
        (run,) = measure(target, [plan]).runs
        assert [sample.error for sample in stats.failed(run)] == []
        share = stats.cached_share(run)
        assert share is not None
        return share

    return under


def test_a_picker_keeps_a_conversation_with_the_replica_that_knows_it(cached):
    in_turn, picked = cached(IN_TURN, 1), cached(AS_PICKED, 2, kept)
    print(f"cached: in turn {in_turn:.0%}, picked {picked:.0%}")
    assert picked > 1.25 * in_turn


@pytest.mark.guess(
    guess="The weights of backendRefs hold, whatever the load balancer.",
    really="With a ConsistentHash they do not: the backends of a rule become one cluster of Envoy's, whose Maglev knows endpoints and no weights, so "
    "one replica of four gets a quarter of the sessions where its weight says a tenth. Backends with a filter of their own get a cluster "
    "each; then the weights hold, and a session stays with its backend.",
    version="Envoy Gateway 1.9.1 with Envoy 1.40.0, Gateway API 1.6.1",
    source="Envoy Gateway's translator: NeedsClusterPerSetting",
    see="count who answers a few hundred requests with an x-session each, with and without filters",
)
def test_weights_are_lost_to_a_consistent_hash_unless_each_backend_has_a_filter(local, replicas, read):
    for name, filters in (("plain", ""), ("filtered", FILTERED)):
        documents = read(*SPLIT.replace("NAME", name).replace("FILTER", filters).split("---\n"))
        for document in documents:
            replicas.apply(document)
        assert settled(local, documents, 30) == []
    front = door(local, "front", NS)

    def share(host: str, count: int = 400) -> float:
        found = 0
        with front.client(f"{host}.example.com") as client:
            for _ in range(count):
                reply = client.get("/v1/models", headers={"x-session": uuid.uuid4().hex}).raise_for_status()
                found += reply.json()["data"][0]["id"] == "next"
        return found / count

    for host in ("plain", "filtered"):
        wait("the route", lambda host=host: front.ask("GET", "/health", f"{host}.example.com").is_success, 30)
    # A policy that comes with its route is in force with it; binomial, four standard deviations apart.
    assert 0.17 < share("plain") < 0.34
    assert 0.05 < share("filtered") < 0.165
