"""The guide's Deployment and the learner's side by side, in namespaces of their own, while people use both: rolled out, and scaled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import LabError
from ....load.users import Users
from ....records.schema import Cell, Table
from ....show.bars import steps_bar
from ....show.kept import keep
from ....show.shown import Drawn
from ....system.waiting import wait
from ..manifests import manifests
from ..manifests.applied import Applied
from ..manifests.given import give
from ..manifests.manifests import Document
from ..manifests.pods import ready_pods
from ..probes.rollouts import SCALERS, alone, answered, evict, replicas, users

if TYPE_CHECKING:
    from ....figures import Picture
    from .held import Held

SERVICE = "llama-server"
OWN, GUIDE = "inference", "guide"
SETS = {"guide": GUIDE, "yours": OWN}
LEAST = 2  # replicas
LEAD, TAIL = 6.0, 6.0  # seconds before the roll-out and after it
#: Seconds with one user, with eight, and with one again, by profile.
TRACE = {"binder": (30, 20, 20), "laptop": (50, 40, 30), "workstation": (50, 40, 30)}
ROLLOUT = {
    "what": "request or roll-out",
    "set": "whose",
    "from": "s",
    "to": "s; of a roll-out: every old pod was gone",
    "ok": "answered in full",
}
SCALING = {
    "set": "whose",
    "at": "s",
    "wanted": "replicas",
    "ready": "replicas",
    "users": "requests open",
    "waiting": "requests without a token yet",
}


class Scaling:
    """What two autoscalers made of the same users."""

    def __init__(self, table: Table, quiet: float) -> None:
        self.table = table  # what it draws
        self.quiet = quiet  # seconds with one user at the beginning

    def plot(self, *, guess: Any = None) -> Picture:
        """Replicas above, users below; the guide's on the left, yours on the right.

        :param guess: replicas for one user of the guide's, as predicted; marked.
        """
        from ..figures.rollouts import scaling

        return scaling(self.table, guess=guess)

    def value(self, name: str) -> Cell:
        """How many replicas one user had at the end of the first part: of the `guide`'s autoscaler, or of `yours`."""
        rows = [row for row in self.table.dicts() if row["set"] == name]
        alone = [row["wanted"] for row in rows if float(row["at"] or 0) < self.quiet]
        return alone[-1] if alone else None

    def __repr__(self) -> str:
        from ..figures.rollouts import scaling

        return "\n".join(
            f"{numbers['set']}: {numbers['mean']:.1f} replicas on average, at most {numbers['most']}; "
            f"users waited for a first token {numbers['waited']:.0f} s in all"
            for numbers in scaling(self.table).data["sets"]
        )


def rollouts(cluster: Held) -> Drawn:
    """Roll both out at the same time, each with four users; what was applied before is removed.

    :raises LabError: when one of them cannot be applied, or does not become ready.
    """
    from ..figures.rollouts import rollouts as draw

    rows: list[list[Cell]] = []
    with _both(cluster, scalers=False) as (stacks, say), _crowds(stacks, 4) as crowds:
        for crowd in crowds.values():
            answered(crowd, 4)
        _pass(crowds, LEAD, say, "before")
        began = {whose: crowd.now for whose, crowd in crowds.items()}
        for stack in stacks.values():
            deployment = stack.one("Deployment")
            words = ("rollout", "restart", f"deployment/{deployment.name}", "-n", str(deployment.namespace))
            stack.cluster.run_kubectl(*words)
        say("rolling out")
        ended: dict[str, float] = {}

        def all_over() -> bool:
            for whose, stack in stacks.items():
                if whose not in ended and _over(stack):
                    ended[whose] = crowds[whose].now
            return len(ended) == len(stacks)

        wait("the end of the old pods", all_over, 120)
        rows += [["roll-out", whose, began[whose], end, True] for whose, end in ended.items()]
        _pass(crowds, TAIL, say, "after")
        for whose, crowd in crowds.items():
            rows += [
                ["request", whose, sample.sent, round(crowd.over[sample.n], 3), sample.ok]
                for sample in crowd.stop()
            ]
    table = _kept(cluster, "rollouts", ROLLOUT, rows)
    lines, failed = [], {}
    for whose in SETS:
        own = [row for row in table.dicts() if row["set"] == whose and row["what"] == "request"]
        failed[whose] = sum(not row["ok"] for row in own)
        lines.append(f"{whose}: {failed[whose]} of {len(own)} requests failed")
    return Drawn(table, draw, lines, failed)


def scaling(cluster: Held) -> Scaling:
    """Run the same users against both, each with its autoscaler: one, then eight, then one.

    :raises LabError: as `rollouts`.
    """
    from ....machine import profile

    quiet, busy, last = TRACE[profile()]
    rows: list[list[Cell]] = []
    with _both(cluster, scalers=True) as (stacks, say), _crowds(stacks, 1) as crowds:
        looks: dict[str, list[tuple[float, int, int]]] = {whose: [] for whose in stacks}

        def look() -> None:
            for whose, stack in stacks.items():
                seen = replicas(stack.cluster, stack.one("Deployment"))
                looks[whose].append((round(crowds[whose].now, 2), seen.wanted, seen.ready))

        for count, seconds in ((1, quiet), (8, busy), (1, last)):
            for crowd in crowds.values():
                crowd.set(count)
            _pass(crowds, seconds, say, f"{count} user{'s' if count > 1 else ''}", look)
        for whose, crowd in crowds.items():
            spans = [
                (it.sent, it.first if it.first is not None else crowd.over[it.n], crowd.over[it.n])
                for it in crowd.stop()
            ]
            for at, wanted, ready in looks[whose]:
                open_now = sum(sent <= at < over for sent, _, over in spans)
                waiting = sum(sent <= at < first for sent, first, _ in spans)
                rows.append([whose, at, wanted, ready, open_now, waiting])
    return Scaling(_kept(cluster, "scaling", SCALING, rows), quiet)


