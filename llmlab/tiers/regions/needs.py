"""What the regions need of the machine."""

from __future__ import annotations

from ...tier import Need


def regions() -> Need:
    """PowerDNS with GeoIP, HAProxy and Toxiproxy, and loopback addresses that nobody uses."""
    from ...errors import LabError
    from . import distance, places, programs

    try:
        programs.found()
        distance.free_on([region.address for region in places.regions().values()])
    except LabError as error:
        return Need("regions", False, error.what.rstrip("."), error.fix or "uv run llmlab fetch regions")
    return Need("regions", True, "PowerDNS with GeoIP, HAProxy, Toxiproxy")
