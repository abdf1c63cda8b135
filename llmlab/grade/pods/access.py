"""One namespace of one cluster, as a kubeconfig names it: what is asked of its API server, and how often."""

from __future__ import annotations

import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import urllib3

from ...errors import LabError, Unavailable
from ...tiers.kubernetes.drivers import hold

OUTAGE = 600.0  # seconds that a control plane may be away
PAUSE = 1.0  # seconds between two tries meanwhile
WITHIN = 30.0  # seconds for a request
T = TypeVar("T")
NAMESPACE = "llmlab-grading"
ON = "--on kubernetes --context NAME"


class ApiRefusal(Exception):
    """The API server does not do it; `status` is HTTP's, `message` its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Access:
    """A client of that cluster's API server; `close` it.

    :param kubeconfig: the file; None: where kubectl looks.
    """

    def __init__(self, context: str, namespace: str = NAMESPACE, kubeconfig: str | None = None) -> None:
        from kubernetes import client, config

        self.context = context
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.requests = 0  # that were made
        self.patience = OUTAGE  # seconds that it may be away
        self.say: Callable[[str], None] = lambda _: None  # told when it is away, and when it is back
        held = client.Configuration()
        try:
            config.load_kube_config(kubeconfig, context=context, client_configuration=held)
        except (config.ConfigException, OSError) as error:
            raise LabError(
                f"The context {context} cannot be used: {error}", fix="kubectl config get-contexts"
            ) from None
        held.retries = False
        if kubeconfig is not None:  # a cluster of this machine's
            held.proxy = None
        self._api = client.ApiClient(held)

    def close(self) -> None:
        """Let go of its connections."""
        self._api.close()

    def path(self, kind: str, name: str = "", *, part: str = "") -> str:
        """Where objects of the namespace are kept: pods, secrets, events, jobs, networkpolicies."""
        groups = {"jobs": "/apis/batch/v1", "networkpolicies": "/apis/networking.k8s.io/v1"}
        words = [groups.get(kind, "/api/v1"), "namespaces", self.namespace, kind, name, part]
        return "/".join(word for word in words if word)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        content: str = "application/json",
    ) -> dict[str, Any]:
        """One request and its reply; a server that is away is waited for.

        :raises ApiRefusal: when it says no.
        :raises Unavailable: when it is away for longer than `patience`.
        """

        def once() -> dict[str, Any]:
            with self._open(method, path, body, query=query, content=content) as reply:
                return msgspec.json.decode(reply.read(), type=dict[str, Any])

        return self._patiently(once)

    def read(self, kind: str, query: Sequence[tuple[str, str]], shape: type[T]) -> T:
        """A list of one kind of objects, of which only what `shape` names is kept; raises as `ask`."""

        def once() -> T:
            with self._open("GET", self.path(kind), None, query=query) as reply:
                return msgspec.json.decode(reply.read(), type=shape)

        return self._patiently(once)

    @contextmanager
    def stream(
        self, path: str, query: Sequence[tuple[str, str]] = (), *, within: float = WITHIN
    ) -> Iterator[Iterator[bytes]]:
        """The lines of a long reply as they come.

        :param within: seconds between two of them.
        :raises ApiRefusal: when the server says no.
        :raises urllib3.exceptions.HTTPError: when it is away, also in the middle.
        """
        with self._open("GET", path, None, query=query, within=within) as reply:
            yield _lines(reply)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        query: Sequence[tuple[str, str]],
        content: str = "application/json",
        within: float = WITHIN,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        self.requests += 1
        asked = self._api.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": "application/json, */*", "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        answered = self._api.call_api(*asked, _request_timeout=(10, within))
        reply: urllib3.BaseHTTPResponse = answered.response
        try:
            if not 200 <= reply.status <= 299:
                raise ApiRefusal(reply.status, _message(reply.read()))
            yield reply
        finally:
            reply.close()  # what was read to its end has let go of its connection already

    def _patiently(self, once: Callable[[], T]) -> T:
        """Try until it is done: while the server is away, or has no time."""
        began, told = time.monotonic(), False
        pause = threading.Event()
        while True:
            try:
                found = once()
            except (urllib3.exceptions.HTTPError, ApiRefusal) as error:
                busy = isinstance(error, ApiRefusal) and (error.status == 429 or error.status >= 500)
                if isinstance(error, ApiRefusal) and not busy:
                    raise
                if time.monotonic() - began > self.patience:
                    raise Unavailable(
                        f"The control plane of {self.context} has not answered for {self.patience:.0f} s: {error}",
                        fix=f"kubectl --context {self.context} get --raw /readyz; then the same command goes on",
                    ) from None
                if not told:
                    self.say(f"the control plane of {self.context} does not answer: waiting for it")
                    told = True
                pause.wait(PAUSE)
            else:
                if told:
                    self.say(f"the control plane of {self.context} is back")
                return found


def open_access(context: str | None, namespace: str | None) -> Access:
    """The cluster that somebody names: a context of their kubeconfig, or the one that `llmlab cluster up` holds.

    :raises LabError: when none is named, or there is none of that name: with those that there are.
    """
    theirs, ours = contexts()
    known = [*theirs, *ours]
    listed = ", ".join(known) or "none: bring one, or `llmlab cluster up`"
    if not context:
        raise LabError(
            f"Which cluster? Grading takes none by itself, not the current one either. There are: {listed}.",
            where="--context",
            fix=f"llmlab grade … {ON.replace('NAME', known[0] if known else 'NAME')}",
        )
    if context not in known:
        raise LabError(
            f"There is no context {context}. There are: {listed}.", where="--context", fix="one of these"
        )
    return Access(context, namespace or NAMESPACE, ours.get(context))


def contexts() -> tuple[list[str], dict[str, str]]:
    """The contexts of the user's kubeconfig, and those of a cluster of `llmlab cluster up` with their file."""
    from kubernetes import config

    theirs, ours = [], {}
    try:
        theirs = [found["name"] for found in config.list_kube_config_contexts()[0]]
    except config.ConfigException:
        pass
    cluster = hold.running()
    if cluster is not None and cluster.kubeconfig.exists():
        file = str(cluster.kubeconfig)
        ours = {found["name"]: file for found in config.list_kube_config_contexts(file)[0]}
    return [name for name in theirs if name not in ours], ours


def image_at(access: Access, image: str) -> str:
    """The reference of an image; an archive of one (as `docker save` writes it) is brought to the nodes of a cluster of this machine's.

    :raises LabError: for an archive that is none, or a cluster that takes none.
    """
    archive = Path(image)
    if not archive.is_file():
        return image
    cluster = hold.running()
    if cluster is None or access.kubeconfig != str(cluster.kubeconfig):
        raise LabError(
            f"{access.context} takes images from a registry alone.",
            where=image,
            fix=f"docker load -i {image}, push the image, and name it: --image REGISTRY/NAME:TAG",
        )
    try:
        with tarfile.open(archive) as tar, tar.extractfile("manifest.json") as file:  # type: ignore[union-attr]
            name = str(json.load(file)[0]["RepoTags"][0])
    except (tarfile.TarError, KeyError, IndexError, ValueError, TypeError) as error:
        raise LabError(
            f"{archive.name} is no archive of an image: {error}", where=image, fix="docker save -o …"
        ) from None
    cluster.load_archive(archive)
    return name


def _lines(reply: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for data in reply.stream(1 << 16, decode_content=True):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:500]


def is_there(kubeconfig: str | None) -> bool:
    """Whether there is still a file that says how a cluster is reached."""
    return kubeconfig is None or Path(kubeconfig).exists()
