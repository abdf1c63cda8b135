"""Which machine code a GPU runs, which CUDA toolkit makes it, and which driver runs what that toolkit made.

A compute capability is one number here, 89 for 8.9, as CMake's CMAKE_CUDA_ARCHITECTURES has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Fit = Literal["code", "ptx", "none"]

#: Capability → the first toolkit that makes machine code for it, and the last (none: today's still does). Sources: the release
#: notes of those toolkits ("added support for …"), and NVIDIA's technical blog "Navigating GPU Architecture Support" (2025): 13.0
#: drops all below 7.5, and 12.9 stays the toolkit for them. llama.cpp's ggml/src/ggml-cuda/CMakeLists.txt repeats 11.1, 11.8, 12.8.
TOOLKITS: dict[int, tuple[str, str | None]] = {
    50: ("6.5", "12.9"),
    52: ("7.0", "12.9"),
    60: ("8.0", "12.9"),
    61: ("8.0", "12.9"),
    70: ("9.0", "12.9"),
    75: ("10.0", None),
    80: ("11.0", None),
    86: ("11.1", None),
    87: ("11.4", None),
    89: ("11.8", None),
    90: ("11.8", None),
    100: ("12.8", None),
    103: ("12.9", None),
    120: ("12.8", None),
    121: ("12.9", None),
}
#: Toolkit's major version → the first Linux driver that runs what any of its minor versions made. Source: NVIDIA, "CUDA
#: Compatibility", Minor Version Compatibility, table 1. (PTX is the exception: it needs a driver as new as the toolkit.)
DRIVERS = {11: 450, 12: 525, 13: 580}


def numbers(text: str) -> tuple[int, ...]:
    """A version's numbers: "12.8.1" as (12, 8, 1).

    :raises ValueError: where it is no version.
    """
    return tuple(int(part) for part in text.split("."))


def dotted(capability: int) -> str:
    """A capability as NVIDIA writes it: "8.9" for 89."""
    return f"{capability // 10}.{capability % 10}"


def refused(capability: int, toolkit: str) -> str | None:
    """Why a toolkit makes no machine code for a capability; None: it does, or we do not know.

    :param toolkit: its version, such as "12.4".
    """
    first, last = TOOLKITS.get(capability, (None, None))
    if first and numbers(toolkit) < numbers(first):
        return f"CUDA {toolkit} cannot make {capability}: it needs {first}"
    if last and numbers(toolkit)[:2] > numbers(last):
        return f"CUDA {toolkit} no longer makes {capability}: {last} was the last"
    return None


def highest(toolkit: str) -> int | None:
    """The highest capability of the table that a toolkit makes machine code for; None: none of them."""
    return max((known for known in TOOLKITS if refused(known, toolkit) is None), default=None)


def covered(capability: int, listed: list[int], toolkit: str) -> bool:
    """Whether a GPU finds machine code that it runs: the same major number, a minor one up to its own.

    Source: CUDA C++ Programming Guide, "Binary Compatibility".
    """
    return any(
        other // 10 == capability // 10 and other <= capability and not refused(other, toolkit)
        for other in listed
    )


def fit(capability: int, held: Iterable[str]) -> Fit:
    """What a GPU finds in a build: machine code, PTX that its driver compiles at the first start, or nothing that it can run.

    `held` are CMake's words (`90-real`, `80-virtual`, `75`: both, `120a-real`: for this one alone) or plain numbers of which
    nobody said whether they are code or PTX, as llama-server's `CUDA : ARCHS = 750,800` is read (`archs`); then a lower major
    number counts as PTX, since that is what it must be to be of use. Source: CUDA C++ Programming Guide, "Binary Compatibility"
    and "PTX Compatibility": code runs within its major number, PTX on every later one, and neither on an earlier one.
    """
    ptx = False
    for word in held:
        read = re.fullmatch(r"(\d+)([af]?)(-real|-virtual)?", word)
        if read is None:
            continue
        made, special, form = int(read[1]), read[2], read[3]
        if special == "a":
            if made == capability and form != "-virtual":
                return "code"
            ptx |= made == capability
        elif made <= capability:
            if form != "-virtual" and made // 10 == capability // 10:
                return "code"
            ptx |= form != "-real" and special != "f"
    return "ptx" if ptx else "none"


def archs(text: str) -> tuple[str, ...]:
    """The architectures in what llama-server prints of itself: ("75", "80") for `CUDA : ARCHS = 750,800 | USE_GRAPHS = 1`.

    Empty where it says none: a build without CUDA, or one from before 2024. Source: `ggml_backend_cuda_get_features` in
    llama.cpp's ggml-cuda.cu, which prints nvcc's own `__CUDA_ARCH_LIST__` (ten times the capability).
    """
    found = re.search(r"CUDA : ARCHS = ([\d,]+)", text)
    return tuple(str(int(word) // 10) for word in found[1].split(",") if word) if found else ()


def too_new(toolkit: str, driver: str) -> str | None:
    """Why a driver does not run what a toolkit made; None: it does, or we do not know.

    :param driver: its version, such as "535.183.01".
    """
    needed = DRIVERS.get(numbers(toolkit)[0])
    major = re.match(r"\d+", driver)
    if needed and major and int(major[0]) < needed:
        return f"what CUDA {toolkit} makes needs driver {needed} or newer, and this one is {driver}"
    return None
