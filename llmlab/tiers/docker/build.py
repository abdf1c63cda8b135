"""One `docker build`, with what every step took and, when it fails, which step, which line and its last words."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ...errors import LabError, Unavailable
from . import bounds
from . import vet as vetting
from .daemon import client, failure, machine_trouble, speaking
from .plugins import environment

TAIL = 12  # last lines of a failed step that are shown


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step of a build: `seconds` it took, or `cached`; `error` when it failed."""

    name: str  # as BuildKit says it: "[builder 2/5] RUN apt-get …"
    seconds: float
    cached: bool
    error: str | None = None
    log: str = ""

    @property
    def instruction(self) -> str:
        """The Dockerfile's instruction: what follows the bracket."""
        return self.name.partition("] ")[2] or self.name


@dataclass(frozen=True, slots=True)
class Build:
    """What a build gave. `problem` is None when the image `tag` is there."""

    tag: str
    seconds: float
    steps: tuple[BuildStep, ...] = ()
    problem: LabError | None = field(default=None)

    @property
    def bases(self) -> tuple[str, ...]:
        """The base images that the builder looked up, as it resolved their names."""
        start = "[internal] load metadata for "
        return tuple(step.name.removeprefix(start) for step in self.steps if step.name.startswith(start))

    @property
    def cached(self) -> bool:
        """Whether every instruction came from the cache."""
        return all(
            step.cached for step in self.steps if step.instruction.startswith(("RUN ", "COPY ", "ADD "))
        )

    def image(self) -> str:
        """The image's tag.

        :raises LabError: when the build failed: the step, the line of the Dockerfile and the tool's last lines.
        """
        if self.problem is not None:
            raise self.problem
        return self.tag


def build(
    folder: Path,
    *,
    dockerfile: str = "Dockerfile",
    tag: str,
    labels: Mapping[str, str] | None = None,
    args: Mapping[str, str] | None = None,
    target: str | None = None,
    secrets: Mapping[str, Path] | None = None,
    fresh: bool = False,
    timeout: float = 1800,
    vet: bool | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Build:
    """Build an image with BuildKit; a failed build is a `Build` with its `problem`, never an exception.

    :param secrets: files for `RUN --mount=type=secret`, by id; they are in no layer.
    :param fresh: build everything anew (`--no-cache`).
    :param vet: refuse a Dockerfile that asks for more than a sandbox of its own; None: as `vet.on()` says.
    :param on_step: hears the name of each step as it starts.
    :raises LabError: when there is no daemon or no buildx.
    """
    limits = bounds.here()
    if limits is not None:
        timeout = min(timeout, limits.build)
        args = {**(args or {}), "BUILDKIT_CACHE_MOUNT_NS": limits.apart}
    if vetting.on() if vet is None else vet:
        try:
            vetting.dockerfile(folder / dockerfile)
        except LabError as error:
            return Build(tag, 0.0, (), error)
    line = [
        "docker",
        "buildx",
        "build",
        "--progress=rawjson",
        "--load",
        "-f",
        str(folder / dockerfile),
        "-t",
        tag,
    ]
    for key, value in (labels or {}).items():
        line += ["--label", f"{key}={value}"]
    for key, value in (args or {}).items():
        line += ["--build-arg", f"{key}={value}"]
    for key, path in (secrets or {}).items():
        line += ["--secret", f"id={key},src={path}"]
    if target:
        line += ["--target", target]
    if fresh:
        line.append("--no-cache")
    line.append(str(folder))
    began = time.monotonic()
    vertices: dict[str, dict[str, Any]] = {}
    logs: dict[str, list[tuple[str, str]]] = {}  # by step: when, what (stdout and stderr come separately)
    said: list[str] = []
    process = subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment(),
    )
    alarm = threading.Timer(
        timeout, process.kill
    )  # a step may be silent for ever; the builder ends with its client
    alarm.start()
    try:
        _listen(process, vertices, logs, said, on_step)
    finally:
        alarm.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    seconds = time.monotonic() - began
    steps = tuple(
        _step(vertex, "".join(text for _, text in sorted(logs.get(digest, []))))
        for digest, vertex in vertices.items()
    )
    problem = None
    if process.returncode:
        if seconds >= timeout:
            problem = _late(folder / dockerfile, vertices, timeout)
        else:
            problem = _problem(folder / dockerfile, steps, said)
    return Build(tag, seconds, steps, problem)


def _listen(
    process: subprocess.Popen[str],
    vertices: dict[str, dict[str, Any]],
    logs: dict[str, list[tuple[str, str]]],
    said: list[str],
    on_step: Callable[[str], None],
) -> None:
    """Read BuildKit's JSON documents, one after the other, and the plain lines between them, until it ends."""
    decoder, buffer = json.JSONDecoder(), ""
    assert process.stderr is not None
    for text in process.stderr:
        if not buffer and not text.startswith("{"):
            if text.strip():
                said.append(text.rstrip())
            continue
        buffer += text
        if text[:1] not in ("}", "{"):
            continue  # in the middle of a document (they are printed over several lines)
        try:
            status, _ = decoder.raw_decode(buffer)
        except ValueError:
            continue
        buffer = ""
        for vertex in status.get("vertexes") or []:
            if vertex["digest"] not in vertices:
                on_step(vertex["name"])
            vertices.setdefault(vertex["digest"], {}).update(vertex)
        for log in status.get("logs") or []:
            text = base64.b64decode(log.get("data") or "").decode(errors="replace")
            logs.setdefault(log["vertex"], []).append((log["timestamp"], text))


