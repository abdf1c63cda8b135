"""The CUDA toolkit that a build uses: its compiler, and whether it makes machine code that runs on the GPUs of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from ..errors import LabError
from . import nvidia
from .architectures import TOOLKITS, dotted, highest, numbers, refused, too_new
from .nvidia import Gpu, NvidiaDriver

#: CMake's own variable for the architectures of a build whose machine has no GPU (a login node, an image's builder).
VARIABLE = "CUDAARCHS"
_WITHOUT = "llmlab engine build (the CPU alone)"


@dataclass(frozen=True, slots=True)
class CudaToolkit:
    """A CUDA compiler, and what it is to make machine code for."""

    nvcc: str  # its path
    version: str  # e.g. "12.8"
    architectures: tuple[str, ...]  # in CMake's words, e.g. ("90-real",)


def chosen() -> CudaToolkit:
    """The compiler of CUDACXX, PATH or /usr/local/cuda, for the GPUs that are here alone: a build of minutes, not of an hour.

    :raises LabError: no nvcc, or one that does not run; no GPU and no CUDAARCHS; a toolkit too old or too new for a GPU here, or
        whose programs the driver does not run. Each says which toolkit would do.
    """
    nvcc = _nvcc()
    version = _version(nvcc)
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return CudaToolkit(nvcc, version, tuple(word for word in re.split(r"[;,\s]+", named) if word))
    driver = nvidia.driver()
    if not driver.capabilities:
        raise _no_gpu(driver)
    for gpu in driver.gpus:
        _fits(nvcc, version, gpu)
    why = too_new(version, driver.version) if driver.version else None
    if why:
        major = driver.cuda or "of the driver"
        raise LabError(
            f"This toolkit is too new for the driver: {why}.",
            where=f"{nvcc}; {driver.line}",
            fix=f"sudo apt-get install {_package(driver.cuda) if driver.cuda else 'cuda-toolkit-12-8'}; "
            f"CUDACXX=/usr/local/cuda-{major}/bin/nvcc llmlab engine build --cuda",
            without="a newer driver: sudo apt-get install nvidia-driver-580; sudo reboot",
        )
    return CudaToolkit(nvcc, version, tuple(map(_word, driver.capabilities)))


def _word(capability: int) -> str:
    """CMake's word for machine code of one GPU: llama.cpp makes of 120 a 120a, code for that one alone (its ggml-cuda/CMakeLists.txt)."""
    return f"{capability}a-real" if capability // 10 == 12 else f"{capability}-real"


def _fits(nvcc: str, version: str, gpu: Gpu) -> None:
    why = refused(gpu.capability, version) if gpu.capability is not None else None
    if gpu.capability is None or why is None:
        return
    first, last = TOOLKITS[gpu.capability]
    right = first if numbers(version) < numbers(first) else last or first
    most = highest(version)
    raise LabError(
        f"This toolkit makes no machine code for the {gpu.name} (compute capability {dotted(gpu.capability)}): {why}.",
        where=f"{nvcc}, CUDA {version}"
        + (f", which makes code up to {dotted(most)}" if most is not None else ""),
        fix=f"sudo apt-get install {_package(right)}; CUDACXX=/usr/local/cuda-{right}/bin/nvcc llmlab engine build --cuda",
        without=_WITHOUT,
    )


def _no_gpu(driver: NvidiaDriver) -> LabError:
    if driver.gpus:
        what = "The driver does not say the GPU's compute capability, so there is nothing to build for."
    else:
        what = f"No GPU to build for: {driver.obstacle.what if driver.obstacle else 'the driver lists none'}."
    return LabError(
        what,
        where=driver.line,
        fix=driver.obstacle.mend if driver.obstacle else "sudo apt-get install nvidia-driver-580",
        without=f"{VARIABLE}=90-real llmlab engine build --cuda builds for a machine elsewhere (90: Hopper)",
    )


def _package(version: str) -> str:
    return "cuda-toolkit-" + version.replace(".", "-")


def _version(nvcc: str) -> str:
    """`Cuda compilation tools, release 12.8, V12.8.93` as "12.8"."""
    try:
        done = subprocess.run(
            [nvcc, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
        )
        said = done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    found = re.search(r"release (\d+\.\d+)", said)
    if found:
        return found[1]
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "no word")
    raise LabError(
        f"nvcc does not say its version: {last.strip()}",
        where=nvcc,
        fix="sudo apt-get install --reinstall cuda-toolkit",
        without=_WITHOUT,
    )


def _nvcc() -> str:
    for name in (os.environ.get("CUDACXX"), "nvcc", "/usr/local/cuda/bin/nvcc"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise LabError(
        "There is no nvcc, CUDA's compiler, to build with.",
        where="looked at CUDACXX, PATH and /usr/local/cuda/bin",
        fix="install the CUDA toolkit (12.8 or newer): sudo apt-get install -y cuda-toolkit; "
        "or conda install -c nvidia cuda-toolkit",
        without=_WITHOUT,
    )
