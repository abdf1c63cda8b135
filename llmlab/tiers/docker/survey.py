"""What an image costs: bytes by layer, seconds to build it cold and warm, seconds until it answers and is healthy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ... import machine, models
from ...errors import LabError
from ...records.schema import Cell, ServerInfo, Table
from ...serve.api import Remote
from .build import build
from .container import Container
from .daemon import client, speaking
from .owning import Claim

COLUMNS = {
    "image": "name",
    "what": "layer | build | start | speed",
    "label": "the layer's instruction; cold or warm; answers or healthy",
    "bytes": "bytes",
    "seconds": "s",
    "rate": "tokens/s of one user",
}
#: Asked every second instead of at the image's own pace: how soon it could be known, not how often somebody looks.
_OFTEN = {"interval": 10**9}


def layers(image: str) -> list[tuple[str, int]]:
    """The layers of an image, base first: instruction and bytes; those without content are left out."""
    with speaking():
        history: list[dict[str, Any]] = client().images.get(image).history()
    found = [
        (_instruction(layer["CreatedBy"]), int(layer["Size"])) for layer in reversed(history) if layer["Size"]
    ]
    return found if found else [("empty", 0)]


def _instruction(text: str) -> str:
    """`RUN apt-get update…` out of what the builder noted."""
    text = re.sub(r"\s*# buildkit$", "", text.strip())
    text = re.sub(r"^(RUN )?/bin/sh -c (#\(nop\) )?", r"\1", text)
    return re.sub(r"\s+", " ", text).strip() or "base"


def survey(
    folder: Path,
    dockerfile: str,
    *,
    name: str,
    arguments: Sequence[str],
    mounts: dict[Path, str],
    port: int = 8080,
    repeats: int = 3,
    lab: str | None = None,
    fresh: bool = True,
    speed: models.Model | None = None,
    secrets: dict[str, Path] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Table:
    """Measure one Dockerfile of `folder`; an image that does not start has no rows `start`, and the note says why.

    :param name: what it is called in figures.
    :param arguments: what the image is run with.
    :param repeats: how often it is started.
    :param fresh: also build it without the cache.
    :param speed: also measure how fast it serves this model, which is what `arguments` name, to one user.
    :param secrets: files for `RUN --mount=type=secret` while it builds, by id.
    :raises LabError: when it does not build.
    """
    rows: list[list[Cell]] = []
    note = None
    with Claim(f"survey of {dockerfile}") as claim:
        tag = f"{claim.name}:survey"
        kinds = (("cold", True), ("warm", False)) if fresh else (("warm", False),)
        for label, anew in kinds:
            say(f"building {dockerfile}, {label}")
            made = build(
                folder, dockerfile=dockerfile, tag=tag, labels=claim.labels, fresh=anew, secrets=secrets
            )
            made.image()
            rows.append([name, "build", label, None, round(made.seconds, 3), None])
        rows += [[name, "layer", label, size, None, None] for label, size in layers(tag)]
        for turn in range(repeats):
            say(f"starting it ({turn + 1} of {repeats})")
            try:
                for label, seconds in _start(tag, arguments, mounts, port, claim):
                    rows.append([name, "start", label, None, round(seconds, 3), None])
            except LabError as error:
                head, _, said = error.what.partition(" Its last lines:\n")
                note = f"{name} does not start. {head} It said last: {(said.splitlines() or ['nothing'])[-1]}"
                break
        if speed is not None and note is None:
            say("measuring its speed")
            for rate in _speed(tag, speed, arguments, mounts, port, claim, repeats):
                rows.append([name, "speed", speed.name, None, None, round(rate, 1)])
    return Table(
        kind="image",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        columns=COLUMNS,
        rows=rows,
        versions={"docker": _version()},
        lab=lab,
        note=note,
    )


def _start(
    tag: str, arguments: Sequence[str], mounts: dict[Path, str], port: int, claim: Claim
) -> list[tuple[str, float]]:
    """Seconds from `docker run` until the published port says 200, and until Docker says healthy."""
    began = time.monotonic()
    with Container(tag, arguments, claim=claim, publish=port, mounts=mounts, healthcheck=_OFTEN) as container:
        url = container.address
        container.wait(lambda: _ok(url), within=30, what="answering on its published port", every=0.01)
        found = [("answers", time.monotonic() - began)]
        if container.health is not None:
            container.wait(lambda: container.health == "healthy", within=30, what="healthy", every=0.02)
            found.append(("healthy", time.monotonic() - began))
    return found


def _speed(
    tag: str,
    model: models.Model,
    arguments: Sequence[str],
    mounts: dict[Path, str],
    port: int,
    claim: Claim,
    repeats: int,
) -> list[float]:
    """Tokens per second that one user gets, in each of a few runs."""
    from ...load import Target, closed, measure
    from ...records.stats import tokens_per_second

    with Container(tag, arguments, claim=claim, publish=port, mounts=mounts) as container:
        url = container.address
        container.wait(lambda: _ok(url), within=60, what="answering on its published port")
        with Remote(url) as server:
            props = server.props()
        info = ServerInfo(
            command=["docker", "run", tag, *arguments],
            flags={},
            engine="PATH",
            engine_version=str(props.get("build_info", "")),
            model=model.name,
            model_sha256=model.sha256,
            model_parameters=model.parameters,
            model_bytes=model.bytes,
            slots=int(props["total_slots"]),
            ctx_per_slot=int(props["default_generation_settings"]["n_ctx"]),
            threads=None,
        )
        plans = [closed(1, requests=4, warmup=1, max_tokens=64, seed=turn) for turn in range(repeats)]
        return [tokens_per_second(run) for run in measure(Target(url=url, info=info), plans).runs]


def _ok(url: str) -> bool:
    with Remote(url, timeout=2) as server:
        return server.health() == 200


def _version() -> str:
    with speaking():
        return str(client().version()["Version"])
