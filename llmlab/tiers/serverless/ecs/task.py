"""One ECS task on an emulated Fargate: registered, started as its definition says, watched, and stopped in order."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ....errors import LabError, Unavailable
from ....say import Say, quiet
from ...aws.endpoint import REGION, AwsEndpoint
from ...docker.daemon import client, speaking
from ..group import Group
from . import agent, sizes
from .account import ACCOUNT
from .agent import TaskStopped
from .awslogs import AwsLogs
from .containers import TaskContainer, TaskContainers
from .definition import TaskDefinition
from .registration import register

LOOK = 0.2  # seconds between two looks at the containers


class FargateTask:
    """A task that runs until an essential container ends, it is stopped, or its context is left; everything of it is owned.

    Its life goes on in a thread of its own; `wait` waits for a state of it. What is not imitated: `NOT_IMITATED`.

    :param definition: what to run; `register` refuses what Fargate refuses.
    :param endpoint: the account, furnished before (`EcsAccount.furnish`).
    :raises LabError: when the definition is refused.
    """

    def __init__(self, definition: TaskDefinition, endpoint: AwsEndpoint, *, say: Say = quiet) -> None:
        self.definition_arn = register(definition, endpoint)  # of what was registered
        self._document: dict[str, Any] = definition.document
        self._platform = self._document.get("runtimePlatform") or {}
        if str(self._platform.get("operatingSystemFamily")).startswith("WIN"):
            raise LabError("Windows containers cannot be run here.", where=definition.file)
        self.id = uuid.uuid4().hex  # the last part of its ARN
        self.arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{self.id}"  # of the task
        self.status = "PROVISIONING"  # PROVISIONING | PENDING | RUNNING | STOPPING | STOPPED
        self.history: list[tuple[str, float]] = [(self.status, time.monotonic())]  # states, with the clock's seconds  # fmt: skip
        self.stopped_reason = ""  # why it has stopped, in ECS's words
        self.stop_code = ""  # TaskFailedToStart | EssentialContainerExited | UserInitiated
        self.log_trouble: dict[str, str] = {}  # a container → why its lines are lost
        self.output: dict[str, bytes] = {}  # a container → all that it wrote, once the task has stopped
        self.group: Group | None = None  # its containers; None: none was made yet
        self._parts = TaskContainers(self._document["containerDefinitions"])
        self._containers = self._parts.definitions
        self._endpoint, self._say = endpoint, say
        self._trouble: LabError | None = None
        self._asked: TaskStopped | None = None
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._logs = AwsLogs(endpoint)
        self._thread = threading.Thread(target=self._live, name=f"ECS task {self.id[:8]}", daemon=True)
        self._thread.start()

    # What can be asked.

    @property
    def containers(self) -> Mapping[str, TaskContainer]:
        """All of them, as they were at the last look."""
        return dict(self._parts.views)

    @property
    def health(self) -> str:
        """HEALTHY: all essential containers that are asked are; UNHEALTHY: one is not; UNKNOWN."""
        return self._parts.health

    @property
    def address(self) -> str:
        """The address of the task, reached from this machine.

        :raises LabError: when it has none (yet, or any more), with the task's state.
        """
        if self.group is None or self.status == "STOPPED":
            raise LabError(f"The task has no address: {self.said()}")
        return self.group.address

    def said(self) -> str:
        """Its state in a sentence."""
        reason = f": {self.stopped_reason}" if self.stopped_reason else ""
        return f"it is {self.status}{reason}"

    def stream(self, name: str) -> str | None:
        """The log stream of a container: `prefix/container/task`; None: it does not log to CloudWatch."""
        logs = self._containers[name].get("logConfiguration") or {}
        if logs.get("logDriver") != "awslogs":
            return None
        return f"{logs['options']['awslogs-stream-prefix']}/{name}/{self.id}"

    def logged(self, name: str) -> list[str]:
        """The lines of a container that are in CloudWatch Logs now, the oldest first.

        :raises LabError: when it does not log there, or nobody made the stream.
        """
        from botocore.exceptions import ClientError

        stream = self.stream(name)
        if stream is None:
            raise LabError(f"The container {name} does not log to CloudWatch.")
        group = self._containers[name]["logConfiguration"]["options"]["awslogs-group"]
        logs, lines, token = self._endpoint.client("logs"), [], ""
        while True:
            try:
                page = logs.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, **({"nextToken": token} if token else {})
                )  # fmt: skip
            except ClientError as error:
                raise LabError(f"There are no logs of {name}: {error}", where=f"{group} {stream}") from None
            lines += [str(event["message"]) for event in page["events"]]
            if page["nextForwardToken"] == token or not page["events"]:
                return lines
            token = page["nextForwardToken"]

    def wait(self, status: str, *, within: float) -> float:
        """Wait until the task is in a state, or was in it (but RUNNING is meant now); the seconds it took.

        :raises LabError: when it is not in time, or has stopped instead; when the machine is at fault, that.
        """
        began = time.monotonic()

        def reached() -> bool:
            been = status != "RUNNING" and status in (it for it, _ in self.history)
            return been or self.status == status

        with self._news:
            self._news.wait_for(
                lambda: reached() or self.status == "STOPPED" or self._trouble is not None, timeout=within
            )
        if self._trouble is not None:
            raise self._trouble
        if reached():
            return time.monotonic() - began
        if self.status == "STOPPED":
            raise LabError(f"The task is not {status}, it has stopped: {self.stopped_reason}")
        raise LabError(f"The task was not {status} after {within:.0f} s: {self.said()}.")

    def stop(self, reason: str = "Task stopped by user") -> None:
        """Ask it to stop, as `aws ecs stop-task` does: at once; `wait("STOPPED", …)` waits for it."""
        self._asked = TaskStopped(reason, "UserInitiated")
        self._stop.set()

    def close(self) -> None:
        """End it now, without grace; may be called twice.

        Containers are pulled away from a task that is stopping; one that still makes them ends itself at its next look, as nothing
        that it makes after its claim was closed would be removed.
        """
        if self._thread.is_alive():
            self._parts.grace = 0
            self.stop()
            if self.status in ("STOPPING", "STOPPED") and self.group is not None:
                self.group.close()
            self._thread.join(60)

    def __enter__(self) -> FargateTask:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Its life.

    def _set(self, status: str) -> None:
        with self._news:
            self.status = status
            self.history.append((status, time.monotonic()))
            self._news.notify_all()

    def _live(self) -> None:
        try:
            group = self._provision()
            self._parts.start(group, self._follow, self._pause)
            self._set("RUNNING")
            while True:
                self._parts.look(group)
                self._pause()
        except TaskStopped as why:
            self.stopped_reason, self.stop_code = why.reason, why.code
        except LabError as error:
            self.stopped_reason = error.what
            self._fault(error)
        except Exception as error:
            self._fault(error)
        finally:
            self._end()

    def _fault(self, error: Exception) -> None:
        """What is no fault of the learner's, for whoever waits; after `close` nothing is: it pulls the containers away."""
        if self._parts.grace is None and self._trouble is None:
            mine = f"The emulated Fargate failed: {type(error).__name__}: {error}"
            self._trouble = error if isinstance(error, LabError) else Unavailable(mine)

    def _pause(self) -> None:
        """Until the next look.

        :raises TaskStopped: when somebody asked for the end.
        """
        if self._stop.wait(LOOK) and self._asked is not None:
            raise self._asked

    def _provision(self) -> Group:
        """Everything before the first container starts."""
        document, endpoint = self._document, self._endpoint
        if document.get("taskRoleArn"):
            agent.assume(endpoint, document["taskRoleArn"], self.id)
        arn = document.get("executionRoleArn")
        role = agent.assume(endpoint, arn, self.id) if arn else None
        self._set("PENDING")
        parts = self._containers.values()
        secrets: dict[str, dict[str, str]] = {name: {} for name in self._containers}
        if role is not None:
            for it in parts:
                agent.registry(role, it["image"])
            for it in parts:
                for wanted in it.get("secrets") or ():
                    secrets[it["name"]][wanted["name"]] = agent.secret(endpoint, role, wanted["valueFrom"])
        for it in parts:
            agent.pull(endpoint, role, it["image"], self._platform.get("cpuArchitecture") or "X86_64")
        for name in self._containers:
            stream = self.stream(name)
            if stream is not None and role is not None:
                options = self._containers[name]["logConfiguration"]["options"]
                if trouble := agent.log_stream(endpoint, role, options, stream):
                    self.log_trouble[name] = trouble
        cpu, memory = (sizes.units(document[key], key) or 0 for key in ("cpu", "memory"))
        group = self.group = Group(
            f"ECS task {document['family']}", cpus=cpu / 1024, memory=memory << 20, say=self._say
        )
        self._parts.create(group, secrets, self._volumes(group))
        return group

    def _volumes(self, group: Group) -> dict[str, str]:
        found = {}
        for volume in self._document.get("volumes") or ():
            found[volume["name"]] = f"{group.claim.name}-{volume['name']}"
            with speaking():
                client().volumes.create(found[volume["name"]], labels=group.claim.labels)
        return found

    def _end(self) -> None:
        """Stop what still runs, those first that others do not wait for; then nothing is left."""
        self._set("STOPPING")
        group = self.group
        try:
            if group is not None:
                self._parts.stop(group)
                self._logs.close()
                for name in group.names:
                    self.output[name] = group.logs(name)
            else:
                self._logs.close()
        except Exception as error:
            self._fault(error)
        finally:
            if group is not None:
                group.close()
            self._set("STOPPED")

    def _follow(self, name: str) -> None:
        """Send what a container writes to CloudWatch Logs, if it is to go there and may."""
        stream = self.stream(name)
        if stream is not None and name not in self.log_trouble and self.group is not None:
            group = self._containers[name]["logConfiguration"]["options"]["awslogs-group"]
            self._logs.follow(self.group.follow(name), group, stream)