def _over(stack: Applied) -> bool:
    """Whether its roll-out is complete, and the last old pod gone."""
    deployment = stack.one("Deployment")
    return stack.done(deployment) and alone(stack, deployment, LEAST)


def evictions(cluster: Held, namespace: str = OWN) -> list[tuple[str, str, str]]:
    """Ask for the eviction of every pod, one straight after the other: pod, what the API server answers, its status."""
    words = {201: "goes", 429: "may not go now", 404: "is gone"}
    # An autoscaler may have to bring the second one first.
    found = wait(f"{LEAST} ready pods", lambda: _pair(cluster, namespace), 60)
    names = [pod.metadata.name for pod in found]
    statuses = [(name, evict(cluster.cluster, namespace, name)) for name in names]
    return [(name, words[status], f"HTTP {status}") for name, status in statuses]


def _pair(cluster: Held, namespace: str) -> list[Any]:
    found = ready_pods(cluster.cluster, namespace)
    return found if len(found) >= LEAST else []


def _kept(cluster: Held, kind: str, columns: dict[str, str], rows: list[list[Cell]]) -> Table:
    version = cluster.cluster.facts()["version"]
    return keep(cluster.lab, kind, columns, rows, kubernetes=version)[0]


@contextlib.contextmanager
def _both(cluster: Held, *, scalers: bool):  # type: ignore[no-untyped-def]
    """Both in the cluster with two replicas ready, and a line for progress; afterwards both are gone."""
    cluster.clear()
    if not cluster.cluster.runs_pods:
        raise LabError(
            "Nobody can use these servers: no pod runs on a simulated cluster.",
            fix="uv run llmlab cluster up --driver local (root on Linux), or --driver kind",
        )
    with contextlib.ExitStack() as ends:
        say = ends.enter_context(steps_bar("step"))
        stacks = {}
        for whose, namespace in SETS.items():
            found = _documents(cluster, whose)
            moved = [_moved(document, namespace) for document in found]
            stack = ends.enter_context(
                Applied(cluster.cluster, [document for document in moved if document.kind not in SCALERS])
            )
            say(f"applying {whose}")
            stack.up()
            deployment = stack.one("Deployment")
            if "replicas" not in deployment.body["spec"]:
                words = ("scale", f"deployment/{deployment.name}", "-n", namespace, f"--replicas={LEAST}")
                cluster.cluster.run_kubectl(*words)
            stacks[whose] = (stack, [document for document in moved if document.kind in SCALERS])
        for stack, _ in stacks.values():
            stack.ready(60)
        if scalers:
            for stack, more in stacks.values():
                stack.apply(*more)
        yield {whose: stack for whose, (stack, _) in stacks.items()}, say


def _documents(cluster: Held, whose: str) -> list[Document]:
    lab = cluster.lab
    give(lab.info, lab.files)
    if whose == "yours":
        return manifests.kustomized(cluster.cluster, lab.files, namespaces=[OWN])
    starter: Path = lab.info.starter
    return [
        *manifests.read(starter, ["deployment.yaml", "autoscaler.yaml"], namespaces=[OWN]),
        *manifests.read(lab.info.folder, ["service.yaml"], namespaces=[OWN]),
    ]


def _moved(document: Document, namespace: str) -> Document:
    """The same in another namespace."""
    if document.namespace is None:
        return document
    return replace(
        document,
        namespace=namespace,
        body=document.body | {"metadata": document.body["metadata"] | {"namespace": namespace}},
    )


@contextlib.contextmanager
def _crowds(stacks: dict[str, Applied], count: int):  # type: ignore[no-untyped-def]
    with contextlib.ExitStack() as ends:
        yield {
            whose: ends.enter_context(users(stack, SERVICE, count, SETS[whose]))
            for whose, stack in stacks.items()
        }


def _pass(
    crowds: dict[str, Users],
    seconds: float,
    say: Callable[[str], None],
    what: str,
    look: Callable[[], None] | None = None,
) -> None:
    """Let so much time pass, look four times a second, and say how it goes."""
    first = next(iter(crowds.values()))
    began = first.now
    looked, said = began - 1, began - 9

    def over() -> bool:
        nonlocal looked, said
        if look is not None and first.now - looked >= 0.25:
            looked = first.now
            look()
        if first.now - said >= 2:
            said = first.now
            failed: Sequence[str] = [f"{whose} {len(crowd.failed)} failed" for whose, crowd in crowds.items()]
            say(f"{what}, {first.now - began:.0f} of {seconds:.0f} s: " + ", ".join(failed))
        return first.now - began >= seconds

    wait("the time to pass", over, seconds + 60)
