"""An image and a container as a notebook handles them: `image = lab.build()`, `lab.run(image, "-m", …)`."""

from __future__ import annotations

import html
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

import httpx

from ... import models
from ...errors import LabError
from ...records.store import read_table
from ...show.bars import steps_bar
from ...show.face import Face
from ...show.shown import Shown
from ...system.local_client import local_client
from ...system.paths import course_dir
from .build import build
from .container import Container
from .images import ensure
from .older import run_on_older_cpu
from .owning import Claim
from .survey import layers, survey

if TYPE_CHECKING:
    from ...figures import Picture
    from ...records.schema import Table
    from ...show.bench import Bench

PORT = 8080  # what the labs' images listen on inside
#: How often an image is started to be measured, by profile.
STARTS = {"binder": 1, "laptop": 3, "workstation": 5}


class LiveBuild(Face, what="The image", again="image = lab.build({self.dockerfile!r})"):
    """An image built from one of the lab's files; removed with `lab.stop()` (what was built stays in Docker's cache).

    :param dockerfile: a file of the lab; its folder is the context of the build.
    :param fresh: build every layer anew, whatever the cache has.
    :raises LabError: when it does not build: the step, the line and the last words of the tool.
    """

    def __init__(self, lab: Bench, dockerfile: str = "Dockerfile", *, fresh: bool = False) -> None:
        self._lab, self.dockerfile = lab, dockerfile
        if not (lab.files / dockerfile).is_file():
            raise LabError(f"There is no {dockerfile} here.", where=str(lab.files), fix="lab.reset()")
        with steps_bar("step") as say:
            ensure(lab.info.images.get("docker", ()), say=say)
            self._claim = Claim(f"image of {dockerfile}")
            try:
                #: How it was built, step by step.
                self.build = build(
                    lab.files,
                    dockerfile=dockerfile,
                    tag=f"{self._claim.name}:{dockerfile.lower()}",
                    labels=self._claim.labels,
                    fresh=fresh,
                    on_step=say,
                )
                self.tag = self.build.image()  # the image's name
            except BaseException:
                self._claim.close()
                raise

    @property
    def bytes(self) -> int:
        """Its size, all layers together."""
        return sum(size for _, size in self.layers())

    def layers(self) -> list[tuple[str, int]]:
        """Instruction and bytes of each layer, base first."""
        return layers(self.tag)

    def measure(
        self, name: str | None = None, *, fresh: bool = True, repeats: int | None = None
    ) -> MeasuredImage:
        """Build it cold (`fresh`) and warm, start it a few times; `name` is what figures call it. The record is saved."""
        from ...machine import profile
        from ...show.kept import store

        found = models.get("tiny")
        with steps_bar("step") as say:
            table = survey(
                self._lab.files,
                self.dockerfile,
                name=name or self.dockerfile,
                arguments=["-m", f"/models/{found.path.name}"],
                mounts={found.path.parent: "/models"},
                repeats=repeats or STARTS[profile()],
                fresh=fresh,
                lab=self._lab.info.name,
                say=say,
            )
        store(table, self._lab.files / "records")
        return MeasuredImage(table)

    def close(self) -> None:
        """Remove the image; may be called twice."""
        self._claim.close()

    def __repr__(self) -> str:
        how = "all of it from the cache" if self.build.cached else f"in {self.build.seconds:.0f} s"
        lines = [f"{self.dockerfile}: {self.bytes / 1e6:.0f} MB, built {how}"]
        lines += [f"{size / 1e6:8.1f} MB  {label[:90]}" for label, size in self.layers()]
        return "\n".join(
            [
                *lines,
                "the same from a shell:",
                shlex.join(["docker", "build", "-f", self.dockerfile, "-t", "mine", "."]),
            ]
        )


