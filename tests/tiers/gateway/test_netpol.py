"""NetworkPolicies by their own semantics: who may reach whom, on which port, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmlab.errors import LabError
from llmlab.tiers.gateway.netpol import Pod, allowed, why
from llmlab.tiers.kubernetes.manifests import manifests

NAMESPACES = {
    "inference": {"team": "llm"},
    "envoy-gateway-system": {"role": "door"},
    "kube-system": {},
    "monitoring": {"role": "watch", "kubernetes.io/metadata.name": "monitoring"},
}
LLAMA = Pod("inference", {"app": "llama", "tier": "server"}, "10.0.0.5", {"http": 8080})
CHAT = Pod("inference", {"app": "chat"}, "10.0.0.6")
DOOR = Pod("envoy-gateway-system", {"app": "envoy"}, "10.0.1.7")
OTHER = Pod("envoy-gateway-system", {"app": "controller"}, "10.0.1.8")
ENVOY_HERE = Pod("inference", {"app": "envoy"}, "10.0.0.9")
PROM = Pod("monitoring", {"app": "prometheus"}, "10.0.2.2")
DNS = Pod("kube-system", {"k8s-app": "kube-dns"}, "10.0.3.3", {"dns": 53})


@pytest.fixture
def policies(tmp_path):
    """Documents of networkpolicy.yaml, from the `spec` of each (and a namespace that is not the lab's own)."""

    def read(*specs: str, namespace: str = "inference") -> list[manifests.Document]:
        texts = [
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
            f"metadata: {{name: policy-{n}, namespace: {namespace}}}\nspec: {spec}\n"
            for n, spec in enumerate(specs)
        ]
        (tmp_path / "networkpolicy.yaml").write_text("---\n".join(texts))
        return manifests.read(tmp_path, ["networkpolicy.yaml"], namespaces=list(NAMESPACES))

    return read


ME = "podSelector: {matchLabels: {app: llama}}"
NAMED = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: envoy-gateway-system}}"
ENVOY = "podSelector: {matchLabels: {app: envoy}}"


def expression(text: str) -> str:
    return f"{{{ME}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{text}]}}}}]}}]}}"


