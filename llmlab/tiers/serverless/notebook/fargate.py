"""A task as Fargate would run it: `fargate = lab.fargate()`, `fargate.start()`, `fargate.ask()`, `fargate.logs()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ....errors import LabError
from ....plain import plain
from ....serve.api import Remote
from ....show.bars import steps_bar
from ....show.bench import alone
from ....show.face import Face
from ....show.shown import Drawn, Said, Shown, shown
from ...aws.endpoint import AwsEndpoint
from .. import starts
from ..ecs import policies
from ..ecs.account import EcsAccount
from ..ecs.definition import TaskDefinition, read
from ..ecs.imitated import NOT_IMITATED, STANDS_IN
from ..ecs.ports import ports
from ..ecs.task import FargateTask
from ..given import ECS_IMAGE, in_docker
from .together import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....records.schema import Cell
    from ....show.bench import Bench

TASK, POLICY, TRUST = "task-definition.json", "execution-policy.json", "trust.json"
WITHIN = 90  # seconds for a task to run and be healthy


class LiveFargate(Face, what="The local AWS", again="fargate = lab.fargate()"):
    """A local AWS with what others put there, and your task in it. It ends with `lab.stop()`.

    :raises LabError: when there is no Docker daemon, or no local AWS comes up.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveFargate)
        self.lab = lab  # whose files are run
        self.task: FargateTask | None = None  # that was started last
        self.account: EcsAccount | None = None  # as it was when the task started
        with steps_bar("step") as say:
            in_docker(ECS_IMAGE, say)
            say("starting a local AWS")
            self.endpoint = AwsEndpoint()  # the local AWS itself

    @shown
    def start(self) -> Said:
        """`aws ecs run-task`: the role made of your two policies, the definition registered, its containers started in order."""
        self._end()
        self.endpoint.reset()
        files = self.lab.files
        trust, policy = policies.read(files / TRUST), policies.read(files / POLICY)
        self.account = EcsAccount.furnish(self.endpoint, trust=trust, policies={POLICY: policy})
        with steps_bar("step") as say:
            self.task = FargateTask(read(files / TASK), self.endpoint, say=say)
            say("waiting until it runs")
            took = self.task.wait("RUNNING", within=WITHIN)
        return Said([f"RUNNING after {took:.1f} s at {self.task.address}", *self._containers(self.task)])

    @shown
    def describe(self) -> Shown:
        """Its containers, as `aws ecs describe-tasks` has them."""
        task = self._task()
        rows = [
            (
                name,
                part.status,
                f"health {part.health or 'not asked'}" + (f"; {part.reason}" if part.reason else ""),
            )
            for name, part in task.containers.items()
        ]
        return Shown(rows, [f"the task: {task.said()}, health {task.health}"], ("container", "state", ""))

    @shown
    def ask(self, *, tokens: int = 8, key: bool = True, port: int | None = None) -> Said:
        """One request at the task's own address, and what came of it.

        :param port: None: the first that the task definition maps.
        """
        task, account = self._task(), self.account
        assert account is not None
        at = port or self._port(read(self.lab.files / TASK))
        with Remote(f"http://{task.address}:{at}", key=account.key if key else None) as server:
            try:
                reply = server.http.post(
                    "/v1/completions", json={"prompt": "once upon a time", "max_tokens": tokens}
                )
            except httpx.HTTPError as error:
                return Said([f"no answer at {server.url}: {error or type(error).__name__}"])
        return Said([f"HTTP {reply.status_code} {reply.reason_phrase}", reply.text[:300]])

    @shown
    def logs(self, lines: int = 6) -> Said:
        """The last lines of each container in CloudWatch Logs."""
        task, said = self._task(), []
        for name in task.containers:
            try:
                said += [f"{name}: {line}" for line in task.logged(name)[-lines:]]
            except LabError as error:
                said.append(f"{name}: {task.log_trouble.get(name) or error.what}")
        return Said(said or ["nothing has been written yet"])

    @shown
    def stop(self) -> Said:
        """`aws ecs stop-task`: the containers in the reverse order of `dependsOn`, SIGTERM first."""
        task = self._task()
        task.stop()
        task.wait("STOPPED", within=150)
        return Said([task.said(), *self._containers(task)])

    @shown
    def starts(self, tries: int = 3, *, beside: Sequence[Drawn] = ()) -> Drawn:
        """So many tasks started, each taken apart.

        :param beside: starts on other platforms, drawn in the same figure.
        """
        rows = []
        with steps_bar("step") as say:
            for number in range(tries):
                say(f"task {number + 1} of {tries}")
                rows += self._start(number)
        self._end()
        return together(self.lab, rows, beside)

    def _start(self, number: int) -> list[list[Cell]]:
        self._end()
        files = self.lab.files
        if self.account is None:
            raise LabError("No task was started.", fix="fargate.start()")
        definition = read(files / TASK)
        port = self._port(definition)

        def look() -> tuple[dict[str, bool], str | None]:
            if self.task is None:
                self.task = FargateTask(definition, self.endpoint)
            task = self.task
            if task.status == "STOPPED":
                raise LabError(f"The task has stopped: {task.stopped_reason}")
            over = {"queue": True} if task.status != "PROVISIONING" else {}
            address = task.address if task.group is not None else None
            if address:
                over["schedule"] = True
            if all(part.status == "RUNNING" for part in task.containers.values()):
                over["image"] = True
            return over, address

        return starts.started("Fargate (emulated)", number, port, self.account.key, look)

    @staticmethod
    def _port(definition: TaskDefinition) -> int:
        """:raises LabError: when no container maps one."""
        found = ports(definition.document)
        if not found:
            raise LabError("No container maps a port.", where=definition.where(), fix='"portMappings"')
        return found[0]

    def _task(self) -> FargateTask:
        """:raises LabError: when there is none."""
        if self.task is None:
            raise LabError("No task was started.", fix="fargate.start()")
        return self.task

    @staticmethod
    def _containers(task: FargateTask) -> list[str]:
        return [
            f"{name}: {part.status}"
            + ("" if part.exit_code is None else f", exit code {part.exit_code}")
            + ("" if part.stopped_in is None else f", {part.stopped_in:.1f} s after its signal")
            for name, part in task.containers.items()
        ]

    def _end(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.close()

    def close(self) -> None:
        """End the task and the local AWS; may be called twice."""
        self._end()
        self.endpoint.close()

    def _lines(self) -> list[str]:
        made = EcsAccount(key="")
        return [
            f"emulated: {STANDS_IN}",
            f"the secret: {made.secret}",
            f"the role that is made of {TRUST} and {POLICY}: {made.role}",
            f"the log group: {made.log_group}; the image: {made.image}",
            *(f"not imitated: {what}" for what in NOT_IMITATED),
        ]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "".join(f"<p>{plain(line)}</p>" for line in self._lines())
