"""Does a CUDA Dockerfile make machine code for every GPU of a fleet? Built where its toolchain image is at hand, else read.

A GPU runs machine code (SASS) of its own major capability and a minor one up to its own; PTX is compiled when the server
starts, for minutes, at every start of a read-only container (CUDA C++ programming guide, "Binary compatibility").
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ...checks.check import Context, DeploymentFailed, Verdict, failed, passed
from ...engine.architectures import covered, numbers, refused
from ...errors import LabError
from ...system.paths import course_dir

if TYPE_CHECKING:
    from dockerfile_parse import DockerfileParser

_BASE = re.compile(r"nvidia/cuda:(\d+\.\d+)[\w.]*-(base|runtime|devel)")
_ARCHITECTURES = re.compile(r"""CMAKE_CUDA_ARCHITECTURES(?::\w+)?=(?:"([^"]*)"|'([^']*)'|(\S+))""")
#: What `all-major` makes machine code for, from a toolkit on: every major capability it knows (CMake 3.23).
_ALL_MAJOR = (60, 70, 80, 90, 100, 120)


def fleet() -> list[dict[str, Any]]:
    """The GPUs of data/gpus.toml."""
    path = course_dir() / "data" / "gpus.toml"
    if not path.is_file():
        path = Path(__file__).resolve().parents[3] / "data" / "gpus.toml"
    return list(tomllib.loads(path.read_text(encoding="utf-8"))["gpu"])


def judge(ctx: Context, name: str) -> Verdict:
    """The verdict on one CUDA Dockerfile: architectures and toolkit against the fleet, then the build where it can run."""
    file = ctx.files / name
    expected = "machine code for " + ", ".join(f"{gpu['name']} ({gpu['capability']})" for gpu in fleet())
    look = f"grep -n -i 'cuda' {name}"
    toolkit, runtime, listed = read(file)
    problems = []
    if not listed:
        problems.append(
            "it names no CMAKE_CUDA_ARCHITECTURES, so the build takes the GPU of the build machine, which has none"
        )
    for gpu in fleet():
        if listed and not covered(gpu["capability"], listed, toolkit):
            problems.append(f"nothing for the {gpu['name']} ({gpu['generation']}, {gpu['capability']})")
    for capability in listed:
        why = refused(capability, toolkit)
        if why:
            problems.append(why)
    if runtime and numbers(runtime) < numbers(toolkit):
        problems.append(f"built with CUDA {toolkit}, run with the older libraries of {runtime}")
    seen = f"CUDA {toolkit}, machine code for {', '.join(map(str, listed)) or 'nothing'}"
    if problems:
        return failed(expected=expected, observed=f"{seen}: {'; '.join(problems)}", look=look)
    built = _built(ctx, name)
    verdict = passed(
        expected=expected,
        observed=f"{seen}; {built or 'read, not built: no CUDA toolchain image here'}",
        look=look,
    )
    return replace(verdict, realism="real") if built else verdict


def read(file: Path) -> tuple[str, str | None, list[int]]:
    """Toolkit version, the final stage's CUDA version, and the capabilities that machine code is made for.

    :raises DeploymentFailed: when there is no CUDA toolchain in it, or it is no Dockerfile.
    """
    steps = _parser(file).structure
    if not any(step["instruction"] == "FROM" for step in steps):
        raise DeploymentFailed(f"{file.name} has no FROM.")
    toolkit: str | None = None
    stage: str | None = None
    listed: list[int] = []
    known: dict[str, str] = {}
    for step in steps:
        value = Template(step["value"]).safe_substitute(known)
        if step["instruction"] in ("ARG", "ENV"):
            known |= dict(re.findall(r"""(\w+)=["']?([^"'\s]*(?:;[^"'\s]*)*)["']?""", value))
        elif step["instruction"] == "FROM":
            base = _BASE.search(value)
            stage = base[1] if base else None
            if base and base[2] == "devel":
                toolkit = base[1]
        elif step["instruction"] == "RUN":
            for found in _ARCHITECTURES.finditer(value):
                listed += _capabilities(next(filter(None, found.groups()), ""), toolkit or "0.0")
    if toolkit is None:
        raise DeploymentFailed(
            f"{file.name} builds on no nvidia/cuda:…-devel image, so it has no CUDA compiler."
        )
    return toolkit, stage, sorted(set(listed))


def _parser(file: Path) -> DockerfileParser:
    from dockerfile_parse import DockerfileParser

    return DockerfileParser(fileobj=BytesIO(file.read_bytes()))  # type: ignore[arg-type] # it reads bytes


def _capabilities(text: str, toolkit: str) -> list[int]:
    """`75-real;80;90a` as numbers; what is only PTX (`-virtual`) is no machine code."""
    if text in ("all", "all-major"):
        return [capability for capability in _ALL_MAJOR if not refused(capability, toolkit)]
    words = [word for word in re.split(r"[;,\s]+", text.strip()) if word and not word.endswith("-virtual")]
    return [int(found[1]) for word in words if (found := re.match(r"(\d+)[af]?(-real)?$", word))]


def _built(ctx: Context, name: str) -> str | None:
    """Build it, if its bases are here already (gigabytes: a check does not pull them); None: it was not built."""
    from .images import here
    from .probes import built

    bases = [base for base in _parser(ctx.files / name).parent_images if _BASE.search(base)]
    try:
        if not bases or not all(here(base) for base in bases):
            return None
    except LabError:
        return None  # no Docker at all: it was read
    return f"built in {built(ctx, name).seconds:.0f} s"
