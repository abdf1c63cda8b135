"""The one HTTP client for what runs on this machine: a server, a container, a pod, an emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def local_client(*, timeout: float | httpx.Timeout = 5.0, **options: Any) -> httpx.Client:
    """`with local_client() as client: client.get(url)`. No proxy that the environment names is asked: it cannot come here.

    :param timeout: seconds, for each step by itself: connecting, each piece that is written, each wait for a piece of the reply. So a
        long stream takes as long as it takes, and only one that stops for so long is given up.
    :param options: `httpx.Client`'s.
    """
    import httpx

    return httpx.Client(timeout=timeout, trust_env=False, **options)