#: The spec of a policy in `inference`, or several; who asks llama for port 8080; whether it is allowed.
INGRESS = [
    # which pods a policy selects, and for which direction
    ("{podSelector: {}}", CHAT, False),
    ("{podSelector: {}, ingress: []}", CHAT, False),
    ("{podSelector: {}, ingress: [{}]}", CHAT, True),
    ("{podSelector: {matchLabels: {app: chat}}}", CHAT, True),
    ("{podSelector: {matchLabels: {app: llama, tier: server}}}", CHAT, False),
    ("{podSelector: {matchLabels: {app: llama, tier: cache}}}", CHAT, True),
    ("{podSelector: {matchLabels: {gone: null}}}", CHAT, True),
    ("{podSelector: {}, policyTypes: []}", CHAT, False),
    ("{podSelector: {matchLabels: {app: llama}}, policyTypes: [Egress]}", CHAT, True),
    (f"{{{ME}, policyTypes: [Egress], ingress: [{{from: [{{{ENVOY}}}]}}]}}", CHAT, True),
    # one peer that must match twice, and two peers
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}, {ENVOY}}}]}}]}}", DOOR, True),
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}, {ENVOY}}}]}}]}}", OTHER, False),
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}, {ENVOY}}}]}}]}}", ENVOY_HERE, False),
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}}}, {{{ENVOY}}}]}}]}}", OTHER, True),
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}}}, {{{ENVOY}}}]}}]}}", ENVOY_HERE, True),
    (f"{{{ME}, ingress: [{{from: [{{{NAMED}}}, {{{ENVOY}}}]}}]}}", CHAT, False),
    # a pod selector alone is of the policy's own namespace
    (f"{{{ME}, ingress: [{{from: [{{{ENVOY}}}]}}]}}", DOOR, False),
    (f"{{{ME}, ingress: [{{from: [{{{ENVOY}}}]}}]}}", ENVOY_HERE, True),
    (f"{{{ME}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}", DOOR, False),
    # labels of namespaces
    (f"{{{ME}, ingress: [{{from: [{{namespaceSelector: {{}}}}]}}]}}", PROM, True),
    (f"{{{ME}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{role: door}}}}}}]}}]}}", DOOR, True),
    (f"{{{ME}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{role: door}}}}}}]}}]}}", PROM, False),
    (f"{{{ME}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{name: envoy-gateway-system}}}}}}]}}]}}", DOOR, False),
    # empty and missing lists
    (f"{{{ME}, ingress: [{{from: []}}]}}", PROM, True),
    (f"{{{ME}, ingress: [{{from: null}}]}}", PROM, True),
    (f"{{{ME}, ingress: [{{ports: []}}]}}", PROM, True),
    (f"{{{ME}, ingress: null}}", PROM, False),
    # expressions
    (expression("{key: app, operator: In, values: [chat, envoy]}"), CHAT, True),
    (expression("{key: app, operator: In, values: [envoy]}"), CHAT, False),
    (expression("{key: app, operator: NotIn, values: [chat]}"), CHAT, False),
    (expression("{key: team, operator: NotIn, values: [batch]}"), CHAT, True),
    (expression("{key: app, operator: Exists}"), CHAT, True),
    (expression("{key: team, operator: Exists}"), CHAT, False),
    (expression("{key: team, operator: DoesNotExist}"), CHAT, True),
    (expression("{key: app, operator: DoesNotExist}"), CHAT, False),
    (expression("{key: app, operator: Exists}, {key: app, operator: In, values: [envoy]}"), CHAT, False),
    # addresses
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/16}}}}]}}]}}", PROM, True),
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/16, except: [10.0.2.0/24]}}}}]}}]}}", PROM, False),
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/16, except: [10.0.2.0/24]}}}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 192.168.0.0/16}}}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 'fd00::/8'}}}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{from: [{{ipBlock: {{cidr: 0.0.0.0/0}}}}]}}]}}", replace(CHAT, ip=""), False),
    # ports are the pod's, not those of the Service before it
    (f"{{{ME}, ingress: [{{ports: [{{port: 8080}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{ports: [{{port: 80}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{ports: [{{port: 80}}, {{port: 8080, protocol: TCP}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{ports: [{{port: 8080, protocol: UDP}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{ports: [{{protocol: TCP}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{ports: [{{protocol: UDP}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{ports: [{{port: http}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{ports: [{{port: metrics}}]}}]}}", CHAT, False),
    (f"{{{ME}, ingress: [{{ports: [{{port: 8000, endPort: 8080}}]}}]}}", CHAT, True),
    (f"{{{ME}, ingress: [{{ports: [{{port: 8000, endPort: 8079}}]}}]}}", CHAT, False),
    # the peer of one rule and the port of another do not add up
    (f"{{{ME}, ingress: [{{from: [{{{ENVOY}}}], ports: [{{port: 8080}}]}}, {{ports: [{{port: 9000}}]}}]}}", CHAT, False),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "source", "want"), INGRESS)
def test_who_is_let_in(policies, spec, source, want):
    assert allowed(policies(spec), NAMESPACES, source, LLAMA, 8080) is want


OUT = "podSelector: {matchLabels: {app: chat}}"
TO_LLAMA = "{to: [{podSelector: {matchLabels: {app: llama}}}], ports: [{port: 8080}]}"
TO_DNS = "{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}"
#: The spec of a policy in `inference`; whom chat asks, on which port; whether it is allowed.
EGRESS = [
    (f"{{{OUT}, egress: [{TO_LLAMA}]}}", LLAMA, 8080, "TCP", True),
    (f"{{{OUT}, egress: [{TO_LLAMA}]}}", LLAMA, 9000, "TCP", False),
    (f"{{{OUT}, egress: [{TO_LLAMA}]}}", DNS, 53, "UDP", False),  # nor a name for an address
    (f"{{{OUT}, egress: [{TO_LLAMA}, {TO_DNS}]}}", DNS, 53, "UDP", True),
    (f"{{{OUT}, egress: [{TO_LLAMA}, {{ports: [{{port: 53}}]}}]}}", DNS, 53, "UDP", False),
    (f"{{{OUT}, egress: [{{ports: [{{port: http}}]}}]}}", LLAMA, 8080, "TCP", True),
    (f"{{{OUT}, egress: [{{to: [{{ipBlock: {{cidr: 10.0.0.5/32}}}}]}}]}}", LLAMA, 8080, "TCP", True),
    (f"{{{OUT}, egress: [{{to: [{{ipBlock: {{cidr: 10.0.0.6/32}}}}]}}]}}", LLAMA, 8080, "TCP", False),
    (f"{{{OUT}, egress: []}}", LLAMA, 8080, "TCP", True),
    (f"{{{OUT}, policyTypes: [Egress]}}", LLAMA, 8080, "TCP", False),
    (f"{{{OUT}, policyTypes: [Ingress], egress: [{TO_DNS}]}}", LLAMA, 8080, "TCP", True),
    (f"{{{ME}, policyTypes: [Egress]}}", LLAMA, 8080, "TCP", True),
]


