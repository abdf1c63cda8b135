"""What a native build depends on: which CPU it was made for, and an instruction set that compilers get wrong."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import tempfile
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
#: Asks Linux for the tiles (arch_prctl(2), ARCH_REQ_XCOMP_PERM), configures one as ggml does, and reads back what the CPU got.
#: GCC 12's intrinsic names 8 of the 64 bytes as its input, so the optimiser drops what was written to the others, and
#: llama-server ends by SIGSEGV (a general protection fault at ldtilecfg) while it loads a model.
_PROBE = """
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef __AMX_TILE__
int main() { return 0; }
#else
struct alignas(64) Tiles { unsigned char palette, start, none[14]; unsigned short bytes[16]; unsigned char rows[16]; };
__attribute__((noinline)) void configure() {
    Tiles tiles = {};
    tiles.palette = 1; tiles.bytes[0] = 64; tiles.rows[0] = 16;
    _tile_loadconfig(&tiles);
}
int main() {
    if (syscall(SYS_arch_prctl, 0x1023, 18)) return 1;
    Tiles got = {};
    configure();
    _tile_storeconfig(&got);
    _tile_release();
    const volatile Tiles &seen = got;
    return seen.bytes[0] == 64 && seen.rows[0] == 16 ? 0 : 1;
}
#endif
"""


@functools.cache
def key() -> str:
    """Six digits for this machine's CPU: what was compiled for one may end at once on another."""
    text = platform.machine() + platform.processor()
    if _CPUINFO.is_file():
        lines = (line.partition(":") for line in _CPUINFO.read_text(errors="replace").splitlines())
        flags = next((rest for name, _, rest in lines if name.strip().lower() in ("flags", "features")), "")
        text += " ".join(sorted(flags.split()))
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def amx_fails(compiler: str) -> bool:
    """Whether the compiler would use AMX for this CPU and it does not work: the compiler gets it wrong, or the CPU refuses."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    with tempfile.TemporaryDirectory(prefix="llmlab-amx-") as folder:
        program = Path(folder) / "probe"
        line = [compiler, "-x", "c++", "-std=c++11", "-O3", "-march=native", "-o", str(program), "-"]
        try:
            if subprocess.run(line, input=_PROBE, capture_output=True, text=True, timeout=60).returncode:
                return False  # a compiler that does not know AMX does not use it
            return subprocess.run([str(program)], capture_output=True, timeout=10).returncode != 0
        except (OSError, subprocess.TimeoutExpired):
            return False
