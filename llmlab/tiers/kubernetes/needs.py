"""What the cluster labs need of the machine."""

from __future__ import annotations

import os

from ...tier import Need


def kubernetes() -> Need:
    """A Kubernetes cluster, by whichever driver; a simulated one counts."""
    from .drivers import choose, simulated
    from .programs import binaries

    found = {name: why for name, why in choose.available().items() if name != "context"}
    usable = [name for name, why in found.items() if why is None]
    if usable and not binaries.missing(["kwok"]):  # whose nodes stand beside a real one, too
        later = binaries.lacking_addons()
        more = f"; built when a lab asks for it: {', '.join(later)}" if later else ""
        return Need("kubernetes", True, f"{', '.join(usable)} (llmlab cluster up){more}")
    if binaries.missing(simulated.PROGRAMS):
        return Need(
            "kubernetes",
            False,
            "the programs of a cluster are not built yet",
            "uv run llmlab fetch kubernetes",
        )
    return Need(
        "kubernetes",
        False,
        "; ".join(f"{name}: {why}" for name, why in found.items()),
        "uv run llmlab cluster status",
    )


def pods() -> Need:
    """A cluster on which pods really run."""
    from .drivers import choose, local
    from .programs import binaries

    forced = os.environ.get(choose.VARIABLE)
    if forced == "simulated":
        return Need(
            "pods",
            False,
            f"{choose.VARIABLE} asks for a simulated cluster, on which no pod runs",
            f"unset {choose.VARIABLE}",
        )
    found = choose.available()
    usable = [name for name in ("local", "kind") if found[name] is None and forced in (None, "", name)]
    if forced == "context":
        usable = ["context"]
    if usable:
        return Need("pods", True, f"{', '.join(usable)}: pods really run")
    built = local.unusable() is None
    mend = (
        "uv run llmlab fetch kubernetes"
        if built and binaries.missing(local.PROGRAMS)
        else "root on Linux, or kind with Docker"
    )
    return Need("pods", False, "; ".join(f"{name}: {found[name]}" for name in ("local", "kind")), mend)