class MeasuredImage:
    """What images cost: one or more surveys, drawn beside each other."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables  # the surveys, drawn beside each other

    def beside(self, *others: MeasuredImage | Table) -> MeasuredImage:
        """This one and others in one figure, in this order."""
        more = [
            table
            for other in others
            for table in (other.tables if isinstance(other, MeasuredImage) else (other,))
        ]
        return MeasuredImage(*self.tables, *more)

    def plot(self, *, guess: float | None = None) -> Picture:
        """Size by layer, build times (with `guess`, seconds that the reader named beforehand, marked) and start times."""
        from .figures import images

        return images(self.tables, guess=guess)

    def __repr__(self) -> str:
        lines = []
        for table in self.tables:
            for row in table.dicts():
                if row["what"] != "layer":
                    lines.append(f"{row['image']}: {row['what']}, {row['label']}: {row['seconds']} s")
            size = sum(int(row["bytes"] or 0) for row in table.dicts())
            lines.append(f"{table.rows[0][0]}: {size / 1e6:.1f} MB")
            if table.note:
                lines.append(table.note)
        return "\n".join(lines)


class LiveContainer(Face, what="The container", again="container = {self._line}"):
    """A container of this notebook. One that ended is shown with its last lines: that is what one learns from.

    :param image: what `lab.build()` gave, or an image's name.
    :param arguments: what stands behind the image in `docker run`; the models are mounted at /models.
    :param cpu: "older": on an emulated CPU from before AVX, to see whether the image runs there.
    :param program: then, what is started; the image's entry point is not used.
    :param options: `docker run`'s, with underscores; and `model`, the model that is made sure to be there ("tiny").
    :raises LabError: when the daemon refuses to start it, in its words.
    """

    def __init__(
        self,
        lab: Bench,
        image: LiveBuild | str,
        *arguments: str,
        cpu: str = "",
        program: str = "/usr/bin/llama-server",
        **options: Any,
    ) -> None:
        self._tag = image.tag if isinstance(image, LiveBuild) else image
        words = [f"lab.build({image.dockerfile!r})" if isinstance(image, LiveBuild) else repr(image)]
        self._line = f"lab.run({', '.join([*words, *map(repr, arguments)])})"  # that opens it again
        found = models.get(options.pop("model", "tiny"))
        self._arguments, self._models = arguments, found.path.parent
        options |= {"publish": PORT, "mounts": {found.path.parent: "/models"}}
        self._claim = Claim(f"container of {self._tag}")
        try:
            if cpu == "older":
                #: What runs.
                self.container = run_on_older_cpu(self._tag, program, arguments, claim=self._claim, **options)
            else:
                self.container = Container(self._tag, arguments, claim=self._claim, **options)
            self._settle()
        except BaseException:
            self._claim.close()
            raise

    def _settle(self) -> None:
        """Until it answers, or has ended, or half a minute has gone: then it is looked at as it is."""
        try:
            url = self.container.address
            self.container.wait(lambda: outside(url)[0] == 200, within=6, what="answering")
        except LabError:
            pass

    @property
    def url(self) -> str:
        """Where its port is published on this machine."""
        return self.container.address

    def answers(self) -> Shown:
        """GET /health, asked from inside the container's own network and from outside, through the published port."""
        rows = [("inside", *_said(self._inside())), ("outside", *_said(self._outside()))]
        health = self.container.health
        notes = [f"Docker says: {health or 'the image has no HEALTHCHECK'}"]
        listens = re.findall(r"listening on (http\S+)", self.log(200))
        notes += [f"Its log says: listening on {listens[-1]}"] if listens else []
        return Shown(rows, notes, ("asked from", "status", "what it means"))

    def _outside(self) -> tuple[int | None, str]:
        try:
            if not self.container.state["Running"]:
                return None, "it has ended"
            return outside(self.container.address)
        except LabError as error:
            return None, error.what.splitlines()[0]

    def _inside(self) -> tuple[int | None, str]:
        """A second container in the network of the first: the image itself needs no tool for it."""
        if not self.container.state["Running"]:
            return None, "it has ended"
        ask = f"exec 3<>/dev/tcp/127.0.0.1/{PORT} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3"
        with Container(
            "debian:trixie-slim", ["bash", "-c", ask], network_mode=f"container:{self.container.raw.id}"
        ) as probe:
            code = probe.exit(within=15)
            said = probe.log(2)
        words = said.split()
        if code == 0 and len(words) > 1 and words[1].isdigit():
            return int(words[1]), said
        return None, said.splitlines()[-1] if said else "no answer"

    def log(self, lines: int = 20) -> str:
        """Its last lines."""
        return self.container.log(lines)

    def stop(self) -> str:
        """`docker stop`: how long it took and how it ended."""
        seconds, code = self.container.stop()
        return f"ended after {seconds:.1f} s with exit code {code}" + (
            " (it had to be killed)" if code == 137 else ""
        )

    def close(self) -> None:
        """Remove it; may be called twice."""
        self._claim.close()

    def __repr__(self) -> str:
        state = self.container.state
        if not state["Running"]:
            return f"✘ ended with exit code {state['ExitCode']}. Its last lines:\n{self.log(8)}"
        status, words = self._outside()
        return f"● running; from outside: {status or words}; Docker says: {self.container.health or 'no HEALTHCHECK'}"

    def _repr_html_(self) -> str:
        line = shlex.join(
            [
                "docker",
                "run",
                "-p",
                f"127.0.0.1:{PORT}:{PORT}",
                "-v",
                "MODELS:/models:ro",
                "IMAGE",
                *self._arguments,
            ]
        )
        return (
            f'<div role="status"><pre style="white-space:pre-wrap;font-family:monospace">{html.escape(repr(self))}</pre>'
            f"<small>the same from a shell:</small><pre style='white-space:pre-wrap;font-family:monospace'>{html.escape(line)}</pre></div>"
        )


def outside(url: str) -> tuple[int | None, str]:
    """The status of GET /health, or None and the reason."""
    try:
        with local_client(timeout=3) as client:
            reply = client.get(f"{url}/health")
    except httpx.HTTPError as error:
        return None, str(error) or type(error).__name__
    return reply.status_code, reply.text[:80]


def _said(found: tuple[int | None, str]) -> tuple[str, str]:
    status, words = found
    meaning = {200: "it serves", 503: "it is loading"}
    return (str(status), meaning.get(status, words)) if status else ("no answer", words)


def pin(lab: Bench, image: str) -> str:
    """An image's name with its digest, for FROM: `debian@sha256:…`. It is the same bits wherever it is built on."""
    if os.environ.get("LLMLAB_GRADING"):
        return image
    from .registry import pin

    return pin(image)


def recorded(lab: Bench, name: str) -> MeasuredImage:
    """Images that were measured once and came with the course (`data/NAME-*.json`), to be drawn."""
    paths = sorted((course_dir() / "data").glob(f"{name}-*.json"))
    return MeasuredImage(*(read_table(path) for path in paths))
