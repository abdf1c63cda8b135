"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .drivers.fake_nodes import FakeNodes
from .manifests import manifests
from .manifests.applied import Applied
from .manifests.pods import endpoints, pods, ready_pods, restarts
from .manifests.refusals import WORKLOADS, Watch, WorkloadRefused
from .manifests.trouble import trouble
from .probes.long_reply import long_reply
from .probes.pods import (
    confinement,
    containers,
    forbidden,
    frozen,
    matching,
    models_of,
    refused,
    spreads,
    throttling,
    uneven,
)
from .probes.rollouts import (
    SCALERS,
    Watched,
    answered,
    deadline_exceeded,
    drain,
    losses,
    only,
    replicas,
    roll,
    users,
    watch,
    with_image,
)
from .probes.run import NAMESPACE, applied, cluster, kustomized, simulated

__all__ = [
    "NAMESPACE",
    "SCALERS",
    "WORKLOADS",
    "Applied",
    "FakeNodes",
    "Watch",
    "Watched",
    "WorkloadRefused",
    "answered",
    "applied",
    "cluster",
    "confinement",
    "containers",
    "deadline_exceeded",
    "drain",
    "endpoints",
    "forbidden",
    "frozen",
    "kustomized",
    "long_reply",
    "losses",
    "manifests",
    "matching",
    "models_of",
    "only",
    "pods",
    "ready_pods",
    "refused",
    "replicas",
    "restarts",
    "roll",
    "simulated",
    "spreads",
    "throttling",
    "trouble",
    "uneven",
    "users",
    "watch",
    "with_image",
]
