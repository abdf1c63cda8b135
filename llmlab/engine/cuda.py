"""What an engine makes of the GPUs that are there: the devices it lists, the machine code it holds, and what keeps it from them.

All of it is what llama-server says of itself: `--list-devices`, and the `system_info` that it prints before it opens a model.
"""

from __future__ import annotations

import functools
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import nvidia, probe
from .architectures import archs, dotted, fit
from .nvidia import NvidiaDriver, Obstacle

BUILD = "llmlab engine build --cuda"
_FAILED = re.compile(r"ggml_cuda_init: failed to initialize CUDA: (.+)")
_NODES = "sudo nvidia-modprobe -u -c=0   (it makes /dev/nvidia-uvm; after a suspend: sudo rmmod nvidia_uvm; sudo modprobe nvidia_uvm)"

#: What CUDA's runtime answers where it cannot start (cudaGetErrorString), and what helps; {driver} and {cuda} are the machine's.
#: Source: CUDA Runtime API, "CUDART error handling" (cudaErrorInsufficientDriver and the others, each with its meaning).
_ERRORS = (
    (
        "CUDA driver version is insufficient",
        "this build was made by a newer CUDA than driver {driver} runs (CUDA up to {cuda})",
        "sudo apt-get install nvidia-driver-580   (or build with this driver's toolkit: "
        f"CUDACXX=/usr/local/cuda-{{cuda}}/bin/nvcc {BUILD})",
    ),
    (
        "unsupported display driver / cuda driver combination",
        "libcuda.so and the kernel's driver {driver} are of different versions",
        "sudo reboot   (in a container: remove its cuda-compat, ldconfig -p | grep libcuda shows which is found)",
    ),
    (
        "forward compatibility was attempted",
        "a cuda-compat library is found before the driver's own, and this GPU may not use it",
        "unset LD_LIBRARY_PATH   (or remove the package cuda-compat)",
    ),
    (
        "system not yet initialized",
        "the GPUs' NVLink fabric is not up",
        "sudo systemctl start nvidia-fabricmanager",
    ),
    (
        "no CUDA-capable device is detected",
        "CUDA finds no device that it may use",
        "env | grep -i visible   (CUDA_VISIBLE_DEVICES, NVIDIA_VISIBLE_DEVICES; ls -l /dev/nvidia* shows what is there)",
    ),
    ("operation not supported on this OS", "CUDA cannot open the driver's device files", _NODES),
    ("initialization error", "CUDA cannot open the driver's device files", _NODES),
    ("unknown error", "CUDA cannot open the driver's device files", _NODES),
    ("out of memory", "another program holds all of the GPU's memory", "nvidia-smi   (it lists who)"),
)


@dataclass(frozen=True, slots=True)
class CudaView:
    """What one engine sees of CUDA."""

    devices: tuple[str, ...] = ()  # its CUDA devices, e.g. "CUDA0: NVIDIA H200 (143156 MiB, 142634 MiB free)"
    compiled: bool | None = None  # whether CUDA is in the build; None: it does not say
    held: tuple[str, ...] = ()  # architectures, as `architectures.fit` reads them; (): it does not say
    obstacle: Obstacle | None = None  # what keeps it from the machine's GPUs; None: nothing
    remark: str | None = None  # what is slow although it works


@functools.lru_cache(maxsize=32)
def view(argv: tuple[str, ...]) -> CudaView:
    """What this engine sees, asked by running it; a GPU for which it has no machine code is an obstacle.

    An engine for the CPU on a machine without a GPU has none: nothing is in its way.
    """
    devices = tuple(line for line in probe.devices(argv) if line.upper().startswith("CUDA"))
    driver = nvidia.driver()
    if not devices and not driver.gpus:
        # it may be there and the driver broken: only a build with CUDA has something in its way then
        there = _FAILED.search(probe.listed(argv)) is not None
        return CudaView(compiled=True if there else None, obstacle=driver.obstacle if there else None)
    text = probe.system_info(argv)
    held = noted(argv) or archs(text)
    compiled = True if devices or held or _FAILED.search(text) else ("CUDA : " in text if text else None)
    if not devices:
        return CudaView(devices, compiled, held, _blind(probe.listed(argv) + text, compiled, driver))
    fits = {capability: fit(capability, held) for capability in driver.capabilities} if held else {}
    holds = "it holds machine code for " + ", ".join(dict.fromkeys(held))
    lacking = [capability for capability, what in fits.items() if what == "none"]
    if lacking:
        pairs = [
            (gpu.name, capability)
            for gpu in driver.gpus
            for capability in lacking
            if gpu.capability == capability
        ]
        names = ", ".join(f"{name} ({dotted(capability)})" for name, capability in pairs)
        what = f"{holds}, and nothing that runs on the {names}: no kernel image is available for execution on the device"
        return CudaView(devices, compiled, held, Obstacle(what, BUILD))
    slow = [dotted(capability) for capability, what in fits.items() if what == "ptx"]
    remark = (
        f"{holds}; for {', '.join(slow)} the driver compiles PTX at the first start, which takes minutes: {BUILD}"
        if slow
        else None
    )
    return CudaView(devices, compiled, held, driver.obstacle if driver.gpus else None, remark)


def forget() -> None:
    """Ask again what was asked: a build has put another program where one was."""
    for kept in (view, probe.listed, probe.system_info):
        kept.cache_clear()


def _blind(text: str, compiled: bool | None, driver: NvidiaDriver) -> Obstacle:
    """Why an engine lists no device of a machine that has a GPU."""
    failed = _FAILED.search(text)
    if failed is None and not compiled:
        return Obstacle("it was built for the CPU alone", BUILD)
    if driver.obstacle is not None:
        return driver.obstacle
    said = failed[1].strip() if failed else "it lists no CUDA device"
    words = {"driver": driver.version or "?", "cuda": driver.cuda or "?"}
    for mark, what, mend in _ERRORS:
        if mark in said:
            return Obstacle(f"{what.format(**words)}: {said}", mend.format(**words))
    return Obstacle(f"CUDA cannot start: {said}", "nvidia-smi   (then, in the same shell: llmlab engine)")


def noted(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The architectures that a build of ours noted when it was installed; (): it is none, or notes none."""
    note = Path(argv[0]).resolve().parent.parent / "build.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return tuple(str(word) for word in json.loads(note.read_text("utf-8")).get("architectures") or ())
    return ()
