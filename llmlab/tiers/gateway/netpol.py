"""What NetworkPolicies allow, by their own semantics: nothing is sent, and no plugin is asked.

A cluster enforces these objects only where its network plugin does, and none of ours has such a plugin; so what is said here is
`schema`. It follows "Network Policies" of the Kubernetes documentation (https://kubernetes.io/docs/concepts/services-networking/
network-policies/), the reference of networking.k8s.io/v1 (`kubectl explain networkpolicy.spec`) and the API server's defaults:

- A connection needs both: the policies at its source must allow its egress, those at its destination its ingress.
- A pod that no policy of a direction selects is open in that direction; else what the rules of all that select it allow, together.
- `policyTypes`, where absent or empty: Ingress always, Egress if there is an egress rule.
- Absent or empty `from`, `to` or `ports` mean all; absent or empty `ingress` or `egress` mean none.
- A `namespaceSelector` and a `podSelector` in one element of `from` or `to` must both match; two elements are two peers. A `podSelector`
  alone means pods of the policy's own namespace; an empty selector means all.
- Ports are those of the pod: policies see a connection after the Service has chosen one. A named port is the destination's.
- A pod can always reach itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from ...errors import LabError

if TYPE_CHECKING:
    from ..kubernetes.manifests.manifests import Document

#: The label that the API server itself keeps on each namespace.
NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Pod:
    """One end of a connection."""

    namespace: str  # in which it runs
    labels: Mapping[str, str]  # its own
    ip: str = ""  # "": no ipBlock matches it
    ports: Mapping[str, int] = field(default_factory=dict)  # its containers' named ports


@dataclass(frozen=True, slots=True)
class _Asked:
    """A connection that somebody would open."""

    namespaces: Mapping[str, Mapping[str, str]]
    source: Pod
    to: Pod
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class _Direction:
    """Ingress or egress: where its rules stand, and the words of `why`."""

    name: str  # as in policyTypes; in lower case, the field of the rules
    peers: str  # the field of a rule's peers
    subject: str  # what its policies select
    lets: str  # with {who}, what a policy allows


INGRESS = _Direction("Ingress", "from", "it", "lets {who} in")
EGRESS = _Direction("Egress", "to", "the asking pod", "lets it reach {who}")


def allowed(
    policies: Sequence[Document],
    namespaces: Mapping[str, Mapping[str, str]],
    source: Pod,
    to: Pod,
    port: int,
    protocol: str = "TCP",
) -> bool:
    """Whether `source` may open a connection to `to`: egress at the source and ingress at the destination.

    :param policies: documents; those of other kinds are passed over.
    :param namespaces: the labels of each namespace; that of its name is added.
    :param port: of the destination pod, not of a Service before it.
    :param protocol: TCP, UDP or SCTP.
    :raises LabError: when a policy is written so that the API server would refuse it.
    """
    asked = _Asked(namespaces, source, to, port, protocol)
    return _itself(asked) or all(_open(policies, way, asked) for way in (INGRESS, EGRESS))


def why(
    policies: Sequence[Document],
    namespaces: Mapping[str, Mapping[str, str]],
    source: Pod,
    to: Pod,
    port: int,
    protocol: str = "TCP",
) -> str:
    """What `allowed` rests on, as a sentence without a full stop: the policies that select the pods, at `file:line`.

    The parameters are those of `allowed`; "it" is the destination.

    :raises LabError: when a policy is written so that the API server would refuse it.
    """
    asked = _Asked(namespaces, source, to, port, protocol)
    if _itself(asked):
        return "a pod always reaches itself"
    said = []
    if not _selecting(policies, INGRESS, to):
        strangers = [
            policy
            for policy in _of_kind(policies)
            if _namespace(policy) != to.namespace and _selects(policy, INGRESS, to)
        ]
        aside = "".join(
            f" ({_named(policy)} would, but is of namespace {_namespace(policy)})" for policy in strangers[:1]
        )
        said.append(f"no policy selects it{aside}, so everybody may reach it")
    for way, chosen in ((INGRESS, to), (EGRESS, source)):
        if selecting := _selecting(policies, way, chosen):
            said.append(_judged(selecting, way, asked))
    return "; ".join(said)


def _judged(selecting: list[Document], way: _Direction, asked: _Asked) -> str:
    """What the policies of one direction, which select the pod, do with a connection."""
    peer = asked.source if way is INGRESS else asked.to
    who = ",".join(f"{key}={value}" for key, value in peer.labels.items()) or "a pod without labels"
    who += f" of {peer.namespace}"
    port = f"on port {asked.port}" if asked.protocol == "TCP" else f"on {asked.protocol} port {asked.port}"
    rules = [(policy, rule) for policy in selecting for rule in _rules(policy, way)]
    by_port = [(policy, rule) for policy, rule in rules if _port_fits(policy, rule, asked)]
    by_peer = [(policy, rule) for policy, rule in rules if _peer_fits(policy, way, rule, asked)]
    both = [pair for pair in by_port if pair in by_peer]
    if both:
        effect = f"{way.lets.format(who=who)} {port}"
    elif by_peer:
        effect = f"{way.lets.format(who=who)}, but not {port}"
    elif by_port:
        effect = f"{way.lets.format(who='others')} {port}, but not {who}"
    else:
        effect = f"{way.lets.format(who='nobody')} {port}"
    names = [_named(policy) for policy in selecting]
    if len(names) == 1:
        return f"{names[0]} selects {way.subject} and {effect}"
    their = ", ".join(names[:-1]) + f" and {names[-1]}"
    deciding = _named(both[0][0]) if both else "none of them"
    effect = effect if both else f"{way.lets.format(who=who)} {port}"
    return f"{their} select {way.subject}, and {deciding} {effect}"


def _named(policy: Document) -> str:
    return f"{policy.where} ({policy.name})"


def _itself(asked: _Asked) -> bool:
    return asked.source is asked.to or (asked.source.ip != "" and asked.source.ip == asked.to.ip)


def _open(policies: Sequence[Document], way: _Direction, asked: _Asked) -> bool:
    """Whether one direction allows it."""
    selecting = _selecting(policies, way, asked.to if way is INGRESS else asked.source)
    return not selecting or any(
        _port_fits(policy, rule, asked) and _peer_fits(policy, way, rule, asked)
        for policy in selecting
        for rule in _rules(policy, way)
    )


def _of_kind(policies: Sequence[Document]) -> Iterator[Document]:
    for policy in policies:
        if policy.kind == "NetworkPolicy" and policy.api_version == "networking.k8s.io/v1":
            yield policy


def _namespace(policy: Document) -> str:
    return policy.namespace or "default"


def _selecting(policies: Sequence[Document], way: _Direction, pod: Pod) -> list[Document]:
    """The policies of one direction that hold for a pod."""
    return [
        policy
        for policy in _of_kind(policies)
        if _namespace(policy) == pod.namespace and _selects(policy, way, pod)
    ]


def _selects(policy: Document, way: _Direction, pod: Pod) -> bool:
    """Whether a policy is of this direction and its selector matches, whatever its namespace."""
    spec = _mapping(policy, policy.body.get("spec"), "spec")
    types = _list(policy, spec.get("policyTypes"), "policyTypes")
    if not types:
        types = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return way.name in types and _matches(policy, spec.get("podSelector"), pod.labels)


def _rules(policy: Document, way: _Direction) -> list[dict[str, Any]]:
    spec = _mapping(policy, policy.body.get("spec"), "spec")
    name = way.name.lower()
    return [_mapping(policy, rule, name) for rule in _list(policy, spec.get(name), name)]


def _port_fits(policy: Document, rule: dict[str, Any], asked: _Asked) -> bool:
    ports = [_mapping(policy, item, "ports") for item in _list(policy, rule.get("ports"), "ports")]
    return not ports or any(_is_port(policy, item, asked) for item in ports)


def _is_port(policy: Document, item: dict[str, Any], asked: _Asked) -> bool:
    """Whether an element of `ports` means the port that is asked for."""
    if (item.get("protocol") or "TCP") != asked.protocol:
        return False
    first, last = item.get("port"), item.get("endPort")
    if last is not None and (not isinstance(first, int) or not isinstance(last, int) or last < first):
        raise _refused(policy, "endPort needs a port that is a number, and not a higher one")
    if first is None:
        return True
    if isinstance(first, str):
        return asked.to.ports.get(first) == asked.port
    if not isinstance(first, int):
        raise _refused(policy, "a port is a number or a name")
    return first <= asked.port <= (first if last is None else last)


def _peer_fits(policy: Document, way: _Direction, rule: dict[str, Any], asked: _Asked) -> bool:
    pod = asked.source if way is INGRESS else asked.to
    peers = [_mapping(policy, item, way.peers) for item in _list(policy, rule.get(way.peers), way.peers)]
    return not peers or any(_is_peer(policy, item, pod, asked.namespaces) for item in peers)


def _is_peer(
    policy: Document, peer: dict[str, Any], pod: Pod, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether an element of `from` or `to` means this pod."""
    block, theirs, pods = (peer.get(key) for key in ("ipBlock", "namespaceSelector", "podSelector"))
    if block is not None:
        if theirs is not None or pods is not None:
            raise _refused(policy, "an ipBlock stands alone, without selectors beside it")
        return _in_block(policy, _mapping(policy, block, "ipBlock"), pod)
    if theirs is None and pods is None:
        raise _refused(policy, "a peer is a podSelector, a namespaceSelector, both, or an ipBlock")
    if theirs is None:
        if pod.namespace != _namespace(policy):
            return False
    elif not _matches(policy, theirs, {**namespaces.get(pod.namespace, {}), NAME: pod.namespace}):
        return False
    return pods is None or _matches(policy, pods, pod.labels)


