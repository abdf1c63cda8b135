"""A cluster as a notebook handles it: `cluster = lab.cluster()`, `app = cluster.apply()`, `app.pods()`, `app.ready()`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....course import journal
from ....errors import LabError
from ....plain import plain
from ....records.schema import Cell
from ....show.bench import alone
from ....show.face import Face
from ....show.shown import Drawn, Said, Shown, shown
from ..drivers import choose, hold
from ..manifests import manifests
from ..manifests.applied import Applied
from ..manifests.given import give
from ..manifests.manifests import Document
from ..manifests.pods import endpoints, pods, restarts
from ..manifests.refusals import WORKLOADS, refused, standing
from ..manifests.trouble import state, trouble

if TYPE_CHECKING:
    from ....show.bench import Bench
    from .rollouts import Scaling
    from .states import Timeline

NAMESPACE = "inference"


class LiveCluster(Face, what="The cluster", again="cluster = lab.cluster({self._words})", works=["cost"]):
    """The cluster of a notebook: the one that `llmlab cluster up` left running, else one that ends with the kernel.

    :param addons: what it shall have: dns, storage, metrics-server, prometheus, keda, gateway-api, envoy-gateway.
    :raises LabError: when none can be brought up, with what would mend it.
    """

    def __init__(self, lab: Bench, *addons: str) -> None:
        from ....show.bars import steps_bar

        alone(lab, LiveCluster)
        self.lab = lab  # whose files are applied
        self._words = ", ".join(map(repr, addons))  # that opened it
        self.live: LiveApplied | None = None  # what was applied last
        there = hold.running()
        with steps_bar("step") as say:
            if there is not None and os.environ.get(choose.VARIABLE) in (None, "", there.driver):
                self.cluster = there  # the cluster itself
                self.why = "llmlab cluster up left it running"  # why it is this one
            else:
                self.cluster, self.why = choose.choose()
                self.cluster.preload = lab.info.images.get("kubernetes", ())
                self.cluster.up(say)
            try:
                self.cluster.load(*lab.info.images.get("kubernetes", ()), say=say)
                self.cluster.add(*addons, say=say)
            except BaseException:
                self.cluster.down()
                raise

    def apply(self, *files: str, swap: Mapping[str, str] | None = None) -> LiveApplied:
        """`kubectl apply -k .`, or `-f` with files; what was applied before is removed first.

        :param swap: images of the files → others that the cluster holds.
        """
        self.clear()
        self.live = LiveApplied(self, files, swap or {}, self._given())
        return self.live

    def _given(self) -> Sequence[Document]:
        """What the lab brings along beside the files."""
        return ()

    def clear(self) -> None:
        """Remove what was applied."""
        if self.live is not None:
            self.live.close()
            self.live = None

    def timeline(self, seconds: float = 40) -> Timeline:
        """The guide's probes beside those of deployment.yaml, for a server that loads slowly; what was applied is removed."""
        from .states import timeline

        return timeline(self, seconds)

    def placement(self) -> Drawn:
        """Where the scheduler puts the guide's Deployment and gpu-deployment.yaml, pool by pool; drawn as a matrix."""
        from ..gpus.notebook import placement

        return placement(self)

    def cost(self, replicas: int = 2) -> Drawn:
        """What so many replicas cost on each pool, idle GPUs included; drawn as dollars an hour, in use and waiting."""
        from ..gpus.notebook import cost

        return cost(self, replicas)

    @shown
    def rollouts(self) -> Drawn:
        """A roll-out of the guide's Deployment and of yours, with people using both; what was applied is removed.

        Drawn: requests answered and failed in each second, the guide's above, yours below.
        """
        from .rollouts import rollouts

        return rollouts(self)

    @shown
    def scaling(self) -> Scaling:
        """The guide's autoscaler and yours, before the same users: one, then eight, then one."""
        from .rollouts import scaling

        return scaling(self)

    def kubectl(self, line: str) -> Said:
        """What `kubectl LINE` prints in this cluster; `.value("number")` where that is a number."""
        try:
            text = self.cluster.run_kubectl(*shlex.split(line)).rstrip()
            return Said(text.splitlines(), {"number": float(text)} if text.isdecimal() else None)
        except LabError as error:
            return Said(error.lines())

    def close(self) -> None:
        """End it if it is this notebook's own; else only what was applied."""
        if self.live is not None and self.cluster.attached:
            self.live.close()
        self.live = None
        self.cluster.down()

    def _lines(self) -> list[str]:
        facts = self.cluster.facts()
        nodes = ", ".join(
            f"{name} {'Ready' if ready else 'NotReady'}" for name, ready in facts["nodes"].items()
        )
        lines = [f"Kubernetes {facts['version']}, driver {facts['driver']} ({self.why}): {nodes}"]
        if facts["stands_in"]:
            lines.append(f"emulated: {facts['stands_in']}")
        return [*lines, "the same from a shell: " + self.cluster.kubectl("get", "pods", "-A")]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "".join(f"<p>{plain(line)}</p>" for line in self._lines())


