"""A service as Cloud Run would run it: `run = lab.cloud_run()`, `run.deploy()`, `run.ask()`, `run.starts().plot()`."""

from __future__ import annotations

import secrets
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from ....errors import LabError
from ....load.users import Users
from ....say import Say
from ....serve import Server, Spec
from ....show.bars import steps_bar
from ....show.kept import keep
from ....show.shown import Drawn, Said, Shown, shown
from ....system.waiting import wait
from ...kubernetes.manifests.applied import Applied
from ...kubernetes.manifests.pods import restarts
from ...kubernetes.manifests.trouble import state, trouble
from ...kubernetes.notebook.cluster import NAMESPACE, LiveCluster
from .. import cloud_run, figures, starts
from .. import costs as bill
from ..given import key_secret
from .together import together

if TYPE_CHECKING:
    from ....show.bench import Bench

IDLE = 90  # seconds in which the last instance has to go


class LiveRun(LiveCluster, what="The cluster with Knative", again="run = lab.cloud_run()"):
    """A cluster with Knative in it, and your service.yaml. It ends with `lab.stop()`.

    :raises LabError: as `LiveCluster`.
    """

    def __init__(self, lab: Bench) -> None:
        super().__init__(lab, "knative")
        try:
            cloud_run.admits(self.cluster)
        except BaseException:
            self.cluster.down()
            raise
        self.key = "sk-" + secrets.token_urlsafe(18)  # that the Secret llama-api-key holds
        self._applied: Applied | None = None
        self._service: cloud_run.RunService | None = None
        self._revision: str | None = None  # that became ready

    @shown
    def deploy(self, within: float = 90) -> Said:
        """`gcloud run services replace service.yaml`: apply it, and wait until its revision takes requests.

        :param within: seconds.
        """
        if self._applied is not None:
            self._applied.down()
            self._applied = self._service = self._revision = None
        service = cloud_run.read(self.lab.files, "service.yaml", NAMESPACE)
        one = Applied(self.cluster, [key_secret(NAMESPACE, self.key), service.document])
        one.up()
        self._applied, self._service = one, service
        revision = self._revision = cloud_run.ready(one, service, within)
        lines = [f"{revision} is ready at http://{self._door().host}, port {service.port}"]
        return Said([*lines, *(f"not run here, only read: {remark}" for remark in service.aside)])

    def close(self) -> None:
        """End the cluster if it is this notebook's own; else only what was deployed."""
        if self._applied is not None and self.cluster.attached:
            self._applied.down()
        self._applied = self._service = self._revision = None
        super().close()

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        return [*super()._lines(), *(f"not as on Cloud Run: {what}" for what in cloud_run.NOT_IMITATED)]

    @property
    def _deployed(self) -> cloud_run.RunService:
        """What was deployed.

        :raises LabError: nothing was.
        """
        if self._service is None:
            raise LabError("Nothing is deployed.", fix="run.deploy()")
        return self._service

    def _door(self) -> cloud_run.RunDoor:
        return cloud_run.door(self.cluster, self._deployed)

    @shown
    def ask(self, *, tokens: int = 8, key: bool = True, path: str = "/v1/completions") -> Said:
        """One request through the platform's door, and what came of it.

        :param key: whether it carries the key.
        """
        body = {"prompt": "once upon a time", "max_tokens": tokens}
        try:
            with self._door().client(key=self.key if key else None, timeout=120) as client:
                reply = client.post(path, json=body) if path.startswith("/v1/comp") else client.get(path)
        except httpx.HTTPError as error:
            return Said([f"no answer: {error or type(error).__name__}"])
        took = f"after {reply.elapsed.total_seconds():.2f} s"
        return Said([f"HTTP {reply.status_code} {reply.reason_phrase} {took}", reply.text[:300]])

    @shown
    def instances(self) -> Shown:
        """The pods of your service."""
        rows = [
            (pod.metadata.name, state(pod), f"{restarts(pod)} restarts")
            for pod in cloud_run.instances(self.cluster, self._deployed)
        ]
        look = self.cluster.kubectl("get", "ksvc,revisions,pods", "-n", NAMESPACE)
        return Shown(rows, [f"{len(rows)} instances; from a shell: {look}"], ("instance", "state", ""))

    @shown
    def said(self) -> Said:
        """What Knative says of your service, and why its instances are not ready."""
        found = cloud_run.conditions(cloud_run.asked(self.cluster, NAMESPACE, self._deployed.name))
        lines = [f"{kind}: {status} {words}".rstrip() for kind, (status, words) in found.items()]
        return Said(
            lines + trouble(self.cluster, NAMESPACE, f"{cloud_run.API}/service={self._deployed.name}")
        )

    @shown
    def idle(self) -> Said:
        """Ask nothing until no instance is left."""
        took = cloud_run.to_zero(self.cluster, self._deployed, IDLE)
        if took is None:
            left = len(cloud_run.instances(self.cluster, self._deployed))
            return Said([f"after {IDLE} s {left} instances are still there"])
        return Said([f"no instance after {took:.0f} s"])

    @shown
    def streams(self, count: int = 300) -> Said:
        """So many streams, one after the other: how many said 200, and how many of those came to their last event."""
        self._answering()
        made = self._door()
        with (
            steps_bar("stream") as say,
            Users(made.base, 1, tokens=4, host=made.host, api_key=self.key) as them,
        ):

            def enough() -> bool:
                say(f"{len(them.samples)} of {count}")
                return len(them.samples) >= count

            wait(f"{count} streams", enough, 240)
            samples = them.stop()
        good = sum(sample.status == 200 for sample in samples)
        whole = sum(sample.ok for sample in samples)
        return Said(
            [f"{len(samples)} streams: {good} said HTTP 200, {whole} came to their last event"],
            {"whole": whole},
        )

    @shown
    def starts(self, tries: int = 3) -> Drawn:
        """So many starts from nothing, each taken apart."""
        rows = []
        with steps_bar("step") as say:
            for number in range(tries):
                say(f"start {number + 1} of {tries}: waiting until no instance is left")
                self._zero()
                rows += starts.start(self.cluster, self._deployed, self._door(), self.key, number)
        return together(self.lab, rows, kubernetes=self.cluster.facts()["version"])

    @shown
    def burst(self, count: int = 12) -> Drawn:
        """So many streams at the same moment, from nothing: who waits, how many instances come, and when tokens do."""
        self._zero()
        rows = starts.burst(self.cluster, self._deployed, self._door(), self.key, count)
        table, _ = keep(
            self.lab, "burst_from_zero", starts.BURST, rows, kubernetes=self.cluster.facts()["version"]
        )
        looks = [{name: float(str(cell)) for name, cell in row.items()} for row in table.dicts()]
        last = next((row["at"] for row in looks if row["answered"] == looks[-1]["answered"]), 0.0)
        most = max(row["instances_ready"] for row in looks)
        line = f"{looks[-1]['answered']:.0f} of {count} answered, the last first token after {last:.1f} s, {most:.0f} instances"
        return Drawn(table, figures.burst, [line], {"instances": most})

    @shown
    def costs(self, tokens: int = 300) -> Drawn:
        """What a million output tokens cost on each plan, at what this service was measured to give.

        :param tokens: of a reply.
        """
        server, whose = self._measured()
        rows = bill.rows(server, tokens, [10 ** (step / 8) for step in range(-4, 41)])
        note = (
            f"{whose}: {server.tokens_per_second:.0f} tokens/s with {server.slots} slots busy, "
            f"{server.vcpu:g} CPUs and {server.gib:g} GiB as limited, {server.cold_start:.1f} s from nothing; replies of {tokens} tokens"
        )
        table, _ = keep(self.lab, "costs", bill.COLUMNS, rows, note=note)
        staying = [plan for plan in bill.plans(server) if plan.stays]
        lines, crossings = [note], {}
        for plan in bill.plans(server):
            if plan.stays:
                continue
            found = [at for other in staying if (at := bill.crossing(plan, other, server, tokens))]
            words = (
                f"dearer than one that stays from {min(found):,.0f} requests an hour"
                if found
                else "never dearer than one that stays"
            )
            crossings[plan.name] = min(found, default=None)
            lines.append(f"{plan.name}: {words}")
        return Drawn(table, figures.costs, lines, crossings)

    def _measured(self) -> tuple[bill.Instance, str]:
        """One instance under load: its tokens a second, one start from nothing, and whose it was.

        :raises LabError: when it goes to nothing and does not come back, or its replies do not come.
        """
        with steps_bar("step") as say:
            if self._revision is None:
                return self._own(say), "a server of the lab's own, since no revision of yours is ready"
            say("one start from nothing")
            self._zero()
            parts = starts.start(self.cluster, self._deployed, self._door(), self.key, 0)
            slots, made = self._deployed.concurrency or 1, self._door()
            say(f"{slots} people stream to one instance")
            self._only(1)
            cpu, memory = cloud_run.limits(self._deployed)
            speed = _speed(Users(made.base, slots, tokens=200, host=made.host, api_key=self.key), slots)
            self._only(None)
        found = bill.Instance(
            tokens_per_second=speed,
            slots=slots,
            vcpu=cpu,
            gib=memory / 2**30,
            cold_start=sum(float(str(row[3])) for row in parts),
        )
        return found, "an instance of yours"

    def _only(self, most: int | None) -> None:
        """At most so many instances: Knative brings the next one when 70 % of the slots are taken. None: as the file says.

        :raises LabError: when no revision of it becomes ready.
        """
        assert self._applied is not None
        changed = (
            self._deployed
            if most is None
            else self._deployed.with_annotations(min_scale="0", max_scale=str(most))
        )
        self._applied.apply(changed.document)
        cloud_run.ready(self._applied, changed)

    def _own(self, say: Say) -> bill.Instance:
        say("a server of the lab's own, with four slots")
        began = perf_counter()
        with Server(Spec(model="20m", flags={"parallel": 4, "ctx-size": 8192, "threads": 1})) as server:
            took = perf_counter() - began
            say("4 people stream")
            speed = _speed(Users(server.url, 4, tokens=200, api_key=server.key), 4)
        return bill.Instance(tokens_per_second=speed, slots=4, vcpu=1.0, gib=0.5, cold_start=took)

    def _answering(self) -> None:
        """:raises LabError: when no revision of what was deployed last has become ready."""
        if self._revision is None:
            raise LabError(
                f"No revision of {self._deployed.name} is ready.",
                where=self._deployed.document.where,
                fix="run.said(), then service.yaml, then run.deploy()",
            )

    def _zero(self) -> None:
        """:raises LabError: when an instance stays, or none ever came."""
        self._answering()
        if cloud_run.to_zero(self.cluster, self._deployed, IDLE) is None:
            raise LabError(
                f"An instance is still there after {IDLE} s without a request.",
                where=self._deployed.document.where,
                fix='autoscaling.knative.dev/minScale: "0"',
            )


def _speed(them: Users, slots: int) -> float:
    """Tokens a second of all users together, over three replies each.

    :raises LabError: when no reply comes to its end.
    """
    with them:
        wait("three replies each", lambda: len(them.samples) >= 3 * slots, 240)
        samples = [sample for sample in them.stop() if sample.ok and sample.end is not None]
    if not samples:
        raise LabError("No reply came to its end.", fix="run.ask(), run.said()")
    spent = max(sample.end or 0.0 for sample in samples) - min(sample.sent for sample in samples)
    return sum(sample.completion_tokens for sample in samples) / spent
