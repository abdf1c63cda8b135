"""What a notebook of the labs from 03 on calls: build an image, run it, bring a project up, boot a machine, ask for a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..show.elsewhere import Elsewhere

if TYPE_CHECKING:
    from ..course.info import LabInfo
    from ..tiers.aws.notebook.project import LiveInfra
    from ..tiers.compose.notebook import LiveProject
    from ..tiers.docker.notebook import LiveBuild, LiveContainer, MeasuredImage
    from ..tiers.edge.notebook import LiveEdge
    from ..tiers.kubernetes.notebook.cluster import LiveCluster
    from ..tiers.regions.notebook import LiveRegions
    from ..tiers.systemd.notebook import LiveMachine

T = TypeVar("T", bound="Closes")


class Closes(Protocol):
    """Something that a lab holds open."""

    def close(self) -> None:
        """End it; may be called twice."""


class Containers:
    """The part of `Lab` that needs Docker or a cluster. Everything it starts ends with `lab.stop()` and with the kernel."""

    info: LabInfo
    files: Path
    seed: int
    opened: list[Closes]

    def build(self, dockerfile: str = "Dockerfile", *, fresh: bool = False) -> LiveBuild:
        """`docker build` with one of this lab's files; `fresh` builds every step anew."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.docker.notebook import LiveBuild

        return self._hold(LiveBuild(self, dockerfile, fresh=fresh))

    def pin(self, image: str) -> str:
        """An image's name with its digest, for FROM: `debian@sha256:…`. It is the same bits wherever it is built on."""
        if os.environ.get("LLMLAB_GRADING"):
            return image
        from ..tiers.docker.registry import pin

        return pin(image)

    def recorded(self, name: str) -> MeasuredImage:
        """Images that were measured once and came with the course (`data/NAME-*.json`), to be drawn."""
        from ..records.store import read_table
        from ..system.paths import course_dir
        from ..tiers.docker.notebook import MeasuredImage

        return MeasuredImage(
            *(read_table(path) for path in sorted((course_dir() / "data").glob(f"{name}-*.json")))
        )

    def run(self, image: LiveBuild | str, *arguments: str, **options: Any) -> LiveContainer:
        """`docker run -d -p 127.0.0.1::8080 -v models:/models:ro IMAGE ARGUMENTS`; options as the docker SDK names them."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.docker.notebook import LiveContainer

        return self._hold(LiveContainer(self, image, arguments, **options))

    def up(
        self, file: str = "compose.yaml", *, scale: dict[str, int] | None = None, **options: Any
    ) -> LiveProject:
        """`docker compose up` with one of this lab's files."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.compose.notebook import LiveProject

        return self._hold(LiveProject(self, file, scale=scale, **options))

    def boot(self, **options: Any) -> LiveMachine:
        """Boot a machine with systemd, to install a server on."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.systemd.notebook import LiveMachine

        return self._hold(LiveMachine(self, **options))

    def cluster(self, *addons: str) -> LiveCluster:
        """The cluster that `llmlab cluster up` left running, else one of this notebook's own, with add-ons and the lab's images."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.kubernetes.notebook.cluster import LiveCluster

        for one in [one for one in self.opened if isinstance(one, LiveCluster)]:
            one.close()
            self.opened.remove(one)
        return self._hold(LiveCluster(self, addons))

    def terraform(self) -> LiveInfra:
        """Terraform with this lab's files, beside a local AWS of this notebook's own."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.aws.notebook.project import LiveInfra

        for one in [one for one in self.opened if isinstance(one, LiveInfra)]:
            one.close()
            self.opened.remove(one)
        return self._hold(LiveInfra(self))

    def edge(self) -> LiveEdge:
        """Three regions, and this lab's worker in front of them."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.edge.notebook import LiveEdge

        for one in [one for one in self.opened if isinstance(one, LiveEdge)]:
            one.close()
            self.opened.remove(one)
        return self._hold(LiveEdge(self))

    def regions(self) -> LiveRegions:
        """Three regions, and this lab's routing of users to them."""
        if os.environ.get("LLMLAB_GRADING"):
            return Elsewhere()  # type: ignore[return-value]
        from ..tiers.regions.notebook import LiveRegions

        for one in [one for one in self.opened if isinstance(one, LiveRegions)]:
            one.close()
            self.opened.remove(one)
        return self._hold(LiveRegions(self))

    def _hold(self, thing: T) -> T:
        self.opened.append(thing)
        return thing

    def close_opened(self) -> None:
        """End all that was opened, the last first."""
        while self.opened:
            self.opened.pop().close()