class LiveApplied(Face, what="What was applied", again="app = cluster.apply()"):
    """The learner's manifests in the cluster. What the API server refuses is shown, not raised: the next cells go on.

    :param files: which of them; none: what kustomization.yaml names.
    :param given: what the lab brings along; it is applied first.
    """

    def __init__(
        self,
        cluster: LiveCluster,
        files: Sequence[str],
        swap: Mapping[str, str],
        given: Sequence[Document] = (),
    ) -> None:
        self.cluster = cluster.cluster  # where they are
        self.files, self._live = files, cluster
        give(cluster.lab.info, cluster.lab.files)
        self.refused: LabError | None = None  # what the API server said, where it refused
        self.applied: Applied | None = None  # what is there; None: it was refused
        folder = cluster.lab.files
        try:
            if files:
                documents = manifests.read(folder, list(files), namespaces=[NAMESPACE])
            else:
                documents = manifests.kustomized(self.cluster, folder, namespaces=[NAMESPACE])
            self.applied = Applied(self.cluster, [*given, *documents], images=swap)
            self.applied.up()
        except LabError as error:
            self.refused = error

    def ready(self, within: float = 60) -> Said:
        """Wait until everything is rolled out: how it went; `.value(NAME)` is how many pods of a Deployment are ready then."""
        if self.refused or self.applied is None:
            return self._no()
        try:
            self.applied.ready(within)
        except LabError as error:
            return Said(error.lines(), self._ready(self.applied))
        lines = [
            f"{document.kind} {document.name}: ready"
            for document in self.applied.documents
            if document.kind in ("Deployment", "Job")
        ]
        return Said(lines, self._ready(self.applied))

    def _ready(self, applied: Applied) -> dict[str, Cell]:
        from ..probes.rollouts import replicas

        found = [document for document in applied.documents if document.kind == "Deployment"]
        return {document.name: replicas(self.cluster, document).ready for document in found}

    def pods(self) -> Shown | Said:
        """`kubectl get pods`."""
        if self.refused:
            return self._no()
        rows = [
            (pod.metadata.name, f"{state(pod)}, {restarts(pod)} restarts", pod.spec.node_name or "")
            for pod in pods(self.cluster, NAMESPACE)
        ]
        return Shown(
            rows,
            ["the same from a shell: " + self.cluster.kubectl("get", "pods", "-n", NAMESPACE)],
            ("pod", "state", "node"),
        )

    def why(self) -> Said:
        """Why pods are not ready: the scheduler's reasons, events, last log lines."""
        if self.refused:
            return self._no()
        said = trouble(self.cluster, NAMESPACE) or ["all pods are ready"]
        for document in self.applied.documents if self.applied else ():
            if document.kind in WORKLOADS and document.namespace:
                for it in standing(self.cluster, document.namespace, document)[:1]:
                    said += refused(document, it).lines()
        return Said(said)

    def endpoints(self, service: str) -> Shown | Said:
        """Which pods a Service leads to."""
        if self.refused:
            return self._no()
        rows = [
            (name, "ready" if ok else "not ready", "")
            for name, ok in endpoints(self.cluster, NAMESPACE, service).items()
        ]
        words = ("get", "endpointslices", "-n", NAMESPACE)
        return Shown(
            rows,
            [f"{len(rows)} endpoints of {service}; from a shell: {self.cluster.kubectl(*words)}"],
            ("pod", "state", ""),
        )

    def models(self, service: str) -> Shown | Said:
        """What `/v1/models` lists, asked of every pod behind a Service."""
        if self.refused:
            return self._no()
        from ..probes.pods import models_of

        rows = []
        for pod in pods(self.cluster, NAMESPACE):
            if endpoints(self.cluster, NAMESPACE, service).get(pod.metadata.name):
                try:
                    said = ", ".join(models_of(f"http://{pod.status.pod_ip}:8080"))
                except LabError as error:
                    said = error.what
                rows.append((pod.metadata.name, said, ""))
        return Shown(rows, [], ("pod", "models", ""))

    @shown
    def evict(self) -> Shown | Said:
        """Ask for the eviction of every pod, one straight after the other, as `kubectl drain` does."""
        if self.refused:
            return self._no()
        from .rollouts import evictions

        rows = evictions(self._live)
        gone = sum(word == "goes" for _, word, _ in rows)
        journal.note(
            self._live.lab.files,
            "incident",
            done="eviction of every pod",
            observed=f"{gone} of {len(rows)} went",
        )
        return Shown(rows, [], ("pod", "eviction", "answer"), values={"gone": gone})

    def address(self, service: str) -> str:
        """Where a Service answers.

        :raises LabError: when there is none.
        """
        return self.cluster.address(NAMESPACE, service)

    def close(self) -> None:
        """Remove it from the cluster; may be called twice."""
        if self.applied is not None:
            self.applied.down()
            self.applied = None

    def _over(self) -> bool:
        return self._closed or self._live._over()

    def _ended(self) -> LabError:
        ended = self._live._ended()
        again = f"app = {str(ended.fix).partition(' = ')[0]}.apply()"
        if self._live._over():
            return LabError(
                f"{self._what} ended with lab.check() or lab.stop().", fix=f"{ended.fix}, then {again}"
            )
        return LabError(
            "What was applied here is no longer in the cluster: the next apply() removes it, and so do timeline(), rollouts(), "
            "scaling() and clear().",
            fix=again,
        )

    def _no(self) -> Said:
        assert self.refused is not None
        return Said(self.refused.lines())

    def __repr__(self) -> str:
        if self.refused:
            return repr(self._no())
        documents: list[Any] = self.applied.documents if self.applied else []
        return "\n".join(
            f"{document.kind.lower()}/{document.name} applied ({document.where})" for document in documents
        )