@pytest.mark.parametrize(("spec", "to", "port", "protocol", "want"), EGRESS)
def test_who_is_let_out(policies, spec, to, port, protocol, want):
    assert allowed(policies(spec), NAMESPACES, CHAT, to, port, protocol) is want


def test_a_policy_with_egress_rules_is_one_of_ingress_too(policies):
    both = policies(f"{{{OUT}, egress: [{{}}]}}")
    assert not allowed(both, NAMESPACES, LLAMA, CHAT, 8080)
    assert allowed(both, NAMESPACES, CHAT, LLAMA, 8080)


def test_both_ends_must_agree(policies):
    deny, let_in, let_out = "{podSelector: {}, policyTypes: [Ingress, Egress]}", f"{{{ME}, ingress: [{{}}]}}", f"{{{OUT}, egress: [{{}}]}}"  # fmt: skip
    for specs, want in (
        ((deny,), False),
        ((deny, let_in), False),
        ((deny, let_out), False),
        ((deny, let_in, let_out), True),
    ):
        assert allowed(policies(*specs), NAMESPACES, CHAT, LLAMA, 8080) is want


def test_a_policy_holds_in_its_own_namespace_only(policies):
    elsewhere = policies(f"{{{ME}}}", namespace="monitoring")
    assert allowed(elsewhere, NAMESPACES, CHAT, LLAMA, 8080)
    assert not allowed(elsewhere, NAMESPACES, CHAT, replace(LLAMA, namespace="monitoring"), 8080)
    theirs = f"{{podSelector: {{}}, ingress: [{{from: [{{{ENVOY}}}]}}]}}"
    assert not allowed(
        policies(theirs, namespace="monitoring"),
        NAMESPACES,
        ENVOY_HERE,
        replace(LLAMA, namespace="monitoring"),
        8080,
    )


def test_a_namespace_cannot_take_another_ones_name(policies):
    spec = f"{{{ME}, ingress: [{{from: [{{{NAMED}}}]}}]}}"
    posing = {"monitoring": {"kubernetes.io/metadata.name": "envoy-gateway-system"}}
    assert not allowed(policies(spec), posing, PROM, LLAMA, 8080)
    assert allowed(policies(spec), posing, DOOR, LLAMA, 8080)  # whose labels nobody told


def test_a_pod_reaches_itself_and_not_its_twin(policies):
    deny = policies("{podSelector: {}, policyTypes: [Ingress, Egress]}")
    assert allowed(deny, NAMESPACES, LLAMA, replace(LLAMA), 8080)
    assert why(deny, NAMESPACES, LLAMA, LLAMA, 8080) == "a pod always reaches itself"
    nameless = replace(LLAMA, ip="")
    assert allowed(deny, NAMESPACES, nameless, nameless, 8080)
    assert not allowed(deny, NAMESPACES, nameless, replace(nameless), 8080)


def test_other_kinds_say_nothing(policies):
    (policy,) = policies("{podSelector: {}}")
    for other in (replace(policy, kind="CiliumNetworkPolicy"), replace(policy, api_version="cilium.io/v2")):
        assert allowed([other], NAMESPACES, CHAT, LLAMA, 8080)


