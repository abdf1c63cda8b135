"""A client of a server that is reached at an address and wants to hear a name."""

from __future__ import annotations

from typing import Any

import httpx

from .certificates import trust
from .local_client import local_client


def named_client(
    url: str,
    host: str | None,
    *,
    authority: bytes | None = None,
    sni: str | None = None,
    timeout: float | httpx.Timeout = 5.0,
    **options: Any,
) -> httpx.Client:
    """A `local_client` of one server that names this host, and over TLS verifies the certificate for it.

    :param url: of the server; requests may give a path alone.
    :param host: None: what the URL says.
    :param authority: the certificate that a client trusts (PEM); None: the system's.
    :param sni: the name that is said before the certificate is shown; None: the host.
    :param timeout: seconds, for each step by itself.
    :param options: `httpx.Client`'s.
    """
    secure = url.startswith("https:")  # loading the system's authorities takes time, and plain HTTP asks none
    return local_client(
        base_url=url,
        headers={"Host": host} if host else None,
        timeout=timeout,
        transport=_Named(sni or (host and host.partition(":")[0]), trust(authority) if secure else False),
        **options,
    )


class _Named(httpx.HTTPTransport):
    """Says its server's name in the handshake, though it connects to an address."""

    def __init__(self, name: str | None, verify: Any) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._name = name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._name:
            request.extensions = {**request.extensions, "sni_hostname": self._name}
        return super().handle_request(request)
