"""What `llmlab fetch` brings for the cluster labs."""

from __future__ import annotations

from ...course.info import LabInfo
from ...errors import LabError
from ...say import Say
from ...tier import Need
from . import needs
from .drivers import local, simulated
from .programs import binaries, images


def kubernetes(say: Say, lab: LabInfo | None) -> Need:
    """Build a cluster's programs from pinned Go modules (twenty minutes and more); for a lab, make its images too."""
    # what a simulated cluster needs is part of what a local one needs
    core, addons = binaries.names(addons=False), binaries.names(addons=True)
    why = local.unusable()
    if why:
        core, addons = list(simulated.PROGRAMS), ["gateway-api", "keda", "envoy-gateway-crds"]
    lacking = binaries.missing([*core, *addons])
    if why and lacking:
        say(f"not for a local cluster: {why}")
    binaries.bring(core, say)
    if more := binaries.missing(addons):
        say(f"a cluster can come up now (uv run llmlab cluster up); for add-ons: {', '.join(more)}")
        binaries.bring(addons, say)
    if still := binaries.missing([*core, *addons]):
        raise LabError(f"Not built: {', '.join(still)}.")
    if lab and not why:
        images.archives(lab.images.get("kubernetes", ()), say)
    return needs.kubernetes()