def _step(vertex: Mapping[str, Any], log: str) -> BuildStep:
    seconds = 0.0
    if vertex.get("started") and vertex.get("completed"):
        seconds = (_time(vertex["completed"]) - _time(vertex["started"])).total_seconds()
    return BuildStep(
        vertex["name"], max(0.0, seconds), bool(vertex.get("cached")), vertex.get("error") or None, log
    )


def _time(text: str) -> datetime:
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{(fraction + '000000')[:6]}+00:00")


def _late(dockerfile: Path, vertices: Mapping[str, Mapping[str, Any]], timeout: float) -> LabError:
    """Which step it was at when the time was over."""
    at = [
        BuildStep(vertex["name"], 0, False)
        for vertex in vertices.values()
        if vertex.get("started")
        and (vertex.get("error") or not vertex.get("completed"))
        and "] " in vertex["name"]
    ]
    line = _line(dockerfile, at[-1].instruction) if at else None
    step = f" It was at {at[-1].name}." if at else ""
    where = f"{dockerfile.name}:{line}" if line else dockerfile.name
    return LabError(f"The build was not done after {timeout:.0f} s.{step}", where=where)


def _problem(dockerfile: Path, steps: tuple[BuildStep, ...], said: list[str]) -> LabError:
    # When one step fails, those beside it are cancelled: they have an error too.
    failed = [step for step in steps if step.error and "context canceled" not in step.error]
    broken = next((step for step in failed if "] " in step.name and step.log), None) or next(
        iter(failed), None
    )
    words = "\n".join(said) or "it said nothing"
    if broken is None or "dockerfile parse error" in words:
        found = failure(("build",), words)
        at = re.search(r"parse error line (\d+)", words)
        if not isinstance(found, Unavailable):
            found.where = f"{dockerfile.name}:{at[1]}" if at else dockerfile.name
            if at and (opened := _heredoc(dockerfile, int(at[1]))):
                found.where = f"{dockerfile.name}:{opened}"
                found.what += (
                    f"\nLine {opened} opens a here-document (<<), which this machine's builder is too old to know: "
                    f"{_builder()}. A newer one, perhaps your own, builds it."
                )
                found.fix = (
                    "write the file with RUN printf '%s\\n' '…' > FILE, which every builder knows; or, where the builder "
                    "reaches a registry, begin with the line # syntax=docker/dockerfile:1"
                )
        return found
    last = "\n".join((broken.log or broken.error or "").strip().splitlines()[-TAIL:])
    trouble = machine_trouble(last)
    if trouble is not None:
        return trouble
    line = _line(dockerfile, broken.instruction)
    where = f"{dockerfile.name}:{line}" if line else dockerfile.name
    ended = (broken.error or "").rpartition("exit code: ")[2]
    how = f" ended with code {ended}" if ended.isdigit() else " failed"
    return LabError(f"The build step {broken.name}{how}. Its last lines:\n{last}", where=where)


_HEREDOC = re.compile(
    r"""^\s*(?:ONBUILD\s+)?(?:COPY|ADD|RUN)\s(?:.*\s)?\d*<<-?(['"]?)([A-Za-z_]\w*)\1""", re.I
)


def _heredoc(dockerfile: Path, line: int) -> int | None:
    """The line that opens the here-document in which a line lies, as a builder sees it that knows none."""
    lines = dockerfile.read_text(encoding="utf-8", errors="replace").splitlines()
    opened, end = None, ""
    for number, text in enumerate(lines[: line - 1], 1):
        if opened is None and (found := _HEREDOC.match(text)):
            opened, end = number, found[2]
        elif opened is not None and text.strip() == end:
            opened = None
    return opened


def _builder() -> str:
    """The builder by its name; what it knows comes with the daemon (here-documents with Docker 23)."""
    with contextlib.suppress(LabError), speaking():
        return f"it is that of Docker {client().version()['Version']}, and they came with Docker 23"
    return "they came with Docker 23"


def _line(dockerfile: Path, instruction: str) -> int | None:
    """The line of the Dockerfile on which an instruction starts (BuildKit gives it with its line breaks joined)."""
    from dockerfile_parse import DockerfileParser

    base = instruction.removeprefix("load metadata for ").removeprefix("docker.io/library/")
    wanted = "".join(instruction.split()).lower()
    with contextlib.suppress(OSError), dockerfile.open("rb") as file:
        for step in DockerfileParser(fileobj=file).structure:  # type: ignore[arg-type] # it reads bytes
            words = f"{step['instruction']} {step['value']}"
            if "".join(words.split()).lower() == wanted or (
                step["instruction"] == "FROM" and base in words.split()
            ):
                return int(step["startline"]) + 1
    return None
