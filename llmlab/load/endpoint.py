"""Where requests go, and the bytes of one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..system.certificates import trust


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, resolved once before the run so that no request pays for a name."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    prefix: str  # path before /v1
    head: bytes  # header lines every request carries
    name: str | None = None  # said and verified over TLS; None: the host
    session: bytes | None = None  # the start of the header line that says which conversation it is
    keys: tuple[str, ...] = field(default=(), repr=False)
    signed: tuple[bytes, ...] = field(default=(b"",), repr=False)  # for each key its header line

    @classmethod
    def parse(
        cls,
        url: str,
        api_key: str | tuple[str, ...] | None,
        *,
        host: str | None = None,
        authority: bytes | None = None,
        session_header: str | None = None,
    ) -> Endpoint:
        """From `http://host:port/prefix` and the bearer key, if any, or several.

        :param host: that requests name; over TLS its name is said, and the certificate verified for it. None: that of the URL.
        :param authority: the certificate that is trusted (PEM); None: the system's.
        :param session_header: the name of a header that says which conversation a request belongs to; None: no such header.
        """
        parts = urlsplit(url)
        tls = trust(authority) if parts.scheme == "https" else None
        lines = [
            f"Host: {host or parts.netloc.rpartition('@')[2]}",
            "User-Agent: llmlab",
            "Accept: text/event-stream",
            "Content-Type: application/json",
            # llama-server closes after every streamed reply while it advertises keep-alive: a pooled socket
            # is a lost request. So one socket per request, and the server is told.
            "Connection: close",
        ]
        keys = keys_of(api_key)
        return cls(
            parts.hostname or "127.0.0.1",
            parts.port or (443 if tls else 80),
            tls,
            parts.path.rstrip("/"),
            ("\r\n".join(lines) + "\r\n").encode("latin-1"),
            name=host.partition(":")[0] if tls and host else None,
            session=f"{session_header}: ".encode("latin-1") if session_header else None,
            keys=keys,
            signed=tuple(f"Authorization: Bearer {key}\r\n".encode("latin-1") for key in keys) or (b"",),
        )

    def request(self, path: str, body: bytes, *, conversation: int = 0, among: str = "") -> bytes:
        """The bytes of one POST.

        :param conversation: its number: which of several keys is sent, and what the session header says.
        :param among: what tells these conversations from all others, in that header.
        """
        return b"POST %s HTTP/1.1\r\n%s%s%sContent-Length: %d\r\n\r\n%s" % (
            (self.prefix + path).encode("ascii"),
            self.head,
            self.signed[conversation % len(self.signed)],
            b"%s%s-%d\r\n" % (self.session, among.encode("ascii"), conversation) if self.session else b"",
            len(body),
            body,
        )

    def unsaid(self, error: str) -> str:
        """Words of an error without a key: a server may repeat what it was sent, and samples are kept."""
        for key in sorted(filter(None, self.keys), key=len, reverse=True):  # one may begin another
            error = error.replace(key, "(the key)")
        return error


def keys_of(api_key: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The keys, however many there are."""
    return (api_key,) if isinstance(api_key, str) and api_key else tuple(api_key or ())
