"""A Compose project as it runs: its door, its replicas, its Prometheus and Alertmanager, found by what answers.

What a check or a notebook asks of it lives with them; here is only how it is found and asked.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ...errors import LabError
from ...load import Target
from ...load.long_stream import bursts, is_whole
from ...records.schema import ServerInfo
from ...serve.api import numbers
from ...system.lease import held_back
from ...system.local_client import local_client
from ..docker.container import Container, processes
from .furnish import MODEL
from .project import Project, service_of
from .relay import IMAGE, Relay

REPLICA, PROMETHEUS, ALERTMANAGER = 8080, 9090, 9093  # ports inside the containers, as the lab says
#: Variables of the learner's shell that must not decide what a check sees: a clean project has none of them.
CLEAN = {
    name: ""
    for name in (
        "LLAMA_API_KEY",
        "API_KEY",
        "GRAFANA_PASSWORD",
        "GF_SECURITY_ADMIN_PASSWORD",
        "COMPOSE_PROFILES",
    )
}

T = TypeVar("T")


class Fleet:
    """A project that is up, and the key that its door asks for. Ends with its project."""

    def __init__(self, project: Project, key: str) -> None:
        assert project.claim is not None, "bring the project up first"
        self.project = project
        self.key = key  # what the door lets in with
        self.relay = Relay(project.claim)  # the way to containers that publish nothing
        self._door: str | None = None
        self._service: str | None = None

    # -- what there is --------------------------------------------------------------------------------

    @property
    def service(self) -> str:
        """The service whose containers run llama-server: the one to be scaled.

        :raises LabError: when none does.
        """
        if self._service is None:
            for container in self.project.containers():
                if container.status == "running" and any(
                    "llama-server" in process["args"] for process in processes(container)
                ):
                    self._service = service_of(container)
                    break
            else:
                raise LabError("No container runs llama-server.", where=self.project.file.name)
        return self._service

    def replicas(self) -> list[Any]:
        """The containers of that service that run now."""
        return [
            container for container in self.project.containers(self.service) if container.status == "running"
        ]

    def door(self, within: float = 30) -> str:
        """The published address that answers as a llama-server does.

        :raises LabError: when none does in time, with what each published address said.
        """
        if self._door is None:
            self._door = wait(self._find_door, within=within, what="the door to answer")
        return self._door

    def _find_door(self) -> tuple[str | None, str]:
        said = []
        # A proxy before a replica that is published as well: clients come in where the many are behind one.
        places = sorted(self.project.addresses(), key=lambda place: service_of(place[0]) == self.service)
        headers = {"Authorization": f"Bearer {self.key}", "Connection": "close"}
        for container, address in places:
            with contextlib.suppress(httpx.HTTPError):
                for path in ("/health", "/v1/models"):
                    with local_client(headers=headers) as client:
                        reply = client.get(address + path)
                    if reply.status_code in (200, 401) and _json(reply) is not None:
                        return address, ""
                    said.append(f"{service_of(container)} {path}: {reply.status_code}")
        unwell = self.project.unwell()
        if unwell:  # it will not answer either, and has said why
            raise LabError("The door does not answer.\n" + "\n".join(unwell), where=self.project.file.name)
        return None, "; ".join(said) or "no published port answers"

    def long_stream(self, seconds: float) -> tuple[str, float]:
        """A healthy stream through the door that takes so long: how it ended, after how many seconds.

        The replicas write in bursts, with half a second between two pieces; when it has gone on for long enough they do the rest at once.
        """
        body = {"prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "stream": True}
        headers = {"Authorization": f"Bearer {self.opening()}", "Connection": "close"}
        began = time.monotonic()
        try:
            with (
                local_client(timeout=60) as client,
                client.stream("POST", f"{self.door()}/v1/completions", json=body, headers=headers) as reply,
            ):
                how = (
                    f"HTTP {reply.status_code}"
                    if reply.status_code != 200
                    else "whole"
                    if is_whole(reply.iter_bytes(), self._halting(), seconds)
                    else "it ended without [DONE]"
                )
        except httpx.HTTPError as error:
            how = f"cut off ({type(error).__name__})"
        return how, time.monotonic() - began

    def _halting(self) -> AbstractContextManager[None]:
        """The replicas go on in short bursts.

        Not by `docker kill -s STOP`: what was sent a signal so is never restarted again, whatever its policy says (Docker 20.10).
        """
        from docker.errors import APIError

        containers = self.replicas()

        def each(act: Callable[[Any], None]) -> None:
            for container in containers:
                with contextlib.suppress(APIError):  # it has just ended
                    act(container)

        return bursts(
            lambda: each(lambda container: container.pause()),
            lambda: each(lambda container: container.unpause()),
            going=0.02,
            stopped=0.4,
        )

    def target(self) -> Target:
        """The door, for `llmlab.load`."""
        from ... import models

        slots, context, build = self.slots()
        model = models.get(MODEL)
        command = next(iter(self.replicas())).attrs["Config"]["Cmd"] or []
        info = ServerInfo(
            command=["docker", "compose", "up", "--scale", f"{self.service}={len(self.replicas())}"],
            flags={"command": " ".join(command)},
            engine="PATH",
            engine_version=build,
            model=MODEL,
            model_sha256=model.sha256,
            model_parameters=model.parameters,
            model_bytes=model.bytes,
            slots=sum(slots),
            ctx_per_slot=min(context),
            threads=None,
        )
        return Target(url=self.door(), api_key=self.opening(), info=info)

    def opening(self) -> str:
        """The key that opens the door: the one that was given, else one that lies open in a broken file."""
        return next((key for key in self.keys() if opens(self.door(), key)), self.key)

    # -- the replicas ---------------------------------------------------------------------------------

    def ask(self, replica: Any, path: str, *, key: str | None = None) -> httpx.Response:
        """GET a path of one replica, past the door."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return self.relay.get(replica, REPLICA, path, headers=headers)

    def keys(self) -> list[str]:
        """Keys to try: the one that was given, then what the containers carry openly (in a file that is broken)."""
        found = [self.key]
        for replica in self.replicas():
            found += [
                setting.partition("=")[2]
                for setting in replica.attrs["Config"]["Env"] or []
                if "KEY" in setting
            ]
        return list(dict.fromkeys(filter(None, found)))

    def props(self, replica: Any) -> dict[str, Any]:
        """`/props` of one replica, with whichever key it takes.

        :raises LabError: when it takes none.
        """
        for key in self.keys():
            reply = self.ask(replica, "/props", key=key)
            found = _json(reply)
            if reply.status_code == 200 and isinstance(found, dict):
                return found
        raise LabError(f"{replica.name} does not take the key in secrets/api_key: HTTP {reply.status_code}.")

    def slots(self) -> tuple[list[int], list[int], str]:
        """Slots of each replica, context of each one's slots in tokens, and the engine's build."""
        props = [self.props(replica) for replica in self.replicas()]
        return (
            [int(prop["total_slots"]) for prop in props],
            [int(prop["default_generation_settings"]["n_ctx"]) for prop in props],
            str(props[0].get("build_info", "")) if props else "",
        )

    def counters(self) -> dict[str, dict[str, float]]:
        """`/metrics` of every replica, by container name: metric -> value.

        :raises LabError: when one gives none.
        """
        found = {}
        for replica in self.replicas():
            for key in self.keys():
                reply = self.ask(replica, "/metrics", key=key)
                if reply.status_code == 200:
                    break
            else:
                raise LabError(f"{replica.name} /metrics: HTTP {reply.status_code}. Is --metrics on?")
            found[replica.name] = numbers(reply.text)
        return found

    def quiet(self, within: float = 15) -> dict[str, dict[str, float]]:
        """The counters once no replica works on anything (they move only when a request ends)."""

        def still() -> tuple[dict[str, dict[str, float]] | None, str]:
            now = self.counters()
            busy = sum(
                metrics.get("requests_processing", 0) + metrics.get("requests_deferred", 0)
                for metrics in now.values()
            )
            return (None, f"{busy:.0f} requests in work") if busy else (now, "")

        return wait(still, within=within, what="the replicas to be idle")

    def crash(self, replica: Any) -> None:
        """Kill a replica's main process with SIGKILL, as the kernel would: `docker kill` counts as a wish, and no
        restart policy acts on it. Only the host's process namespace can do that to a container's first process.
        """
        replica.reload()
        pid = int(replica.attrs["State"]["Pid"])
        with Container(
            IMAGE,
            ["sh", "-c", f"kill -9 {pid}"],
            claim=self.project.claim,
            pid_mode="host",
            user="0",
            network_mode="none",
        ) as killer:
            killer.raw.wait(timeout=20)

    @contextlib.contextmanager
    def loading(self) -> Iterator[bool]:
        """A replica that starts meanwhile loads its model until the context ends: it runs, and answers 503.

        Yields whether this system can do that (`lease.held_back`). Replicas that run keep the file that they have mapped.
        """
        model = self.project.file.parent / "models" / "model.gguf"
        part = model.with_suffix(".part")
        shutil.copy(model, part)  # with its mode: another user reads it in the container
        part.replace(model)
        with held_back(model) as held:
            yield held

    # -- Prometheus and Alertmanager ------------------------------------------------------------------

    def prometheus(self, path: str, **params: Any) -> Any:
        """What Prometheus' API says to a GET, its `data`.

        :raises LabError: when there is no Prometheus, or it refuses (a query that does not parse: with its words).
        """
        reply = self.relay.get(
            self._found(PROMETHEUS, "/api/v1/status/buildinfo"), PROMETHEUS, path, params=params
        )
        found = _json(reply)
        if not isinstance(found, dict) or found.get("status") != "success":
            raise LabError(f"Prometheus: {(found or {}).get('error') or reply.text[:300]}")
        return found["data"]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are firing, as Alertmanager knows them.

        :raises LabError: when there is no Alertmanager.
        """
        reply = self.relay.get(
            self._found(ALERTMANAGER, "/api/v2/status"),
            ALERTMANAGER,
            "/api/v2/alerts",
            params={"active": "true"},
        )
        found = _json(reply)
        return [target for target in found or [] if target["status"]["state"] == "active"]

    def _found(self, port: int, path: str) -> Any:
        name = {PROMETHEUS: "Prometheus", ALERTMANAGER: "Alertmanager"}[port]
        for container in self.project.containers():
            if container.status == "running" and service_of(container) != self.service:
                with contextlib.suppress(LabError):
                    if self.relay.get(container, port, path).status_code == 200:
                        return container
        raise LabError(f"No container answers as {name} on port {port}.", where=self.project.file.name)

    def scraped(self) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Prometheus' active targets, and for each replica's name the state of the target that is that replica."""
        targets = self.prometheus("/api/v1/targets", state="active")["activeTargets"]
        hosts = {httpx.URL(target["scrapeUrl"]).host: target["health"] for target in targets}
        states = {}
        for replica in self.replicas():
            networks = (replica.attrs["NetworkSettings"]["Networks"] or {}).values()
            names = {network.get("IPAddress") for network in networks} | {replica.name, replica.id[:12]}
            states[replica.name] = next((hosts[name] for name in names if name in hosts), "no target")
        return targets, states

    def series(
        self, expr: str, *, seconds: float = 60
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """A query over the last seconds: for each series its labels and its finite points (time, value)."""
        end = time.time()
        step = max(1.0, seconds / 120)
        data = self.prometheus("/api/v1/query_range", query=expr, start=end - seconds, end=end, step=step)
        found = []
        for result in data["result"]:
            points = [(float(at), float(value)) for at, value in result["values"]]
            found.append((result["metric"], [(at, value) for at, value in points if math.isfinite(value)]))
        return [series for series in found if series[1]]

    def close(self) -> None:
        """End the relay; the project has an owner of its own."""
        self.relay.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(LabError):
            self.close()


def opens(address: str, key: str) -> bool:
    """Whether a key is taken there (an empty one: whether none is asked for)."""
    headers = {"Connection": "close"} | ({"Authorization": f"Bearer {key}"} if key else {})
    with local_client(timeout=10, headers=headers) as client:
        return client.get(f"{address}/v1/models").status_code == 200


def served(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]], *, tokens: int
) -> dict[str, int]:
    """Requests that each replica answered between two looks, all of `tokens` new tokens (llama-server counts tokens)."""
    return {
        name: round(
            (now["tokens_predicted_total"] - before.get(name, {}).get("tokens_predicted_total", 0)) / tokens
        )
        for name, now in after.items()
    }


def wait(look: Callable[[], tuple[T | None, str]], *, within: float, what: str, every: float = 0.2) -> T:
    """Look until there is something; what the last look said is in the error.

    :raises LabError: when there is nothing in time.
    """
    deadline = time.monotonic() + within
    while True:
        found, said = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise LabError(f"Waited {within:.0f} s for {what}: {said}.")
        time.sleep(every)


def _json(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None
