"""The learner's own kind: clusters whose nodes are Docker containers, by kind's command line.

Nobody has run this driver yet where llmlab is made: kind's node image cannot be had there. Tell us how it goes.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ....errors import LabError, Unavailable
from ....say import Say, quiet
from ....serve.ports import free_port
from ....system import owned, without
from ..cluster import access
from ..cluster.cluster import Cluster
from ..programs import images
from ..programs.pki import dump

#: kind is the learner's own, and its node image holds all the others.
PROGRAMS: tuple[str, ...] = ()
#: A Kubernetes like the other drivers'; kind's releases name the images that they were tried with.
NODE_IMAGE = "kindest/node:v1.35.0"
#: Doors for Services: ports of the node that are published on loopback.
DOORS = range(30080, 30084)


def unusable() -> str | None:
    """Why kind cannot be used here, with what would mend it."""
    if without.names() & {"kubernetes", "pods", "docker"}:
        return f"it is {without.WORDS}: {without.MEND}"
    if not shutil.which("kind"):
        return "there is no kind: go install sigs.k8s.io/kind@latest, or brew install kind"
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        return "kind needs Docker, which does not answer: start Docker"
    return None


class Kind(Cluster):
    """The `kind` driver."""

    driver = "kind"

    def __init__(self, name: str | None = None, *, nodes: int = 1) -> None:
        super().__init__(name)
        self.nodes = nodes
        self._doors: dict[int, int] = {}
        self._entry: Path | None = None

    def up(self, say: Say = quiet) -> None:
        """`kind create cluster`."""
        why = unusable()
        if why:
            raise LabError(f"There can be no kind cluster here: {why}")
        self._entry = owned.register(
            "kind", f"kind cluster {self.name}", name=self.name, folder=str(self.folder)
        )
        self.folder.mkdir(parents=True, mode=0o700)
        self._doors = {inside: free_port() for inside in DOORS}
        published = [
            {"containerPort": inside, "hostPort": outside, "listenAddress": "127.0.0.1"}
            for inside, outside in self._doors.items()
        ]
        nodes = [{"role": "control-plane", "extraPortMappings": published}] + [{"role": "worker"}] * (
            self.nodes - 1
        )
        (self.folder / "kind.json").write_text(
            dump({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes})
        )
        say("kind create cluster: the first time it pulls its node image")
        try:
            _kind(*self._create())
            access.grant(self, ())
        except BaseException:
            self.down()
            raise

    def _create(self) -> list[str]:
        line = ["create", "cluster", "--name", self.name, "--image", NODE_IMAGE]
        config = ["--config", str(self.folder / "kind.json"), "--kubeconfig", str(self.kubeconfig)]
        return [*line, *config, "--wait", "120s"]

    def plan(self) -> list[str]:
        """kind does it all."""
        return [shlex.join(["kind", *self._create()])]

    def handle(self) -> dict[str, Any]:
        """With its doors."""
        return super().handle() | {"doors": self._doors}

    @classmethod
    def attach(cls, handle: dict[str, Any]) -> Kind:
        """The cluster of that handle."""
        cluster = cls(handle["name"])
        cluster.attached = True
        cluster._doors = {int(inside): outside for inside, outside in handle["doors"].items()}
        return cluster

    def load(self, *names: str, say: Say = quiet) -> None:
        """`kind load image-archive`."""
        for archive in images.archives(names, say):
            self.load_archive(archive)

    def load_archive(self, archive: Path) -> None:
        """`kind load image-archive`."""
        _kind("load", "image-archive", str(archive), "--name", self.name)

    def address(self, namespace: str, service: str, port: int | None = None) -> str:
        """Through a door of the node: a second Service of ours, of type NodePort, with the same selector."""
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        try:
            found = core.read_namespaced_service(service, namespace)
        except client.ApiException as error:
            if error.status == 404:
                raise LabError(f"There is no Service {service} in the namespace {namespace}.") from None
            raise
        wanted = next(
            (service_port for service_port in found.spec.ports if port in (None, service_port.port)), None
        )
        if wanted is None or not found.spec.selector:
            raise LabError(f"The Service {service} has no port {port}, or selects nothing.")
        taken = {
            service_port.node_port
            for it in core.list_service_for_all_namespaces().items
            for service_port in it.spec.ports or ()
        }
        name = f"llmlab-door-{wanted.port}-{service}"[:63].rstrip(
            "-"
        )  # a Service may have more ports than one
        mine = next(
            (it for it in core.list_namespaced_service(namespace).items if it.metadata.name == name), None
        )
        door = (
            mine.spec.ports[0].node_port
            if mine
            else next((node_port for node_port in self._doors if node_port not in taken), None)
        )
        if door is None:
            raise LabError("All doors of this kind cluster are in use.", fix="take a deployment down")
        if mine is None:
            ports = [{"port": wanted.port, "targetPort": wanted.target_port, "nodePort": door}]
            spec = {"type": "NodePort", "selector": found.spec.selector, "ports": ports}
            core.create_namespaced_service(namespace, {"metadata": {"name": name}, "spec": spec})
        return f"http://127.0.0.1:{self._doors[door]}"

    def down(self) -> None:
        """`kind delete cluster`; may be called twice."""
        if self.attached or self._entry is None:
            return
        end({"name": self.name, "folder": str(self.folder)})
        owned.forget(self._entry)
        self._entry = None


def end(data: dict[str, Any]) -> None:
    """Delete a cluster of that name: it was registered before kind made it.

    :raises Unavailable: when kind or Docker cannot be asked; the entry stays.
    """
    _kind("delete", "cluster", "--name", data["name"])
    shutil.rmtree(data["folder"], ignore_errors=True)


def _kind(*words: str) -> str:
    try:
        done = subprocess.run(["kind", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable("There is no kind any more.", fix="put kind back on PATH") from None
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise LabError(f"kind {' '.join(words[:2])}: {said}")
    return done.stdout


owned.ENDERS["kind"] = end