ONLY_DOOR = f"{{{ME}, ingress: [{{from: [{{{NAMED}, {ENVOY}}}], ports: [{{port: 8080}}]}}]}}"


@pytest.mark.parametrize(
    ("specs", "source", "port", "want"),
    [
        ((), CHAT, 8080, "no policy selects it, so everybody may reach it"),
        (
            ("{podSelector: {}}",),
            CHAT,
            8080,
            "networkpolicy.yaml:1 (policy-0) selects it and lets nobody in on port 8080",
        ),
        (
            (ONLY_DOOR,),
            DOOR,
            8080,
            "networkpolicy.yaml:1 (policy-0) selects it and lets app=envoy of envoy-gateway-system in on port 8080",
        ),
        (
            (ONLY_DOOR,),
            DOOR,
            9000,
            "networkpolicy.yaml:1 (policy-0) selects it and lets app=envoy of envoy-gateway-system in, but not on port 9000",
        ),
        (
            (ONLY_DOOR,),
            CHAT,
            8080,
            "networkpolicy.yaml:1 (policy-0) selects it and lets others in on port 8080, but not app=chat of inference",
        ),
        (
            ("{podSelector: {}}", ONLY_DOOR),
            DOOR,
            8080,
            "networkpolicy.yaml:1 (policy-0) and networkpolicy.yaml:6 (policy-1) select it, and networkpolicy.yaml:6 (policy-1) "
            "lets app=envoy of envoy-gateway-system in on port 8080",
        ),
        (
            ("{podSelector: {}}", ONLY_DOOR),
            CHAT,
            8080,
            "networkpolicy.yaml:1 (policy-0) and networkpolicy.yaml:6 (policy-1) select it, and none of them "
            "lets app=chat of inference in on port 8080",
        ),
        (
            (f"{{{OUT}, policyTypes: [Egress]}}",),
            CHAT,
            8080,
            "no policy selects it, so everybody may reach it; networkpolicy.yaml:1 (policy-0) selects the asking pod "
            "and lets it reach nobody on port 8080",
        ),
    ],
)
def test_why_names_the_policies_at_their_lines(policies, specs, source, port, want):
    documents = policies(*specs) if specs else []
    assert why(documents, NAMESPACES, source, LLAMA, port) == want


def test_why_says_where_a_policy_went_astray(policies):
    said = why(policies(f"{{{ME}}}", namespace="monitoring"), NAMESPACES, CHAT, LLAMA, 53, "UDP")
    assert said == (
        "no policy selects it (networkpolicy.yaml:1 (policy-0) would, but is of namespace monitoring), "
        "so everybody may reach it"
    )
    said = why(policies(f"{{{ME}}}"), NAMESPACES, CHAT, LLAMA, 53, "UDP")
    assert said.endswith("lets nobody in on UDP port 53")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{from: {podSelector: {}}}", "from is no list"),
        ("{from: [{}]}", "a peer is a podSelector"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}", "an ipBlock stands alone"),
        ("{from: [{ipBlock: {cidr: 10.0.0/8}}]}", "ipBlock: '10.0.0/8'"),
        (
            "{from: [{podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}]}",
            "Is with 1 values",
        ),
        (
            "{from: [{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]}",
            "Exists with 1",
        ),
        ("{from: [{podSelector: {matchExpressions: [{key: a, operator: In}]}}]}", "In with 0 values"),
        ("{from: [{podSelector: {matchLabels: [a]}}]}", "matchLabels is no mapping"),
        ("{ports: [{endPort: 9000}]}", "endPort needs a port"),
        ("{ports: [{port: http, endPort: 9000}]}", "endPort needs a port"),
        ("{ports: [{port: 9000, endPort: 8000}]}", "endPort needs a port"),
        ("{ports: [{port: 80.5}]}", "a number or a name"),
    ],
)
def test_what_the_api_server_refuses_is_said_at_its_line(policies, rule, said):
    with pytest.raises(LabError, match=said) as error:
        allowed(policies(f"{{{ME}, ingress: [{rule}]}}"), NAMESPACES, CHAT, LLAMA, 8080)
    assert error.value.where == "networkpolicy.yaml:1"
