"""A door that a real controller makes, asked from outside: routes by host, time limits, TLS, and what is said where a route does nothing."""

from __future__ import annotations

import functools
import os
import re
import signal
import time

import httpx
import pytest

from llmlab.errors import LabError
from llmlab.system.certificates import Authority
from llmlab.system.waiting import wait
from llmlab.tiers.gateway.clients import tls_secret
from llmlab.tiers.gateway.conditions import said, settled
from llmlab.tiers.gateway.door import door
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.pods import ready_pods

pytestmark = pytest.mark.needs("pods", "root", "binary")
NS, HOST = "inference", "llm.example.com"
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
def front(local, server, authority, tmp_path_factory):
    """One server, a Gateway with a certificate, and a route to the server."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "front.yaml").write_text("---\n".join([server("llama"), GATEWAY, ROUTE]))
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
        assert plain.ask("GET", "/v1/models", HOST, timeout=60).status_code == 504
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def looked_at(front, read):
    """The controller has looked at what was there before: it has looked at something later."""
    name = f"late-{time.monotonic_ns()}"
    [late] = read(
        STRAY.replace("name: stray}", f"name: {name}}}").replace("stray.example", f"{name}.example")
    )
    front.apply(late)
    try:
        assert settled(front.cluster, [late], 30) == []
    finally:
        front.cluster.run_kubectl("delete", "httproute", name, "-n", NS)


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
        looked_at(front, read)
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
        looked_at(front, read)
        [remark] = said(local, [policy])
        assert remark.where == "gateway.yaml:5"
    finally:
        local.run_kubectl("delete", "backendtrafficpolicy", "limits", "-n", NS)


def test_what_the_proxies_are_is_not_the_learners_to_say(front, read):
    """Their pods are made by a controller that may read every Secret, and a patch may change every door."""
    proxy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyProxy\nmetadata: {name: own}\nspec: {}\n"
    with pytest.raises(LabError, match='cannot patch resource "envoyproxies"'):
        front.apply(*read(proxy))
    patch = (
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyPatchPolicy\nmetadata: {name: own}\nspec:\n"
        "  type: JSONPatch\n  targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: front}\n"
    )
    with pytest.raises(LabError, match='cannot patch resource "envoypatchpolicies"'):
        front.apply(*read(patch))


def test_a_certificate_that_is_changed_comes_to_the_door(local, front, plain, authority):
    def shown(by):
        secure = door(local, "front", NS, port=443, authority=by.certificate)
        try:
            return secure.ask("GET", "/health", HOST).status_code == 200
        except httpx.ConnectError:
            return False

    for issuer in (Authority("a later one"), authority):
        front.apply(tls_secret("front-tls", NS, issuer.issue(HOST)))
        wait("the new certificate", functools.partial(shown, issuer), 15)


BTP = """apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limits}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: llama}
"""


@pytest.fixture
def put(local, front, read):
    """Applies objects, and takes them away after the test."""
    made = []

    def apply(text: str) -> list[manifests.Document]:
        documents = read(text)
        made.extend(documents)
        front.apply(*documents)
        return documents

    yield apply
    for document in made:
        local.run_kubectl("delete", document.kind, document.name, "-n", NS)


def statuses(plain, count: int, **more) -> list[int]:
    return [plain.ask("GET", "/health", HOST, **more).status_code for _ in range(count)]


@pytest.mark.guess(
    guess="A route that states no time limit has none.",
    really="Envoy's own default holds: a reply that has not begun after 15 s is cut with 504, and so is a stream that is not done. "
    "`timeouts: {request: 0s}` takes the limit away; `streamIdleTimeout` of a BackendTrafficPolicy is the one that cuts silence and "
    "lets a stream run.",
    version="Envoy Gateway 1.9.1 with Envoy 1.40.0, Gateway API 1.6.1",
    source="Envoy's documentation of RouteAction.timeout",
    see="stop the server (SIGSTOP) and time a request through a route without `timeouts`",
)
def test_a_route_without_a_limit_has_envoys(local, plain, put):
    put(STRAY.replace("    timeouts: {request: 1s}\n", ""))
    other = "stray.example.com"
    wait("the route", lambda: plain.ask("GET", "/health", other).status_code == 200, 20)
    [pod] = ready_pods(local, NS, "app=llama")
    pids = local.processes(pod)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert plain.ask("GET", "/v1/models", HOST, timeout=60).status_code == 504
        limited = time.monotonic() - began
        assert plain.ask("GET", "/v1/models", other, timeout=60).status_code == 504
        assert time.monotonic() - began - limited > 4 * limited, "the other route says 1 s"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.guess(
    guess="A rate limit for each API key also holds for whoever sends no key.",
    really="A request without the header that the limit counts by is in no bucket, and passes unlimited. The key has to be asked for as "
    "well (a SecurityPolicy).",
    version="Envoy Gateway 1.9.1 with Envoy 1.40.0, Gateway API 1.6.1",
    see="`rateLimit.local` with `clientSelectors: [{headers: [{name: x-api-key, type: Distinct}]}]`, and a request without one",
)
def test_a_limit_by_key_does_not_hold_without_one(plain, put):
    put(
        BTP
        + "  rateLimit:\n    local:\n      rules:\n      - clientSelectors: [{headers: [{name: x-api-key, type: Distinct}]}]\n"
        + "        limit: {requests: 3, unit: Hour}\n"
    )
    wait(
        "a limit", lambda: 429 in statuses(plain, 4, headers={"x-api-key": f"key-{time.monotonic_ns()}"}), 30
    )
    assert statuses(plain, 5, headers={"x-api-key": "one"}) == [200, 200, 200, 429, 429]
    assert statuses(plain, 3, headers={"x-api-key": "other"}) == [200, 200, 200]
    assert statuses(plain, 5) == [200] * 5


@pytest.mark.guess(
    guess="`connection.bufferLimit` of a ClientTrafficPolicy limits what a client may send.",
    really="It says how much Envoy keeps at once, and a larger body passes piece by piece. `requestBuffer.limit` of a "
    "BackendTrafficPolicy is the limit: 413.",
    version="Envoy Gateway 1.9.1 with Envoy 1.40.0, Gateway API 1.6.1",
    see="send 200 kB through each",
)
def test_a_buffer_limit_is_no_body_limit(plain, put):
    body = {"prompt": "a", "n_predict": 1, "x": "y" * 200_000}

    def sent():
        return plain.ask("POST", "/completion", HOST, json=body, timeout=30).status_code

    assert plain.ask("GET", "/v1%2Fmodels", HOST).status_code != 400
    put(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: ClientTrafficPolicy\nmetadata: {name: small}\nspec:\n"
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]\n  connection: {bufferLimit: 1Ki}\n"
        "  path: {escapedSlashesAction: RejectRequest}\n"
    )
    wait("the policy in force", lambda: plain.ask("GET", "/v1%2Fmodels", HOST).status_code == 400, 30)
    assert sent() == 200
    put(BTP + "  requestBuffer: {limit: 1Ki}\n")
    wait("a limit", lambda: sent() == 413, 30)


@pytest.mark.guess(
    guess="A policy that cannot be carried out does nothing.",
    really="It is not Accepted, and the route that it is for answers 500 to everybody: a key list whose Secret is not there, a global "
    "limit without its service. A Service without any pod, on the other hand, is Accepted without a word, and answers 503.",
    version="Envoy Gateway 1.9.1 with Envoy 1.40.0, Gateway API 1.6.1",
    see="a SecurityPolicy whose `apiKeyAuth.credentialRefs` names a Secret that is not there; `kubectl get securitypolicy -o yaml`",
)
def test_a_policy_that_cannot_be_carried_out_closes_the_route(local, plain, put):
    [policy] = put(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: keys}\nspec:\n"
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: llama}]\n"
        "  apiKeyAuth:\n    credentialRefs: [{name: nobody}]\n    extractFrom: [{headers: [x-api-key]}]\n"
    )
    wait("500", lambda: statuses(plain, 1) == [500], 30)
    assert statuses(plain, 2, headers={"x-api-key": "a"}) == [500, 500]
    [remark] = wait("what is said", lambda: [it for it in said(local, [policy]) if it.condition], 10)
    assert (remark.condition, remark.document) == ("Accepted is False", policy)
    documents = put(
        "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: nobody}, ports: [{port: 80}]}\n---\n"
        + STRAY.replace("name: llama, port", "name: empty, port")
    )
    wait("503", lambda: plain.ask("GET", "/health", "stray.example.com").status_code == 503, 20)
    assert settled(local, documents, 20) == [], "and nothing is said about it"
