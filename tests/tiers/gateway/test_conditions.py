"""What became of Gateways, routes and policies, at the lines of the files: on a real API server, with the statuses that Envoy Gateway writes."""

from __future__ import annotations

import json

import pytest

from llmlab.errors import LabError
from llmlab.tiers.gateway.conditions import said
from llmlab.tiers.kubernetes.manifests.applied import Applied

pytestmark = pytest.mark.needs("kubernetes")
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec:
  gatewayClassName: eg
  listeners:
  - {name: http, protocol: HTTP, port: 80}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llama}
spec:
  parentRefs:
  - name: front
  hostnames:
  - llm.example.com
  rules:
  - matches:
    - path: {value: /v1}
    backendRefs:
    - {name: llama, port: 80}
    - {name: nobody, port: 80}
"""
POLICY = """apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limits}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: lama}
  timeout: {http: {requestTimeout: 5s}}
"""
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


def condition(kind, status, reason, message="", generation=1):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@pytest.fixture
def applied(simulated, read):
    with Applied(simulated, read(GATEWAY, ROUTE, POLICY)) as stack:
        stack.up()
        yield stack


def write(cluster, kind, name, status):
    """As its controller would."""
    words = ("patch", kind, name, "-n", "inference", "--subresource=status", "--type=merge", "-p")
    cluster.run_kubectl(*words, json.dumps({"status": status}))


def parents(*conditions):
    return {
        "parents": [
            {"controllerName": CONTROLLER, "parentRef": {"name": "front"}, "conditions": list(conditions)}
        ]
    }


def test_where_no_controller_runs_every_object_says_so(simulated, applied):
    remarks = said(simulated, applied.documents)
    assert [remark.where for remark in remarks] == ["gateway.yaml:5", "gateway.yaml:13", "gateway.yaml:28"]
    gateway, route, policy = map(str, remarks)
    assert f"the controller of GatewayClass eg ({CONTROLLER}) does not run here" in gateway
    assert "no controller has looked at it; its parentRefs name front" in route
    assert "no controller has looked at it; it is for HTTPRoute lama" in policy


def test_a_class_that_is_not_there_is_named_with_those_that_are(simulated, applied, read):
    [changed] = read(GATEWAY.replace("Name: eg", "Name: nginx"))
    applied.apply(changed)
    [remark] = said(simulated, [changed])
    assert str(remark) == (
        "gateway.yaml:5: Gateway front: there is no GatewayClass nginx, so no controller looks at it; there is eg"
    )


def test_what_is_well_says_nothing_and_what_is_not_has_condition_reason_and_line(simulated, applied):
    _, route, policy = applied.documents
    fine = condition("Accepted", "True", "Accepted")
    listener = {
        "name": "http",
        "attachedRoutes": 0,
        "supportedKinds": [],
        "conditions": [
            fine,
            condition("ResolvedRefs", "False", "InvalidCertificateRef", "Secret front-tls not found."),
        ],
    }
    write(
        simulated,
        "gateway",
        "front",
        {
            "conditions": [fine, condition("Programmed", "False", "Invalid", "There are invalid listeners.")],
            "listeners": [listener],
        },
    )
    lost = "Failed to process route rule 0 backendRef 1: service inference/nobody not found."
    write(
        simulated,
        "httproute",
        "llama",
        parents(fine, condition("ResolvedRefs", "False", "BackendNotFound", lost)),
    )
    ancestor = {"controllerName": CONTROLLER, "ancestorRef": {"name": "front"}, "conditions": [fine]}
    write(simulated, "backendtrafficpolicy", "limits", {"ancestors": [ancestor]})
    assert [str(remark) for remark in said(simulated, applied.documents)] == [
        "gateway.yaml:1: Gateway front: Programmed is False (Invalid): There are invalid listeners.",
        "gateway.yaml:7: Gateway front, listener http: ResolvedRefs is False (InvalidCertificateRef): Secret front-tls not found.",
        f"gateway.yaml:22: HTTPRoute llama, parent Gateway front: ResolvedRefs is False (BackendNotFound): {lost}",
    ]
    assert said(simulated, [policy]) == []
    write(
        simulated,
        "httproute",
        "llama",
        parents(
            condition("Accepted", "False", "NoMatchingListenerHostname", "No matching hostname."),
            fine | {"type": "ResolvedRefs"},
        ),
    )
    [remark] = said(simulated, [route])
    assert (remark.where, remark.reason) == ("gateway.yaml:15", "NoMatchingListenerHostname")


def test_what_was_said_of_the_file_before_does_not_count(simulated, applied, read):
    _, route, _ = applied.documents
    write(simulated, "httproute", "llama", parents(condition("Accepted", "True", "Accepted")))
    assert said(simulated, [route]) == []
    [changed] = read(ROUTE.replace("value: /v1", "value: /v2"))
    applied.apply(changed)
    [remark] = said(simulated, [changed])
    assert remark.condition == ""


def test_a_parent_that_the_route_no_longer_names_is_not_heard(simulated, applied):
    """Envoy Gateway leaves its entry where it is, with the generation of then."""
    _, route, _ = applied.documents
    old = condition(
        "Accepted", "False", "NoMatchingParent", "No listeners match this parent ref", generation=0
    )
    status = parents(condition("Accepted", "True", "Accepted"))
    gone = {"controllerName": CONTROLLER, "parentRef": {"name": "gone"}, "conditions": [old]}
    write(simulated, "httproute", "llama", {"parents": [gone, *status["parents"]]})
    assert said(simulated, [route]) == []


def test_a_field_of_an_older_api_that_still_works_is_nothing_amiss(simulated, applied):
    """Envoy Gateway warns of it; another warning is said."""
    policy = applied.documents[2]
    for reason, wanted in (("DeprecatedField", []), ("Other", ["Warning"])):
        ancestor = {
            "controllerName": CONTROLLER,
            "ancestorRef": {"name": "front"},
            "conditions": [
                condition("Accepted", "True", "Accepted"),
                condition("Warning", "True", reason, "spec.targetRef"),
            ],
        }
        write(simulated, "backendtrafficpolicy", "limits", {"ancestors": [ancestor]})
        assert [remark.condition for remark in said(simulated, [policy])] == wanted


def test_what_is_not_a_gateways_business_is_left_alone_and_what_is_gone_is_an_error(simulated, read):
    note = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note}\n"
    assert said(simulated, read(note)) == []
    with pytest.raises(LabError, match="no Gateway gone") as caught:
        said(simulated, read(GATEWAY.replace("front", "gone")))
    assert caught.value.where == "gateway.yaml:1"
