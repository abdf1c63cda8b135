"""TCP ports of this machine: a free one, and who holds a taken one."""

from __future__ import annotations

import contextlib
import socket

import psutil


def free_port() -> int:
    """A TCP port nobody listens on now (another process may still take it before the server does)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_holder(port: int) -> str | None:
    """`pid 4711 (python3)` for who listens on a TCP port of this machine; None when nobody does."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS without root
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            name = ""
            with contextlib.suppress(psutil.Error):
                name = f" ({psutil.Process(connection.pid).name()})" if connection.pid else ""
            return f"pid {connection.pid}{name}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return "another process"
    return None
