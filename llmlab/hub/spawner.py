"""Walls between learners who share a machine, for the two spawners that start servers as system users; run in the hub's environment.

A hub's jupyterhub_config.py says `from llmlab.hub.spawner import walls` and `walls(c)`; The Littlest JupyterHub's has a folder for that.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, Spawner

from . import network

#: What systemd adds to a learner's unit: processes of others are not seen, neither are their /tmp and /dev/shm.
UNIT = {
    "ProtectProc": "invisible",
    "PrivateTmp": "yes",
    "TemporaryFileSystem": "/dev/shm:mode=1777",
    "TasksMax": "1024",
}
_NEWNS, _NEWNET = 0x00020000, 0x40000000  # linux/sched.h
_NOSUID, _NODEV, _NOEXEC, _REC, _PRIVATE = 2, 4, 8, 0x4000, 0x40000  # linux/mount.h


def walls(c: Any) -> None:
    """Give each learner of this hub a network, a view of processes, a /tmp and a /dev/shm of their own.

    With SystemdSpawner (The Littlest JupyterHub) systemd makes them, otherwise `WalledSpawner` does.

    :param c: the hub's configuration, as jupyterhub_config.py has it.
    """
    c.JupyterHub.hub_ip = network.hub_address()
    c.Spawner.pre_spawn_hook = before
    c.Spawner.post_stop_hook = after
    c.SystemdSpawner.unit_extra_properties = UNIT
    if "spawner_class" not in c.JupyterHub:
        c.JupyterHub.spawner_class = WalledSpawner


def before(spawner: Spawner) -> None:
    """What happens before a learner's server starts: their network is there, and the server listens in it."""
    mine = network.give(spawner.user.name)
    spawner.ip = mine.inside
    with suppress(KeyError):  # TLJH's learners have another name as users, and closed homes
        home = Path(pwd.getpwnam(spawner.user.name).pw_dir)
        home.chmod(home.stat().st_mode & 0o700)
    if hasattr(spawner, "unit_extra_properties"):
        spawner.unit_extra_properties = UNIT | {"NetworkNamespacePath": str(mine.path)}


def after(spawner: Spawner) -> None:
    """What happens when it has stopped."""
    network.take_down(spawner.user.name)


class WalledSpawner(LocalProcessSpawner):  # type: ignore[misc]  # JupyterHub has no types
    """Starts a learner's server as their system user, in their network, seeing no processes but theirs. Needs root, as its hub does."""

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the new process does before it becomes the learner's."""
        become = super().make_preexec_fn(name)
        path = network.LearnerNetwork(network.namespace(self.user.name), 0).path
        call = ctypes.CDLL(None, use_errno=True)

        def enter() -> None:
            with path.open() as handle:
                _must(call.setns(handle.fileno(), _NEWNET), "setns")
            _must(call.unshare(_NEWNS), "unshare")
            _must(call.mount(None, b"/", None, _REC | _PRIVATE, None), "mount /")
            guarded = _NOSUID | _NODEV
            _must(call.mount(b"proc", b"/proc", b"proc", guarded | _NOEXEC, b"hidepid=2"), "mount /proc")
            for place in (b"/tmp", b"/dev/shm"):
                _must(call.mount(b"tmpfs", place, b"tmpfs", guarded, b"mode=1777"), f"mount {place.decode()}")
            become()

        return enter


def _must(code: int, what: str) -> None:
    if code:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
