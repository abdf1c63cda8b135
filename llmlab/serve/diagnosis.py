"""Why a server ended while it loaded: its exit code, its log and its quota, as one sentence with the command that mends it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence

from ..engine import Engine
from ..errors import LabError
from ..models import Model
from .limits import Fence
from .ports import port_holder

_ERROR = re.compile(r"^\S+ E |^error[: ]|error:", re.IGNORECASE)
# The last two of llama-server's error lines only say that it ends; what went wrong stands above them.
_USELESS = re.compile(r"exiting due to model loading error|failed to load model, '")


#: What ggml's CUDA says as it gives up; lines that only say where in its source stand below.
_CUDA = re.compile(r"CUDA error: .+|cudaMalloc failed: .+")
#: And what helps.
_CUDA_FIX = {
    "no kernel image": "llmlab engine build --cuda   (this build holds no machine code for this GPU)",
    "out of memory": "lower n-gpu-layers or ctx-size; nvidia-smi shows who else holds the GPU's memory",
    "unsupported toolchain": "llmlab engine build --cuda   (its PTX is newer than the driver)",
}


def telling_line(log: Sequence[str]) -> str:
    """The line of a llama-server log that says best what went wrong, without its time stamp and level."""
    tail = [line for line in log if line.strip()]
    errors = [line for line in tail if _ERROR.search(line)]
    cuda = [line for line in tail if _CUDA.search(line)]
    if cuda:
        return re.sub(r"^[\d.]+ [EWI] ", "", cuda[0]).strip()
    telling = [line for line in errors if not _USELESS.search(line)] or errors or tail
    return re.sub(r"^[\d.]+ [EWI] (\w+ +)?", "", telling[-1]).strip() if telling else "(it logged nothing)"


def why_it_died(
    code: int | None,
    *,
    engine: Engine,
    model: Model,
    port: int,
    error: Callable[[], str],
    where: str,
    fence: Fence | None,
) -> LabError:
    """The error for a server that ended before it was ready.

    :param code: its exit code; negative for a signal.
    :param port: the one that it was to listen on.
    :param error: the telling line of its log; asked where nothing else says why.
    """
    if fence is not None and (fence.oom_kills() or (code == -signal.SIGKILL and fence.enforces_memory)):
        limit = (fence.limits.memory or 0) / 2**20
        return LabError(
            f"Killed while loading: it needs more than the {limit:.0f} MiB of [limits] memory "
            f"(the model alone is {model.bytes / 2**20:.0f} MiB).",
            where=where,
            fix="raise limits.memory, or lower ctx-size",
        )
    if code == -signal.SIGILL:
        return LabError(
            "This llama-server was built for another CPU (illegal instruction).",
            where=engine.line(),
            fix="llmlab engine build",
            without='engine = "wheel" at the top of the file',
        )
    said = error()
    if _CUDA.search(said):
        fix = next((fix for mark, fix in _CUDA_FIX.items() if mark in said), "llmlab doctor")
        return LabError(
            f"The GPU failed while it loaded: {said}",
            where=where,
            fix=fix,
            without='device = "cpu" at the top of the file',
        )
    if code is not None and code < 0:
        return LabError(
            f"llama-server was ended by {signal.Signals(-code).name} while it loaded.", where=where
        )
    line = said
    if "bind" in line.lower() or "couldn't" in line.lower():
        holder = port_holder(port)
        line = f"port {port} is taken by {holder}" if holder else line
    return LabError(f"llama-server ended with code {code} while it loaded: {line}", where=where)
