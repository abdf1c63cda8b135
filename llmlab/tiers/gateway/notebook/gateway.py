"""A front door as a notebook handles it: `front = lab.front()`, `front.apply()`, `front.ask("/v1/models")`, `front.burst().plot()`.

What goes wrong with the learner's files is shown, not raised, so that the cells after it still run.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from ....errors import LabError
from ....show.bars import steps_bar
from ....show.kept import keep
from ....show.shown import Drawn, Said, shown
from ....system.certificates import Authority
from ...kubernetes.manifests.manifests import Document
from ...kubernetes.notebook.cluster import NAMESPACE, LiveCluster
from .. import figures
from ..clients import HOST, KEYS, TLS, DoorClient, behind, key_secret, new_keys, tls_secret
from ..conditions import GROUPS, settled
from ..door import FrontDoor, door
from . import measured
from .measured import Balanced

if TYPE_CHECKING:
    from ....records.schema import Cell, ServerInfo, Table
    from ....show.bench import Bench

#: Headers of a reply that say something about the door.
TELLING = (
    "location",
    "retry-after",
    "x-served-by",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "set-cookie",
)


class LiveGateway(LiveCluster, what="The front door", again="front = lab.front()"):
    """A cluster with a controller for Gateways, your files in it, and clients of your door. It ends with `lab.stop()`.

    :raises LabError: as `LiveCluster`.
    """

    def __init__(self, lab: Bench) -> None:
        super().__init__(lab, "envoy-gateway")
        self.authority = Authority(f"lab {lab.info.number}")  # who issues the door's certificate
        self.keys = new_keys(60)  # client → its key
        self._fresh = deque(self.keys)  # clients, who asked last in front

    def _given(self) -> Sequence[Document]:
        """The Secrets with the certificate and with the keys."""
        return [
            tls_secret(TLS, NAMESPACE, self.authority.issue(HOST)),
            key_secret(KEYS, NAMESPACE, self.keys),
        ]

    # -- looking -------------------------------------------------------------------------------------------

    @shown
    def said(self) -> Said:
        """What the controller has to say of your Gateways, routes and policies, at the lines of the files."""
        if self.live is None or self.live.applied is None:
            return Said(
                self.live.refused.lines() if self.live and self.live.refused else ["front.apply() first"]
            )
        documents = self.live.applied.documents
        if not any(document.api_version.partition("/")[0] in GROUPS for document in documents):
            return Said(["there is no Gateway, no route and no policy in what was applied"])
        found = settled(self.cluster, documents, 20)
        return Said([*map(str, found)] or ["every Gateway, route and policy is accepted and in force"])

    @shown
    def ask(
        self,
        path: str,
        *,
        client: str | None = "client-00",
        host: str = HOST,
        body: Mapping[str, Any] | None = None,
        plain: bool = False,
        **headers: str,
    ) -> Said:
        """One request through the door, and what came of it.

        :param client: whose key it carries; None: nobody's.
        :param body: JSON; with it the request is a POST.
        :param plain: over HTTP instead of HTTPS.
        :param headers: more of them; x_session is sent as x-session.
        """
        front = self._door(80 if plain else 443)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if client is not None and client not in self.keys:
            raise LabError(f"There is no client {client!r}.", fix='client="client-00", or client=None')
        if client is not None:
            sent["Authorization"] = f"Bearer {self.keys[client]}"
        method = "GET" if body is None else "POST"
        try:
            reply = front.ask(method, path, host, headers=sent, json=body, timeout=120)
        except httpx.HTTPError as error:
            return Said([f"no answer: {error or type(error).__name__}"])
        lines = [f"HTTP {reply.status_code} {reply.reason_phrase}"]
        lines += [f"{name}: {reply.headers[name]}" for name in TELLING if name in reply.headers]
        return Said([*lines, *([reply.text[:400]] if reply.text else [])])

    def _door(self, port: int = 443) -> FrontDoor:
        """Your door, on one of its ports.

        :raises LabError: when your files make none.
        """
        documents = self.live.applied.documents if self.live and self.live.applied else []
        gateways = [document for document in documents if document.kind == "Gateway"]
        if not gateways:
            raise LabError("There is no Gateway in what was applied.", fix="gateway.yaml, then front.apply()")
        gateway = next((it for it in gateways if port in _ports(it)), gateways[0])
        trusted = self.authority.certificate if port == 443 else None
        return door(self.cluster, gateway.name, NAMESPACE, port=port, authority=trusted, within=30)

    def _client(self) -> DoorClient:
        """A client of the door that has asked for nothing yet, or not for long.

        :raises LabError: when your files make no door.
        """
        self._fresh.rotate()
        return DoorClient(self._door(), HOST, self.keys[self._fresh[0]])

    # -- measuring -----------------------------------------------------------------------------------------

    @shown
    def burst(self) -> Drawn:
        """One client asks fifteen times a second, another twice: what is admitted, what waits, what gets 429."""
        rows = measured.burst(self._client(), self._client(), self._behind())
        table = self._kept("burst", measured.BURST, rows)
        served = sum(row["client"] == "busy" and row["status"] == 200 for row in table.dicts())
        return Drawn(table, figures.burst, _by_client(table), {"admitted": served})

    @shown
    def ways(self) -> Drawn:
        """The time to a first token without the door, through it, and through it with a new connection each time."""
        with steps_bar("request") as say:
            rows = measured.ways(self._replicas()[0], self._client(), self._client(), say)
        table = self._kept("ways", measured.WAYS, rows)
        found = figures.ways(table).data["ways"]
        lines = [
            f"{way['way']}: p50 {1000 * way['p50']:.1f} ms, {1000 * way['connect_p50']:.1f} ms more to connect"
            for way in found
        ]
        return Drawn(table, figures.ways, lines, {"added ms": 1000 * (found[1]["p50"] - found[0]["p50"])})

    @shown
    def canary(self) -> Drawn:
        """Who answers while your canary's share is set to 10 %, to 50 %, and to nothing."""
        self._door()
        assert self.live is not None
        applied = self.live.applied
        assert applied is not None
        with steps_bar("step") as say:
            rows = measured.canary(applied, self._client, say)
        table = self._kept("canary", measured.CANARY, rows)
        lines = [
            f"stated {share['share']:.0%}: {share['canary']} of {share['answers']} answers the canary's, {share['failed']} failed"
            for share in figures.canary(table).data["shares"]
            if share["share"] is not None
        ]
        return Drawn(table, figures.canary, lines)

    @shown
    def policies(self) -> Balanced:
        """The same conversations under four ways to choose the replica, through a second door (balancing.yaml)."""
        path = self.lab.info.folder / "balancing.yaml"
        with steps_bar("step") as say:
            say("opening a second door")
            self.cluster.load("llmlab/picker:1", say=say)
            self.cluster.run_kubectl("apply", "-f", str(path))
            try:
                made = door(self.cluster, "bench", NAMESPACE, within=60)
                return measured.policies(self.lab, made, self._behind(), say)
            finally:
                with contextlib.suppress(LabError):
                    self.cluster.run_kubectl("delete", "-f", str(path), "--wait=false", "--ignore-not-found")

    def _lines(self) -> list[str]:
        first, *_, last = self.keys
        return [*super()._lines(), f"clients: {first} to {last}, each with a key of its own"]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _behind(self) -> ServerInfo:
        """The servers, as a record keeps them."""
        return behind(self._replicas(), "20m")

    def _replicas(self) -> list[str]:
        """The addresses of the servers.

        :raises LabError: when none is ready.
        """
        from ...kubernetes.manifests.pods import ready_pods

        found = ready_pods(self.cluster, NAMESPACE, "app=llama-server")
        if not found:
            raise LabError("No replica is ready.", fix="front.apply().ready()")
        return [f"http://{pod.status.pod_ip}:8080" for pod in found]

    def _kept(self, kind: str, columns: dict[str, str], rows: list[list[Cell]]) -> Table:
        return keep(self.lab, kind, columns, rows, kubernetes=self.cluster.facts()["version"])[0]


def _ports(gateway: Document) -> list[Any]:
    """Those of its listeners."""
    return [listener.get("port") for listener in gateway.body["spec"].get("listeners") or ()]


def _by_client(table: Table) -> list[str]:
    """What became of each client's requests."""
    found: dict[str, Counter[Any]] = {}
    for row in table.dicts():
        found.setdefault(str(row["client"]), Counter())[row["status"] or "no answer"] += 1
    return [
        f"{client}: " + ", ".join(f"{count} × {status}" for status, count in statuses.most_common())
        for client, statuses in found.items()
    ]
