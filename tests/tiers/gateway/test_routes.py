"""Routes with another share for one Service."""

from __future__ import annotations

import pytest

from llmlab.tiers.gateway.routes import weighted

ROUTES = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: two}
spec:
  rules:
  - backendRefs: [{name: a, port: 80, weight: 9}, {name: canary, port: 80, weight: 1}]
  - backendRefs: [{name: a, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: three}
spec:
  rules:
  - backendRefs: [{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 1}, {name: canary, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: none}
spec:
  rules: [{filters: []}, {backendRefs: [{name: a, port: 80}]}]
"""


def weights(document):
    return [
        [backend.get("weight") for backend in rule.get("backendRefs", ())]
        for rule in document.body["spec"]["rules"]
    ]


@pytest.mark.parametrize(
    ("share", "two", "three"),
    [(0.1, [900, 100], [675, 225, 100]), (0.0, [1000, 0], [750, 250, 0]), (1.0, [0, 1000], [0, 0, 1000])],
)
def test_the_others_share_the_rest_as_they_did(read, share, two, three):
    documents = read(*ROUTES.split("---\n"))
    changed = list(weighted(documents, "canary", share))
    assert [document.name for document, _ in changed] == ["two", "three"]
    assert [weights(after)[0] for _, after in changed] == [two, three]
    assert weights(changed[0][1])[1] == [None], "a rule without it stays"
    assert weights(changed[0][0])[0] == [9, 1], "and the file's own does"


def test_a_canary_that_was_alone_leaves_the_rest_to_those_that_had_nothing(read):
    [document] = read(ROUTES.split("---\n")[0].replace("weight: 9", "weight: 0"))
    [(_, changed)] = weighted([document], "canary", 0.25)
    assert weights(changed)[0] == [750, 250]
