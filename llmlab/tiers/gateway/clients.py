"""Who may come in: the certificate that the door shows, the clients' keys, and one of them asking."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ... import models
from ...records.schema import ServerInfo
from ...serve.api import Remote
from ...system.certificates import Certificate
from ..kubernetes.addons.addon_objects import secret
from ..kubernetes.manifests.manifests import Document
from .door import FrontDoor

#: What the labs' door is called, and the Secrets that a lab brings along: its certificate, its clients' keys.
HOST, TLS, KEYS = "api.example.com", "llama-tls", "api-keys"


@dataclass(frozen=True, slots=True)
class DoorClient:
    """One client of the door."""

    door: FrontDoor  # that it stands before
    host: str  # that it asks for
    key: str  # sent as the OpenAI API's clients do: Authorization: Bearer KEY

    @property
    def headers(self) -> dict[str, str]:
        """What its requests carry."""
        return {"Authorization": f"Bearer {self.key}"}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request on a connection of its own.

        :param more: as `FrontDoor.ask` takes it.
        :raises httpx.HTTPError: as there.
        """
        headers = {**self.headers, **more.pop("headers", {})}
        return self.door.ask(method, path, self.host, headers=headers, **more)

    def connected(self, *, timeout: float = 10) -> httpx.Client:
        """The same on one connection for all that it asks.

        :param timeout: seconds.
        """
        made = self.door.client(self.host, timeout=timeout)
        made.headers.update(self.headers)
        return made


def behind(addresses: Sequence[str], model: str) -> ServerInfo:
    """The servers behind a door as a record keeps them, asked at addresses of their own.

    :raises LabError: when one does not answer, or the catalogue has no such model.
    """
    asked = []
    for address in addresses:
        with Remote(address) as server:
            asked.append(server.props())
    known = models.get(model)
    return ServerInfo(
        command=["kubectl", "apply", "-k", "."],
        flags={},
        engine="PATH",
        engine_version=str(asked[0].get("build_info", "")),
        model=known.name,
        model_sha256=known.sha256,
        model_parameters=known.parameters,
        model_bytes=known.bytes,
        slots=sum(int(props["total_slots"]) for props in asked),
        ctx_per_slot=min(int(props["default_generation_settings"]["n_ctx"]) for props in asked),
        threads=None,
    )


def new_keys(count: int) -> dict[str, str]:
    """So many clients, each with a key of its own."""
    return {f"client-{number:02d}": secrets.token_hex(16) for number in range(count)}


def tls_secret(name: str, namespace: str, held: Certificate) -> Document:
    """A Secret with a certificate, for the listeners of a Gateway to name: beside the learner's files, as `Applied` takes it."""
    data = {"tls.crt": held.certificate, "tls.key": held.private_key}
    return _document(secret(name, namespace, "kubernetes.io/tls", data))


def key_secret(name: str, namespace: str, keys: Mapping[str, str]) -> Document:
    """A Secret with the clients' keys, an entry for each client, as a SecurityPolicy's `apiKeyAuth` reads it."""
    return _document(
        secret(name, namespace, "Opaque", {client: key.encode() for client, key in keys.items()})
    )


def _document(body: dict[str, Any]) -> Document:
    about = body["metadata"]
    return Document("(the lab's own)", 1, body["kind"], "v1", about["name"], about["namespace"], body)
