"""Plans of a few words, and fleets that end with their test."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest

from llmlab.capacity.plan import PlannedTier, Promise, ServicePlan
from llmlab.capacity.planned_door import PlannedDoor
from llmlab.system.waiting import wait
from llmlab.tiers.fleet.fleet import PlannedFleet


def made(servers: int = 2, slots: int = 1, **door: object) -> ServicePlan:
    """A plan; `door`: what of it is not as usual. As usual it never notices that a server hangs."""
    usual = {"policy": "least_connections", "max_queue": 1, "max_wait_s": 1.0, "check_s": 60.0}
    return ServicePlan(
        promise=Promise(ttft_s=2, e2e_s=12, share=0.95, recovery_s=5),
        door=PlannedDoor(**(usual | door)),  # type: ignore[arg-type]
        speeds="none.json",
        tier={
            "here": PlannedTier(
                load=1, slots=slots, replicas=servers, machine="c7i.xlarge", price_per_million=1.0
            )
        },
    )


@pytest.fixture(scope="session")
def plan() -> Callable[..., ServicePlan]:
    """`plan(servers, slots, max_queue=…)`."""
    return made


class Asked:
    """Requests that are under way: each is a thread; `statuses` of those that have their reply, 0 for none."""

    def __init__(self, fleet: PlannedFleet, count: int) -> None:
        self.statuses: list[int] = []
        self.threads = [threading.Thread(target=self._ask, args=(fleet,)) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask(self, fleet: PlannedFleet) -> None:
        try:
            reply = httpx.post(
                f"{fleet.url}/v1/completions",
                json={"prompt": "a", "max_tokens": 2},
                headers={"Authorization": f"Bearer {fleet.key}"},
                timeout=60,
            )
            self.statuses.append(reply.status_code)
        except httpx.HTTPError:
            self.statuses.append(0)

    def so_far(self, count: int, within: float = 15) -> list[int]:
        """The statuses, once there are so many."""
        wait(f"{count} replies", lambda: len(self.statuses) >= count, within)
        return sorted(self.statuses)

    def all(self) -> list[int]:
        """The statuses of all."""
        for thread in self.threads:
            thread.join()
        return sorted(self.statuses)


@pytest.fixture
def ask() -> Callable[[PlannedFleet, int], Asked]:
    """`ask(fleet, 3)`: three requests at once."""
    return Asked
