"""What every cluster can do, whoever runs it."""

from __future__ import annotations

import abc
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from ....errors import LabError, Unavailable
from ....say import Say, quiet
from ....system.paths import state_dir
from . import access
from .access import LEARNER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LABEL = "org.llmlab.owner"


class Cluster(abc.ABC):
    """One Kubernetes cluster: up, asked through its API, down. As a context manager it ends with its block."""

    driver: ClassVar[str]  # local | kind | simulated | context
    runs_pods: ClassVar[bool] = True  # False: pods are only said to run
    stands_in: ClassVar[str | None] = None  # what stands in for what, where something does

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"llmlab-{uuid.uuid4().hex[:6]}"
        self.folder = state_dir() / "clusters" / self.name
        self.attached = False  # somebody else's to end
        self.preload: tuple[
            str, ...
        ] = ()  # images that its first pods want: some drivers load them on the way up
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def handle(self) -> dict[str, Any]:
        """What another process needs to know to use it too (`attach`)."""
        return {"driver": self.driver, "name": self.name}

    @classmethod
    def attach(cls, handle: dict[str, Any]) -> Cluster:
        """The cluster that another process owns: used, never ended."""
        cluster = cls(handle["name"])
        cluster.attached = True
        return cluster

    def check(self) -> None:  # noqa: B027 - where nothing of ours runs there is nothing to look at
        """Whether it still runs.

        :raises Unavailable: naming the program that ended.
        """

    def grant(self, namespaces: Sequence[str]) -> None:
        """Give the learner its rights in these namespaces, which are there."""
        access.grant(self, namespaces)

    @property
    def kubeconfig(self) -> Path:
        """The owner's: may do everything."""
        return self.folder / "admin.conf"

    @abc.abstractmethod
    def plan(self) -> list[str]:
        """The commands with which `up` brings it up, in their order, comments between them; nothing is run and nothing is left."""

    @abc.abstractmethod
    def up(self, say: Say = quiet) -> None:
        """Bring it up until its nodes are ready, or leave nothing behind.

        :raises LabError: with the last words of the program that failed.
        """

    @abc.abstractmethod
    def down(self) -> None:
        """End it with everything in it; may be called twice."""

    @abc.abstractmethod
    def load(self, *images: str, say: Say = quiet) -> None:
        """Make images of `images.CATALOGUE` known to its nodes; those already there cost nothing."""

    def load_archive(self, archive: Path) -> None:
        """Make the images of an archive (as `docker save` writes it) known to its nodes.

        :raises Unavailable: where nodes take images from a registry alone, or run none.
        """
        raise Unavailable(
            f"The nodes of a {self.driver} cluster take no archive of an image.",
            where=str(archive),
            fix="push it to a registry that they reach, and name it",
        )

    @abc.abstractmethod
    def address(self, namespace: str, service: str, port: int | None = None) -> str:
        """Where a Service answers a client outside of the cluster, e.g. http://10.201.128.7:80.

        :raises LabError: when there is no such Service, or no way in.
        """

    def processes(self, pod: Any) -> list[int]:
        """The processes of a pod, as this machine counts them.

        :raises Unavailable: where its node is another machine, or hidden in a container.
        """
        raise Unavailable(
            f"The processes of a {self.driver} cluster's pods cannot be looked at from here.",
            fix="LLMLAB_CLUSTER=local, as root on Linux",
        )

    def throttled(self, pod: Any) -> tuple[int, int]:
        """Periods of the CPU quota in which a pod was held back, and all periods; raises as `processes`."""
        self.processes(pod)
        return 0, 0

    def volume(self, claim: str, namespace: str) -> Path:
        """The folder of this machine behind a bound claim; raises as `processes`."""
        raise Unavailable(
            f"The volumes of a {self.driver} cluster cannot be looked at from here.",
            fix="LLMLAB_CLUSTER=local, as root on Linux",
        )

    @property
    def dns_address(self) -> str | None:
        """The address that kubelet tells pods to ask for names; None: the cluster has a DNS of its own."""
        return None

    @property
    def volumes_at(self) -> str:
        """The folder of a node in which volumes are made for claims."""
        return "/var/lib/llmlab-volumes"

    def add(self, *addons: str, say: Say = quiet, wait: bool = True) -> None:
        """Bring add-ons up, each once: dns, storage, metrics-server, prometheus, keda, gateway-api, envoy-gateway.

        :param wait: False: do not wait for them; the next `add` of the same names does.
        :raises LabError: when one does not become ready, with its last words.
        """
        from ..addons import addons as those

        wanted = [addon for addon in addons if addon not in self.added]
        if wanted:
            there = those.bring(self, wanted, say, wait=wait)
            (self.folder / "added").write_text("\n".join(dict.fromkeys([*self.added, *there])))

    @property
    def added(self) -> list[str]:
        """The add-ons that it has."""
        file = self.folder / "added"
        return file.read_text().split() if file.exists() else []

    @functools.cached_property
    def api(self) -> ApiClient:
        """A client of its API server, as its owner; raises Unavailable when that does not answer."""
        return self._client(None)

    @functools.cached_property
    def learner(self) -> ApiClient:
        """The same as the learner: what the files may not do, the API server refuses by itself."""
        return self._client(LEARNER)

    def _client(self, user: str | None) -> ApiClient:
        from kubernetes import client, config

        from .api_client import Client

        held = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=held)
        held.retries = False
        held.proxy = None
        api = Client(held, self.name)
        if user:
            api.set_default_header("Impersonate-User", user)
        return api

    def path_of(self, api_version: str, kind: str, namespace: str | None, name: str) -> str:
        """Where the API server keeps an object, as its discovery says.

        :raises LabError: when this cluster knows no such kind.
        """
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if api_version not in self._kinds:
            self._kinds[api_version] = self._discover(base)
        if kind not in self._kinds[api_version]:
            del self._kinds[api_version]  # it may be brought later
            raise LabError(
                f'This cluster knows no kind "{kind}" in "{api_version}".',
                fix=self.kubectl("api-resources"),
            )
        plural, namespaced = self._kinds[api_version][kind]
        return f"{base}/namespaces/{namespace}/{plural}/{name}" if namespaced else f"{base}/{plural}/{name}"

    def _discover(self, base: str) -> dict[str, tuple[str, bool]]:
        found = ask(self.api, "GET", base) or {"resources": []}
        return {
            resource["kind"]: (resource["name"], resource["namespaced"])
            for resource in found["resources"]
            if "/" not in resource["name"]
        }

    def kubectl(self, *words: str) -> str:
        """The line to paste into a shell."""
        from ..programs import binaries

        program = "kubectl" if shutil.which("kubectl") else str(binaries.find("kubectl") or "kubectl")
        return shlex.join([program, "--kubeconfig", str(self.kubeconfig), *words])

    def run_kubectl(self, *words: str, input: str | None = None, within: float = 60) -> str:
        """What kubectl prints.

        :raises LabError: with kubectl's own words.
        :raises Unavailable: when the API server does not answer.
        """
        from ..programs import binaries

        program = str(binaries.find("kubectl") or shutil.which("kubectl") or "kubectl")
        line = [program, "--kubeconfig", str(self.kubeconfig), *words]
        # A kubectl of somebody with proxies set would ask them for a loopback address.
        env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        try:
            done = subprocess.run(line, input=input, capture_output=True, text=True, timeout=within, env=env)
        except FileNotFoundError:
            raise LabError("There is no kubectl.", fix="uv run llmlab fetch kubernetes") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"kubectl did not end within {within:.0f} s.", where=shlex.join(words)) from None
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip()
        if "was refused" in said or "Unable to connect" in said:
            raise Unavailable(
                f"The cluster {self.name} does not answer: {said.splitlines()[-1]}",
                fix="uv run llmlab cluster up",
            )
        raise LabError(said or done.stdout.strip(), where=shlex.join(["kubectl", *words]))

    def takes_pods(self) -> bool:
        """Whether its controllers have come to the accounts that pods need: before, the API server refuses pods."""
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        return all(
            any(
                account.metadata.name == "default"
                for account in core.list_namespaced_service_account(name).items
            )
            for name in ("default", "kube-system")
        )

    def facts(self) -> dict[str, Any]:
        """What `llmlab cluster status` shows: driver, Kubernetes version, nodes (name → ready), kubeconfig."""
        from kubernetes import client

        nodes = client.CoreV1Api(self.api).list_node().items
        ready = {
            node.metadata.name: any(
                it.type == "Ready" and it.status == "True" for it in node.status.conditions or ()
            )
            for node in nodes
        }
        return {
            "name": self.name,
            "driver": self.driver,
            "version": client.VersionApi(self.api).get_code().git_version,
            "nodes": ready,
            "runs_pods": self.runs_pods,
            "stands_in": self.stands_in,
            "kubeconfig": str(self.kubeconfig),
        }

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def _yaml(value: Any) -> bytes:
    """JSON, which is YAML but for one thing: YAML knows no pairs of escapes for what needs more than 16 bits."""
    pair = r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"
    return re.sub(pair, lambda found: str(json.loads(f'"{found[0]}"')), json.dumps(value)).encode()


def ask(
    api: ApiClient,
    method: str,
    path: str,
    *,
    query: Sequence[tuple[str, str]] = (),
    body: Any = None,
    content: str = "application/json",
    within: float = 30,
) -> dict[str, Any] | None:
    """One request to an API server: its reply, or None when there is nothing there (404 on GET).

    :raises kubernetes.client.ApiException: for any other refusal, with the server's own words in `body`.
    """
    from kubernetes import client

    headers = {"Accept": "application/json", "Content-Type": content}
    if "yaml" in content:
        body = _yaml(api.sanitize_for_serialization(body))
    asked = api.param_serialize(
        method,
        path,
        query_params=list(query),
        header_params=headers,
        body=body,
        auth_settings=["BearerToken"],
    )
    reply = api.call_api(*asked, _request_timeout=within)
    reply.read()
    if reply.status == 404 and method == "GET":
        return None
    if not 200 <= reply.status <= 299:
        raise client.ApiException(status=reply.status, reason=reply.reason, body=(reply.data or b"").decode())
    found: dict[str, Any] = json.loads(reply.data)
    return found
