"""The NVIDIA driver and the GPUs that it knows, as nvidia-smi says: what is there, or the one sentence and command that help.

Sources of the texts recognised here: nvidia-smi(1), "RETURN VALUE"; NVIDIA's "CUDA on WSL User Guide" and "MIG User Guide"; and
the public threads that are named where the recorded machines of the tests lie (tests/engine/machines).
"""

from __future__ import annotations

import csv
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..system import without
from .architectures import dotted

SECONDS = 10.0  # for nvidia-smi: without the persistence daemon it starts the driver anew, some seconds on a large machine
ROOT = Path("/")
_FIELDS = ("name", "driver_version", "memory.total", "mig.mode.current", "compute_cap")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps servers from the GPU: one sentence, and the command that mends it (`COMMAND   (remark)`, as a need's)."""

    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as its driver describes it."""

    name: str  # e.g. "NVIDIA H200"
    capability: int | None  # 90 for 9.0; None: the driver is too old to say
    memory: int | None  # MiB; None: shared with the CPU, or not said
    mig: bool  # it is split into instances

    @property
    def line(self) -> str:
        """One line for a human."""
        said = [self.name]
        if self.memory is not None:
            said.append(f"{self.memory / 1024:.0f} GiB")
        if self.capability is not None:
            said.append(f"compute capability {dotted(self.capability)}")
        return ", ".join([*said, *(["split by MIG"] if self.mig else [])])


@dataclass(frozen=True, slots=True)
class NvidiaDriver:
    """The driver, its GPUs, and what is wrong with them."""

    version: str | None = None  # e.g. "570.133.20"
    cuda: str | None = None  # the newest CUDA whose PTX it compiles, e.g. "12.8"
    gpus: tuple[Gpu, ...] = ()
    obstacle: Obstacle | None = None  # None: CUDA programs can use them

    @property
    def line(self) -> str:
        """One line for a human: the GPUs and the driver, or what is wrong."""
        if not self.gpus:
            return self.obstacle.what if self.obstacle else "no NVIDIA GPU"
        names = "; ".join(gpu.line for gpu in self.gpus)
        said = f"{names}; driver {self.version or '?'}" + (f" (CUDA up to {self.cuda})" if self.cuda else "")
        return f"{said}: {self.obstacle.what}" if self.obstacle else said

    @property
    def capabilities(self) -> tuple[int, ...]:
        """The compute capabilities of its GPUs, each once, lowest first."""
        return tuple(sorted({gpu.capability for gpu in self.gpus if gpu.capability is not None}))


#: What nvidia-smi prints when it cannot answer, in the order in which it is looked for.
_SAID = (
    (
        "Driver/library version mismatch",
        "the NVIDIA driver was updated and its old kernel module is still loaded (driver/library version mismatch)",
        "sudo reboot",
    ),
    (
        "GPU access blocked by the operating system",
        "Windows does not hand the GPU to this WSL2",
        "wsl --shutdown   (in PowerShell; the NVIDIA driver belongs into Windows, none into WSL2)",
    ),
    (
        "couldn't communicate with the NVIDIA driver",
        "the NVIDIA driver is installed and its kernel module is not loaded",
        "sudo modprobe nvidia   (if it is refused: build it anew, sudo dkms autoinstall; Secure Boot wants it signed)",
    ),
    (
        "Driver Not Loaded",
        "the NVIDIA driver is installed and its kernel module is not loaded",
        "sudo modprobe nvidia",
    ),
    (
        "couldn't find libnvidia-ml",
        "nvidia-smi is here and the driver's libraries are not",
        "sudo ubuntu-drivers install   (Debian: sudo apt-get install nvidia-driver)",
    ),
    (
        "Insufficient Permissions",
        "this user may not open the GPU's device files",
        "sudo usermod -aG video,render $USER   (then log in again; ls -l /dev/nvidia* shows who may)",
    ),
    (
        "Failed to initialize NVML: Unknown Error",
        "this container has lost the GPU's device files",
        "docker restart CONTAINER   (where systemd rules the cgroups, a daemon-reload takes them away)",
    ),
    ("GPU is lost", "the GPU has stopped answering its driver", "sudo reboot"),
    (
        "Unable to determine the device handle",
        "the GPU has stopped answering its driver",
        "sudo reboot   (sudo dmesg | grep -i xid says why)",
    ),
    (
        "No devices were found",
        "the NVIDIA driver is loaded and finds no GPU that works",
        "sudo dmesg | grep -i nvrm   (it says why: power, the open kernel module for this GPU, a driver of another branch)",
    ),
)


@functools.cache
def driver() -> NvidiaDriver:
    """What nvidia-smi says here; asked once in a process. Without a GPU `gpus` is empty and `obstacle` says why."""
    if without.taken("gpu"):
        return NvidiaDriver(obstacle=Obstacle(f"{without.WORDS}: gpu", without.MEND))
    program = shutil.which("nvidia-smi") or next(
        (str(path) for path in (ROOT / "usr/lib/wsl/lib/nvidia-smi",) if os.access(path, os.X_OK)), None
    )
    if program is None:
        return NvidiaDriver(obstacle=_no_program())
    try:
        return _asked(program)
    except subprocess.TimeoutExpired:
        return NvidiaDriver(
            obstacle=Obstacle(
                f"nvidia-smi gave no answer in {SECONDS:.0f} s: the driver hangs",
                "sudo reboot   (sudo dmesg | grep -i xid says why)",
            )
        )
    except OSError as error:
        return NvidiaDriver(
            obstacle=Obstacle(
                f"nvidia-smi cannot be run: {error.strerror}", "sudo apt-get install --reinstall nvidia-utils"
            )
        )


def _asked(program: str) -> NvidiaDriver:
    fields = list(_FIELDS)
    while True:
        done = _run(program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
        unknown = re.search(r'Field "([\w.]+)" is not a valid field', done.stdout + done.stderr)
        if unknown is None or unknown[1] not in fields:
            break
        fields.remove(unknown[1])  # drivers before 510 do not know compute_cap
    said = done.stdout + done.stderr
    for mark, what, mend in _SAID:
        if mark in said:
            return NvidiaDriver(obstacle=Obstacle(what, mend))
    if done.returncode != 0:
        last = next(reversed([line for line in said.splitlines() if line.strip()]), f"code {done.returncode}")
        return NvidiaDriver(
            obstacle=Obstacle(f"nvidia-smi ends with an error: {last}", "nvidia-smi   (it says more)")
        )
    rows = [
        dict(zip(fields, (cell.strip() for cell in row), strict=False))
        for row in csv.reader(done.stdout.splitlines())
        if len(row) == len(fields)
    ]
    gpus = tuple(_gpu(row) for row in rows)
    version = next((row["driver_version"] for row in rows), None)
    head = _run(program, "--query", "--display=COMPUTE").stdout
    cuda = re.search(r"CUDA Version\s*:\s*(\d+\.\d+)", head)
    return NvidiaDriver(version, cuda[1] if cuda else None, gpus, _obstacle(program, gpus, head))


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )


def _gpu(row: dict[str, str]) -> Gpu:
    capability = re.fullmatch(r"(\d+)\.(\d)", row.get("compute_cap", ""))
    memory = row.get("memory.total", "")
    return Gpu(
        name=row["name"],
        capability=int(capability[1]) * 10 + int(capability[2]) if capability else None,
        memory=int(memory) if memory.isdecimal() else None,
        mig=row.get("mig.mode.current") == "Enabled",
    )


def _obstacle(program: str, gpus: Sequence[Gpu], head: str) -> Obstacle | None:
    """What keeps a CUDA program from GPUs that the driver knows."""
    if not gpus:
        return Obstacle("the NVIDIA driver is loaded and lists no GPU", "sudo dmesg | grep -i nvrm")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        return Obstacle(
            f"CUDA_VISIBLE_DEVICES={hidden} hides every GPU from CUDA", "unset CUDA_VISIBLE_DEVICES"
        )
    if all(gpu.mig for gpu in gpus) and "MIG " not in _run(program, "--list-gpus").stdout:
        return Obstacle(
            "MIG is on and no instance was made, so CUDA sees no device",
            "sudo nvidia-smi mig --create-gpu-instance 0 --default-compute-instance   (or, the whole GPU again: sudo nvidia-smi -mig 0)",
        )
    modes = re.findall(r"Compute Mode\s*:\s*(\w+)", head)
    if modes and all(mode == "Prohibited" for mode in modes):
        return Obstacle(
            "the GPU's compute mode is Prohibited: no program may compute on it",
            "sudo nvidia-smi --compute-mode=DEFAULT",
        )
    if re.search(r"CUDA Version\s*:\s*(N/A|Not Found|ERR!)", head):
        return Obstacle(
            "the driver's libcuda.so is not here, only what nvidia-smi needs",
            "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …   (outside a container: "
            "sudo apt-get install libcuda1)",
        )
    return None


def _no_program() -> Obstacle:
    """Why there is no nvidia-smi: a driver that a container does not show, a GPU without a driver, or no GPU at all."""
    if (ROOT / "proc/driver/nvidia/version").is_file() or (ROOT / "dev/nvidiactl").exists():
        return Obstacle(
            "the machine has an NVIDIA driver and this container does not show it (no nvidia-smi)",
            "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …",
        )
    if (ROOT / "dev/dxg").exists():
        return Obstacle(
            "this is WSL2, and its Windows hands over no NVIDIA GPU (no nvidia-smi)",
            "nvidia-smi.exe   (if Windows has none either: the driver from nvidia.com/drivers, into Windows, none into WSL2)",
        )
    for device in (ROOT / "sys/bus/pci/devices").glob("*"):
        if _read(device / "vendor") == "0x10de" and _read(device / "class").startswith("0x03"):
            return Obstacle(
                "there is an NVIDIA GPU and no driver for it (no nvidia-smi)",
                "sudo ubuntu-drivers install   (Debian: sudo apt-get install nvidia-driver)",
            )
    return Obstacle("there is no NVIDIA GPU (no nvidia-smi on PATH)", "a machine with an NVIDIA GPU")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
