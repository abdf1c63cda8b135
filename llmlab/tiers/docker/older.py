"""A container as on an older CPU: its program under QEMU's user-mode emulator, which knows only that CPU's instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .container import Container
from .daemon import client, speaking
from .images import QEMU, ensure
from .owning import Claim

#: No AVX on x86-64 (a Nehalem of 2008), no dot product on Arm (a Cortex-A53 of 2012).
CPUS = {"x86_64": ("qemu-x86_64", "Nehalem"), "aarch64": ("qemu-aarch64", "cortex-a53")}


def cpu() -> str:
    """The older CPU that stands beside this machine's."""
    return CPUS[_architecture()][1]


def _architecture() -> str:
    with speaking():
        return str(client().info()["Architecture"])


def _anywhere(options: Mapping[str, Any]) -> dict[str, str]:
    """The address at which llama-server answers where it is published."""
    port = {"LLAMA_ARG_PORT": str(options["publish"])} if options.get("publish") else {}
    return {"LLAMA_ARG_HOST": "0.0.0.0", **port}


def run_on_older_cpu(
    image: str, program: str, arguments: Sequence[str], *, claim: Claim, **options: Any
) -> Container:
    """Run `program` of an image on an older CPU; options as `Container` takes them.

    The image's own health check is left out: it runs on this CPU, its patience is meant for a program that does too, and
    some end a container that they find too slow. What the emulator costs is not the image's.

    A start script is left out with the entry point, and with it what it says of the address: llama-server's own variables say
    it instead (a flag among `arguments` still counts more).

    :param program: its path in the image (the image's entry point is not used: the emulator takes its place).
    """
    ensure([QEMU])
    emulator, name = CPUS[_architecture()]
    volume = f"{claim.name}-qemu"
    with speaking():
        client().volumes.create(volume, labels=claim.labels)
    # A new volume takes over what the image has in that place.
    Container.created(QEMU, claim=claim, volumes={volume: {"bind": "/qemu", "mode": "rw"}}).close()
    volumes = {volume: {"bind": "/qemu", "mode": "ro"}}
    return Container(
        image,
        ["-cpu", name, program, *arguments],
        entrypoint=f"/qemu/{emulator}",
        claim=claim,
        volumes=volumes,
        **{"healthcheck": {"test": ["NONE"]}, "environment": _anywhere(options), **options},
    )
