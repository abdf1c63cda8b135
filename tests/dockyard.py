"""What the tests of the container platform share."""

from __future__ import annotations

import os
import select
import socket
import threading

from llmlab.tiers.docker import daemon


def held(name: str) -> list[str]:
    """Everything in the daemon that carries one owner's name: containers, networks, volumes, images."""
    client, label = daemon.client(), {"label": f"org.llmlab.owner={name}"}
    found = [container.name for container in client.containers.list(all=True, filters=label)]
    found += [network.name for network in client.networks.list(filters=label)]
    found += [volume.name for volume in client.volumes.list(filters=label)]
    return found + [str(image.id) for image in client.images.list(filters=label)]


class Relay:
    """A socket that leads to the real daemon until it is cut: for the tests, the daemon has died."""

    def __init__(self, path: str) -> None:
        self.path, self._open = path, True
        self._target = daemon.address().removeprefix("unix://")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self._open:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._pairs += [near, far]
            threading.Thread(target=self._pump, args=(near, far), daemon=True).start()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        try:
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (far if end is near else near).sendall(data)
        except (OSError, ValueError):
            return
        finally:
            near.close()
            far.close()

    def cut(self) -> None:
        """The daemon is gone: open connections end, new ones are refused."""
        if not self._open:
            return
        self._open = False
        self._server.close()
        os.unlink(self.path)
        for pair in self._pairs:
            try:
                pair.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
