"""A cluster that is there already, and one namespace of it: only when both are named, and only what we made ourselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ....errors import LabError
from ....say import Say, quiet
from ....system import owned
from ..cluster.cluster import LABEL, Cluster
from ..programs import binaries


class KubeContext(Cluster):
    """The `context` driver.

    :param context: a context of the learner's kubeconfig.
    :param namespace: one that is not there yet; nothing outside of it is written.
    """

    driver = "context"

    def __init__(self, name: str | None = None, *, context: str = "", namespace: str = "") -> None:
        super().__init__(name)
        self.context, self.namespace = context, namespace
        self._entry: Path | None = None

    def plan(self) -> list[str]:
        """A namespace with our mark."""
        line = ["kubectl", "--context", self.context, "create", "namespace", self.namespace]
        return [
            shlex.join(line),
            shlex.join([*line[:3], "label", "namespace", self.namespace, f"{LABEL}={self.name}"]),
        ]

    def up(self, say: Say = quiet) -> None:
        """Make the namespace there, with our mark.

        :raises LabError: when context or namespace is not named, is not there, or is somebody else's.
        """
        from kubernetes import client

        if not self.context or not self.namespace:
            raise LabError(
                "An existing cluster is used only where you say which, and in which namespace.",
                fix="uv run llmlab cluster up --driver context --context NAME --namespace NAME",
            )
        about = {"name": self.name, "context": self.context, "namespace": self.namespace}
        self._entry = owned.register("context", f"namespace {self.namespace} in {self.context}", **about)
        self.folder.mkdir(parents=True, mode=0o700)
        try:
            self.kubeconfig.write_text(self._flattened())
            self.kubeconfig.chmod(0o600)
            core = client.CoreV1Api(self.api)
            try:
                found = core.read_namespace(self.namespace)
            except client.ApiException as error:
                if error.status != 404:
                    raise LabError(f"The cluster of {self.context} refuses: {error.reason}") from None
                found = None
            if found is not None:
                raise LabError(
                    f"There is a namespace {self.namespace} in that cluster already, and llmlab did not just make it.",
                    fix="name one that is not there yet",
                )
            core.create_namespace({"metadata": {"name": self.namespace, "labels": {LABEL: self.name}}})
            say(f"namespace {self.namespace} in {self.context}")
        except BaseException:
            self.down()
            raise

    def _flattened(self) -> str:
        """That one context, with its credentials in it, and nothing of the others."""
        program = str(binaries.find("kubectl") or "kubectl")
        line = [program, "config", "view", "--minify", "--flatten", f"--context={self.context}"]
        try:
            done = subprocess.run(line, capture_output=True, text=True)
        except FileNotFoundError:
            raise LabError("There is no kubectl.", fix="uv run llmlab fetch kubernetes") from None
        if done.returncode:
            raise LabError(
                f"kubectl knows no context {self.context}: {done.stderr.strip()[-300:]}",
                fix="kubectl config get-contexts",
            )
        found = yaml.safe_load(done.stdout)
        for context in found["contexts"]:
            context["context"]["namespace"] = self.namespace
        return str(yaml.safe_dump(found))

    def _client(self, user: str | None) -> Any:
        """As whom the kubeconfig says: there is no learner in a cluster that is not ours."""
        return super()._client(None)

    def handle(self) -> dict[str, Any]:
        """With its context and namespace."""
        return super().handle() | {"context": self.context, "namespace": self.namespace}

    @classmethod
    def attach(cls, handle: dict[str, Any]) -> KubeContext:
        """The cluster of that handle."""
        cluster = cls(handle["name"], context=handle["context"], namespace=handle["namespace"])
        cluster.attached = True
        return cluster

    def grant(self, namespaces: Sequence[str]) -> None:
        """Nothing: who may do what there is its owner's to say."""

    def load(self, *images: str, say: Say = quiet) -> None:
        """Its nodes pull what they run: an image must be in a registry that they reach."""

    def add(self, *addons: str, say: Say = quiet, wait: bool = True) -> None:
        """It has what it has: add-ons are its owner's."""

    def address(self, namespace: str, service: str, port: int | None = None) -> str:
        """Nothing is opened in a cluster that is not ours.

        :raises LabError: always, with the line that opens a way in.
        """
        raise LabError(
            f"The Service {service} is not reached from here.",
            fix=self.kubectl("port-forward", "-n", namespace, f"service/{service}", "8080:80"),
        )

    def down(self) -> None:
        """Delete the namespace if it carries our mark; may be called twice."""
        if self.attached:
            return
        if self.kubeconfig.exists():
            self._delete()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._entry is not None:
            owned.forget(self._entry)
            self._entry = None

    def _delete(self) -> None:
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        try:
            found = core.read_namespace(self.namespace)
            if (found.metadata.labels or {}).get(LABEL) == self.name:
                core.delete_namespace(self.namespace)
        except client.ApiException as error:
            if error.status != 404:
                raise LabError(f"The namespace {self.namespace} cannot be deleted: {error.reason}") from None


def end(data: dict[str, Any]) -> None:
    """Delete the namespace of a cluster whose owner is gone."""
    KubeContext(data["name"], context=data["context"], namespace=data["namespace"]).down()


owned.ENDERS["context"] = end
