"""What the checks of container images share: build once, run as a stranger would, look from outside.

Nothing here needs a shell inside the image: an image of one program is as good as one with a whole system.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from ... import models
from ...checks.check import Context, DeploymentFailed
from ...checks.fixture import fixture
from ...course.info import read_info
from ...errors import LabError
from ...models import Model
from ...serve.api import Remote
from .build import Build, build
from .container import Container, processes
from .daemon import speaking
from .images import ensure
from .owning import Claim

PORT = 8080  # inside the container
TOOLCHAIN = ("gcc", "cc", "g++", "c++", "clang", "ld", "make", "cmake", "ninja", "git", "nvcc", "rustc", "go")


@fixture(ours=True)
def claim(ctx: Context) -> Iterator[Claim]:
    """What this run makes in the daemon; gone with it."""
    with Claim(f"check of {ctx.files.name}") as mine:
        yield mine


def built(ctx: Context, dockerfile: str = "Dockerfile") -> Build:
    """The learner's image, built once for all checks of a run (layers that were built before come from the cache).

    :raises DeploymentFailed: with the step, the line and the last words of the build.
    """
    return _built(ctx, dockerfile)


@fixture(ours=True)
def _built(ctx: Context, dockerfile: str) -> Build:
    ensure(read_info(ctx.lab).images.get("docker", ()) if ctx.lab else (), say=ctx.say)
    mine = claim(ctx)
    ctx.deployed = True
    image_build = build(
        ctx.files,
        dockerfile=dockerfile,
        tag=f"{mine.name}:{dockerfile.lower()}",
        labels=mine.labels,
        on_step=ctx.say,
    )
    with ctx.deploying():
        image_build.image()
    return image_build


def mounted(name: str = "tiny") -> tuple[Model, str]:
    """A model, and where it is inside a container that mounts `/models`."""
    model = models.get(name)
    return model, f"/models/{model.path.name}"


@contextlib.contextmanager
def serving(
    ctx: Context, *, model: str = "tiny", arguments: Sequence[str] = (), **options: Any
) -> Iterator[Container]:
    """Run the image as a stranger would: `docker run -p … -v models:/models:ro IMAGE -m /models/…`, and nothing else.

    :raises DeploymentFailed: when it ends while it is used, whoever ended it: with its exit code and last lines.
    """
    from docker.errors import APIError

    found, inside = mounted(model)
    with ctx.deploying():
        container = Container(
            built(ctx).image(),
            ["-m", inside, *arguments],
            claim=claim(ctx),
            publish=PORT,
            mounts={found.path.parent: "/models"},
            **options,
        )
    try:
        with ctx.deploying():
            yield container
    except APIError as error:  # Docker does little for a container that has ended
        if container.state.get("Running"):
            raise
        raise DeploymentFailed(str(container.ended("ended by itself"))) from error
    finally:
        container.close()


def health(url: str, *, timeout: float = 5) -> int:
    """The status of GET /health; 0 when there is no answer."""
    with Remote(url, timeout=timeout) as server:
        return server.health()


def ready(container: Container, *, within: float = 60) -> str:
    """Wait until the published port says that the model is loaded; returns its address.

    :raises LabError: with the container's last lines when it ends or does not answer.
    """
    url = container.address
    container.wait(
        lambda: health(url, timeout=2) == 200, within=within, what="answering on its published port"
    )
    return url


def completion(url: str, *, tokens: int = 4) -> int:
    """Ask for a few tokens; how many came.

    :raises LabError: when it does not answer, or with an error.
    """
    with Remote(url) as server:
        reply = server.post("/completion", {"prompt": "one two three", "n_predict": tokens})
    return int(reply.get("tokens_predicted", 0)) if isinstance(reply, dict) else 0


@fixture(ours=True)
def files(ctx: Context) -> list[PurePosixPath]:
    """Every file of the image (its file system is exported, so that it needs no shell)."""
    with ctx.deploying():
        container = Container.created(built(ctx).image(), claim=claim(ctx))
    try:
        with speaking(), tarfile.open(fileobj=_ChunkFile(container.raw.export()), mode="r|") as archive:
            return [PurePosixPath("/", entry.name) for entry in archive if not entry.isdir()]
    finally:
        container.close()


def program(ctx: Context) -> str:
    """The path of llama-server in the image, as its running process names it."""
    with serving(ctx) as container:
        ready(container)
        names = [row["args"].split()[0] for row in processes(container.raw)]
        search = dict(pair.partition("=")[::2] for pair in container.raw.attrs["Config"]["Env"] or []).get(
            "PATH", ""
        )
    name = next((path for path in names if PurePosixPath(path).name == "llama-server"), None)
    if name is None:
        raise DeploymentFailed(f"no process in the container is called llama-server: {', '.join(names)}")
    there = set(files(ctx))
    places = [PurePosixPath(name), *(PurePosixPath(folder, name) for folder in search.split(":"))]
    return str(next((path for path in places if path.is_absolute() and path in there), places[0]))


def freeze(container: Container, claim: Claim) -> None:
    """Stop every process in a container (SIGSTOP) without pausing it: Docker asks a paused one nothing."""
    with speaking():
        container.raw.kill(signal="SIGSTOP")  # process 1 can only be stopped from outside
    if len(processes(container.raw)) > 1:  # and Docker signals no other
        script = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || kill -STOP $p; done"
        with Container(
            "debian:trixie-slim",
            ["bash", "-c", script],
            claim=claim,
            pid_mode=f"container:{container.raw.id}",
        ) as other:
            other.exit(within=20)


def seen_while_loading(container: Container, *, within: float = 60) -> list[dict[str, Any]]:
    """What the image's health test said while /health said 503: the first such test; none if it loaded too soon."""
    url, loading = container.address, None
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        code = health(url)
        if code == 200:
            break
        if code == 503 and loading is None:
            loading = datetime.now(UTC)
        done = [
            test
            for test in container.state["Health"]["Log"] or []
            if loading and _moment(test["Start"]) > loading
        ]
        if not container.state.get("Running"):
            return done[:1]
        if done and health(url) == 503:  # before it and after it: it was asked while the model loaded
            return done[:1]
        time.sleep(0.1)
    return []


def unthrottled(container: Container, cores: int = 2) -> None:
    """Give a container its CPU back; one that has ended has no use for it."""
    from docker.errors import APIError

    with contextlib.suppress(APIError), speaking():
        container.raw.update(cpu_quota=100_000 * cores)


def hung(container: Container, *, within: float) -> str | None:
    """Wait until a container's health test finds a frozen server: "unhealthy", or that the test ended it; None: neither."""
    try:
        container.wait(lambda: container.health == "unhealthy", within=within, what="unhealthy")
    except LabError:
        return None if container.state.get("Running") else "ended by its own health test"
    return "unhealthy"


def _moment(text: str) -> datetime:
    """Docker's timestamps have nine digits after the point."""
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00")


class _ChunkFile(io.RawIOBase):
    """Chunks as a file that can only be read forwards."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            more = next(self._chunks, None)
            if more is None:
                break
            self._rest += more
        cut = len(self._rest) if size < 0 else size
        out, self._rest = self._rest[:cut], self._rest[cut:]
        return out
