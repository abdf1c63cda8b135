"""The containers of a task: started when what they depend on is as they say, looked at, and stopped in the reverse order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ....errors import LabError, Unavailable
from ..group import Group
from . import mapping
from .agent import TaskStopped

GRACE = 30  # seconds to stop in, where a container says none: ECS guide, stopTimeout
_HEALTH = {"starting": "UNKNOWN", "healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}
_OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


@dataclass(frozen=True, slots=True)
class TaskContainer:
    """How one container is, as describe-tasks would say it."""

    name: str
    status: str = "PENDING"  # PENDING | RUNNING | STOPPED
    exit_code: int | None = None
    reason: str = ""
    health: str | None = None  # UNKNOWN | HEALTHY | UNHEALTHY; None: the definition asks nothing
    health_said: str = ""  # what the last health check printed
    stopped_in: float | None = None  # seconds from its signal to its end; None: nobody stopped it


class TaskContainers:
    """The containers of a definition, and how they were at the last look."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self.definitions = {it["name"]: it for it in definitions}
        self.views = {
            name: TaskContainer(name, health="UNKNOWN" if mapping.health_check(it) else None)
            for name, it in self.definitions.items()
        }
        self._started: dict[str, float] = {}
        self._began = 0.0
        self.grace: int | None = None  # seconds for all of them instead of what each says

    def essential(self, name: str) -> bool:
        """Whether its end is the task's."""
        return bool(self.definitions[name].get("essential", True))

    @property
    def health(self) -> str:
        """HEALTHY: all essential containers that are asked are; UNHEALTHY: one is not; UNKNOWN."""
        asked = [view.health for view in self.views.values() if view.health and self.essential(view.name)]
        if "UNHEALTHY" in asked:
            return "UNHEALTHY"
        return "HEALTHY" if asked and set(asked) == {"HEALTHY"} else "UNKNOWN"

    def create(
        self, group: Group, secrets: Mapping[str, Mapping[str, str]], volumes: Mapping[str, str]
    ) -> None:
        """Make all of them.

        :raises TaskStopped: when Docker refuses one.
        """
        for name, it in self.definitions.items():
            _do("CannotCreateContainerError", group.create, mapping.mapped(it, secrets[name], volumes))

    def start(self, group: Group, started: Callable[[str], None], pause: Callable[[], None]) -> None:
        """Start the containers, each when what it depends on is as it says.

        :param started: called with the name of each.
        :raises TaskStopped: when one cannot start, never will, or an essential one has ended meanwhile.
        """
        self._began, waiting = time.monotonic(), list(self.definitions)
        while waiting:
            self.look(group)
            for name in [it for it in waiting if self._ready(it)]:
                _do("CannotStartContainerError", group.start, name)
                self._started[name] = time.monotonic()
                self.views[name] = replace(self.views[name], status="RUNNING")
                waiting.remove(name)
                started(name)
            if waiting:
                pause()

    def _ready(self, name: str) -> bool:
        """Whether a container may start.

        :raises TaskStopped: when it never will: what it waits for failed, or did not come in its startTimeout.
        """
        for wanted in self.definitions[name].get("dependsOn") or ():
            other, condition = wanted["containerName"], wanted["condition"]
            view, within = self.views[other], self.definitions[other].get("startTimeout")
            ended = view.status == "STOPPED"
            met = {
                "START": other in self._started,
                "COMPLETE": ended,
                "SUCCESS": ended and view.exit_code == 0,
                "HEALTHY": view.health == "HEALTHY",
            }[condition]
            if met:
                continue
            if ended and condition in ("SUCCESS", "HEALTHY"):
                raise TaskStopped(
                    f"Container '{name}' depends on '{other}' being {condition}; it exited with code {view.exit_code}"
                )
            if within and time.monotonic() - self._started.get(other, self._began) > within:
                raise TaskStopped(
                    f"Container '{name}' depends on '{other}' being {condition}, which it was not within its startTimeout of {within} s"
                )
            return False
        return True

    def look(self, group: Group) -> None:
        """See how the containers are.

        :raises TaskStopped: when an essential one has ended.
        """
        self.see(group)
        for name, view in self.views.items():
            if view.status == "STOPPED" and self.essential(name):
                raise TaskStopped("Essential container in task exited", "EssentialContainerExited")

    def see(self, group: Group) -> None:
        """Look at those that were started."""
        for name in self._started:
            view = self.views[name]
            if view.status == "STOPPED":
                continue
            state = group.state(name)
            health, said, ended = view.health, view.health_said, state.exit_code is not None
            if health is not None and not ended:  # Docker calls what has ended unhealthy
                health, said = _HEALTH[state.health or "starting"], state.health_said
            self.views[name] = replace(
                view,
                status="STOPPED" if ended else "RUNNING",
                exit_code=state.exit_code,
                reason=_OUT_OF_MEMORY if ended and state.oom_killed else state.error,
                health=health,
                health_said=said,
            )

    def stop(self, group: Group) -> None:
        """Stop what still runs, those first that others do not wait for; each has its stopTimeout."""
        left = [name for name in self._started if self.views[name].status == "RUNNING"]
        while left:
            needed = {
                it["containerName"] for name in left for it in self.definitions[name].get("dependsOn") or ()
            }
            now = [name for name in left if name not in needed] or left
            with ThreadPoolExecutor(len(now)) as pool:
                graces = [self._grace(name) for name in now]
                seconds = [took for took, _ in pool.map(group.stop, now, graces)]
            for name, took in zip(now, seconds, strict=True):
                self.views[name] = replace(self.views[name], stopped_in=took)
            self.see(group)
            left = [name for name in left if name not in now]

    def _grace(self, name: str) -> int:
        said = self.definitions[name].get("stopTimeout") or GRACE
        return int(said if self.grace is None else self.grace)


def _do(error: str, what: Callable[..., None], *given: Any) -> None:
    """Do something with Docker; what it refuses ends the task."""
    try:
        what(*given)
    except Unavailable:
        raise
    except LabError as why:
        raise TaskStopped(f"{error}: {why.what}") from None
