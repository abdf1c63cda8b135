"""A door that a real controller makes, asked from outside: routes by host, time limits, TLS, and what is said where a route does nothing."""

from __future__ import annotations

import os
import re
import signal
import time

import httpx
import pytest

from llmlab.errors import LabError
from llmlab.system.certificates import Authority
from llmlab.system.waiting import wait
from llmlab.tiers.gateway.conditions import said, settled
from llmlab.tiers.gateway.door import door, tls_secret
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import ready_pods

pytestmark = pytest.mark.needs("pods", "root", "binary")
NS, HOST = "inference", "llm.example.com"
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: llama}
spec:
  replicas: 1
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: llama
        image: llama-server:v1.0.0
        args: [-m, /models/tiny.gguf, --port, "8080", --threads, "1"]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1, failureThreshold: 300}
        volumeMounts: [{name: models, mountPath: /models}]
      volumes: [{name: models, image: {reference: "models/tiny:1"}}]
---
apiVersion: v1
kind: Service
metadata: {name: llama}
spec: {selector: {app: llama}, ports: [{port: 80, targetPort: 8080}]}
"""
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec:
  gatewayClassName: eg
  listeners:
  - {name: http, protocol: HTTP, port: 80}
  - name: https
    protocol: HTTPS
    port: 443
    hostname: llm.example.com
    tls: {certificateRefs: [{name: front-tls}]}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llama}
spec:
  parentRefs: [{name: front}]
  hostnames: [llm.example.com]
  rules:
  - backendRefs:
    - {name: llama, port: 80}
    timeouts: {request: 1s}
"""
STRAY = ROUTE.replace("name: llama}\nspec", "name: stray}\nspec").replace("llm.example", "stray.example")
POLICY = """apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limits}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: nobody}
  timeout: {http: {requestTimeout: 5s}}
"""


@pytest.fixture(scope="module")
def authority():
    return Authority("the tests")


@pytest.fixture(scope="module")
def front(local, authority, tmp_path_factory):
    """One server, a Gateway with a certificate, and a route to the server."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "front.yaml").write_text("---\n".join([SERVER, GATEWAY, ROUTE]))
    files = manifests.read(folder, ["front.yaml"], namespaces=[NS])
    stack = Applied(local, [tls_secret("front-tls", NS, authority.issue(HOST)), *files])
    stack.up()  # its end is the cluster's
    assert settled(local, stack.documents, 60) == []
    stack.ready(40)
    return stack


@pytest.fixture
def plain(local, front):
    made = door(local, "front", NS)
    wait("an answer", lambda: made.ask("GET", "/health", HOST).status_code == 200, 20)
    return made


def test_the_class_is_accepted_and_the_controller_comes_once(local):
    words = ("get", "gatewayclass", "eg", "-o", 'jsonpath={.status.conditions[?(@.type=="Accepted")].status}')
    assert local.run_kubectl(*words) == "True"
    assert {"dns", "gateway-api", "envoy-gateway"} <= set(local.added)
    said_again: list[str] = []
    local.add("envoy-gateway", say=said_again.append)
    assert said_again == []


def test_a_route_leads_its_host_to_the_server_and_no_other(plain):
    reply = plain.ask("POST", "/completion", HOST, json={"prompt": "a", "n_predict": 2}, timeout=30)
    assert reply.json()["tokens_predicted"] == 2
    assert plain.ask("GET", "/health", "other.example.com").status_code == 404


def test_over_tls_the_certificate_is_the_labs_own(local, front, plain, authority):
    secure = door(local, "front", NS, port=443, authority=authority.certificate)
    assert secure.base.startswith("https://")
    assert secure.ask("GET", "/health", HOST).status_code == 200
    with pytest.raises(httpx.ConnectError):  # no listener has that name: the handshake ends
        secure.ask("GET", "/health", HOST, sni="other.example.com")
    stranger = door(local, "front", NS, port=443, authority=Authority("another").certificate)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.ask("GET", "/health", HOST)


def test_a_server_that_hangs_is_cut_at_the_stated_time(local, plain):
    [pod] = ready_pods(local, NS, "app=llama")
    pids = local.processes(pod)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        reply = plain.ask("GET", "/v1/models", HOST)
        assert reply.status_code == 504
        assert 1 <= time.monotonic() - began < 10, "the route's limit, and not Envoy's own of 15 s"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("change", "to", "about", "line"),
    [
        ("name: llama, port", "name: nobody, port", r"ResolvedRefs is False \(BackendNotFound\)", 9),
        ("port: 80}\n    timeouts", "port: 81}\n    timeouts", r"ResolvedRefs is False \(PortNotFound\)", 9),
        ("name: front", "name: frnt", "no controller has looked at it; its parentRefs name frnt", 5),
        ("name: front}", "name: front, sectionName: web}", r"Accepted is False \(NoMatchingParent\)", 5),
        (
            "name: front}",
            "name: front, sectionName: https}",
            r"Accepted is False \(NoMatchingListenerHostname\)",
            6,
        ),
    ],
)
def test_a_route_that_does_nothing_is_said_at_its_line(local, front, read, change, to, about, line):
    """A Service that is not there, a port that it does not have, a wrong Gateway, listener or host."""
    assert change in STRAY
    [stray] = read(STRAY.replace(change, to))
    front.apply(stray)
    try:
        found = wait(
            "what is said", lambda: [it for it in said(local, [stray]) if it.condition or "frnt" in to], 15
        )
        assert [remark.where for remark in found] == [f"gateway.yaml:{line}"]
        assert re.search(about, str(found[0])), str(found[0])
    finally:
        local.run_kubectl("delete", "httproute", "stray", "-n", NS)


def test_a_policy_for_nothing_is_said(local, front, read):
    [policy] = read(POLICY)
    front.apply(policy)
    try:
        [remark] = settled(local, [policy], 3)
        assert remark.where == "gateway.yaml:5"
    finally:
        local.run_kubectl("delete", "backendtrafficpolicy", "limits", "-n", NS)


def test_what_the_proxies_are_is_not_the_learners_to_say(front, read):
    """Their pods are made by a controller that may read every Secret."""
    proxy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyProxy\nmetadata: {name: own}\nspec: {}\n"
    with pytest.raises(LabError, match='cannot patch resource "envoyproxies"'):
        front.apply(*read(proxy))


def test_a_certificate_that_is_changed_comes_to_the_door(local, front, plain):
    other = Authority("a later one")
    front.apply(tls_secret("front-tls", NS, other.issue(HOST)))
    secure = door(local, "front", NS, port=443, authority=other.certificate)

    def trusted():
        try:
            return secure.ask("GET", "/health", HOST).status_code == 200
        except httpx.ConnectError:
            return False

    wait("the new certificate", trusted, 15)