def _in_block(policy: Document, block: dict[str, Any], pod: Pod) -> bool:
    try:
        inside = ip_network(str(block.get("cidr")), strict=False)
        without = [ip_network(str(net), strict=False) for net in _list(policy, block.get("except"), "except")]
    except ValueError as error:
        raise _refused(policy, f"ipBlock: {error}") from None
    if not pod.ip:
        return False
    address = ip_address(pod.ip)
    return address in inside and not any(address in net for net in without)


def _matches(policy: Document, selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches: all of its matchLabels and all of its matchExpressions; an empty one matches everything."""
    told = _mapping(policy, selector, "a selector")
    wanted = _mapping(policy, told.get("matchLabels"), "matchLabels")
    expressions = _list(policy, told.get("matchExpressions"), "matchExpressions")
    return all(labels.get(key) == ("" if value is None else value) for key, value in wanted.items()) and all(
        _holds(policy, _mapping(policy, item, "matchExpressions"), labels) for item in expressions
    )


def _holds(policy: Document, item: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """One of matchExpressions. NotIn holds for what lacks the label, too."""
    key, values = item.get("key"), _list(policy, item.get("values"), "values")
    operator, value = str(item.get("operator")), labels.get(str(key))
    if operator in ("In", "NotIn") and values:
        return (value in values) == (operator == "In")
    if operator in ("Exists", "DoesNotExist") and not values:
        return (value is not None) == (operator == "Exists")
    raise _refused(policy, f"matchExpressions: {operator} with {len(values)} values")


def _mapping(policy: Document, value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _refused(policy, f"{what} is no mapping")
    return value or {}


def _list(policy: Document, value: Any, what: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _refused(policy, f"{what} is no list")
    return value or []


def _refused(policy: Document, what: str) -> LabError:
    return LabError(
        f"NetworkPolicy {policy.name} cannot be read: {what}.",
        where=policy.where,
        fix="kubectl explain networkpolicy.spec --recursive",
    )
