"""Who may go round the door."""

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.tiers.gateway.for_labs import Pod, allowed, why
from llmlab.tiers.kubernetes.for_labs import NAMESPACE

from .stack import CANARY, SERVICE, documents

DOORS = "envoy-gateway-system"
PORT = 8080
#: As the controller labels the pods of a door.
DOOR = Pod(
    namespace=DOORS,
    labels={
        "app.kubernetes.io/name": "envoy",
        "app.kubernetes.io/component": "proxy",
        "app.kubernetes.io/managed-by": "envoy-gateway",
        "gateway.envoyproxy.io/owning-gateway-name": "front",
        "gateway.envoyproxy.io/owning-gateway-namespace": NAMESPACE,
    },
)
STRANGERS = {
    "a pod of another namespace": Pod(namespace="default", labels={"app": "job"}),
    "another pod of this namespace": Pod(namespace=NAMESPACE, labels={"app": "job"}),
    "a pod of this namespace with the door's label": Pod(
        namespace=NAMESPACE, labels={"app.kubernetes.io/component": "proxy"}
    ),
}


@check(
    title="Only the door may speak with the servers",
    points=2,
    machine=("pods",),
    realism="schema",
    stands_in="nothing in the course's own cluster enforces a NetworkPolicy: its rules are read as the specification says",
)
def only_the_door(ctx: Context) -> Verdict:
    """Read the policies as a network that enforces them would."""
    found = documents(ctx)
    policies = [document for document in found if document.kind == "NetworkPolicy"]
    gateways = [document.name for document in found if document.kind == "Gateway"]
    namespaces: dict[str, dict[str, str]] = {name: {} for name in (NAMESPACE, DOORS, "default")}
    door = Pod(
        namespace=DOORS,
        labels={**DOOR.labels, "gateway.envoyproxy.io/owning-gateway-name": (gateways or ["front"])[0]},
    )
    wrong = []
    for server in (SERVICE, CANARY):
        to = Pod(namespace=NAMESPACE, labels={"app": server}, ports={"http": PORT})
        if not allowed(policies, namespaces, door, to, PORT):
            wrong.append(f"the door may not reach {server}: {why(policies, namespaces, door, to, PORT)}")
        wrong += [
            f"{who} may reach {server}: {why(policies, namespaces, stranger, to, PORT)}"
            for who, stranger in STRANGERS.items()
            if allowed(policies, namespaces, stranger, to, PORT)
        ]
    return verdict(
        not wrong,
        expected=f"the door's pods reach port {PORT} of both servers, and no other pod does",
        observed="; ".join(wrong) or "so the policies say",
        look="kubectl describe networkpolicies -n inference",
    )
