"""Which driver runs the cluster: what the machine can, in order, unless somebody says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from ....errors import LabError
from ..cluster.cluster import Cluster
from ..programs import binaries
from . import kind, local, simulated


class Driver(Protocol):
    """What a module has whose clusters can be chosen by what this machine is."""

    @property
    def PROGRAMS(self) -> tuple[str, ...]:
        """What of `binaries` its clusters run, brought on the way up."""

    def unusable(self) -> str | None:
        """Why there can be none here (its programs aside), with what would mend it; None: there can."""


#: Best first.
DRIVERS: Mapping[str, Driver] = {"local": local, "kind": kind, "simulated": simulated}
ORDER = tuple(DRIVERS)
VARIABLE = "LLMLAB_CLUSTER"


def _unusable() -> dict[str, str | None]:
    return {name: driver.unusable() for name, driver in DRIVERS.items()}


def available() -> dict[str, str | None]:
    """Each driver, and why it cannot be used here with what mends it; None: it can."""
    found = _unusable()
    for name, driver in DRIVERS.items():
        if found[name] is None and (lacking := binaries.missing(driver.PROGRAMS)):
            found[name] = f"{len(lacking)} of its programs are not built yet: uv run llmlab fetch kubernetes"
    found["context"] = "only where you name one: --driver context --context NAME --namespace NAME"
    return found


def choose(
    driver: str | None = None,
    *,
    name: str | None = None,
    nodes: int | None = None,
    context: str = "",
    namespace: str = "",
) -> tuple[Cluster, str]:
    """A cluster that is not up yet, and why it is of that driver.

    :param driver: None: what LLMLAB_CLUSTER says, else the first of `ORDER` that this machine can run. What is
        only not built yet counts as can: it is built on the way.
    :raises LabError: for an unknown driver, or when none can be used.
    """
    said = driver or os.environ.get(VARIABLE)
    if said:
        why = "you asked for it" if driver else f"{VARIABLE} says so"
        return _made(said, name, nodes, context, namespace), why
    can = _unusable()
    for choice in ORDER:
        if can[choice] is None:
            others = "; ".join(
                f"{it}: {why}" for it, why in can.items() if why and ORDER.index(it) < ORDER.index(choice)
            )
            return _made(
                choice, name, nodes, context, namespace
            ), f"not {others}" if others else "this machine can run a whole one"
    raise LabError("No driver can be used here.", fix="; ".join(f"{it}: {why}" for it, why in can.items()))


def _made(driver: str, name: str | None, nodes: int | None, context: str, namespace: str) -> Cluster:
    if driver == "local":
        if nodes not in (None, 1):
            raise LabError(
                "A local cluster has one node.",
                where="--nodes",
                fix="--driver simulated --nodes 3, or --driver kind",
            )
        return local.Local(name)
    if driver == "kind":
        return kind.Kind(name, nodes=nodes or 1)
    if driver == "simulated":
        return simulated.Simulated(name, nodes=nodes or 3)
    if driver == "context":
        from .context import KubeContext

        return KubeContext(
            name,
            context=context or os.environ.get("LLMLAB_CONTEXT", ""),
            namespace=namespace or os.environ.get("LLMLAB_NAMESPACE", ""),
        )
    raise LabError(f"There is no driver {driver!r}.", fix=f"one of {', '.join((*ORDER, 'context'))}")


def attach(handle: dict[str, Any]) -> Cluster:
    """The cluster of a handle that another process wrote."""
    from .context import KubeContext

    drivers: dict[str, type[Cluster]] = {
        "local": local.Local,
        "kind": kind.Kind,
        "simulated": simulated.Simulated,
        "context": KubeContext,
    }
    return drivers[handle["driver"]].attach(handle)
