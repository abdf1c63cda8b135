"""What a notebook of the container labs calls: build an image, run it, bring a project up, boot a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .images import LiveBuild, LiveContainer
    from .info import LabInfo
    from .machines import LiveMachine
    from .projects import LiveProject

T = TypeVar("T", bound="Closes")


class Closes(Protocol):
    """Something that a lab holds open."""

    def close(self) -> None:
        """End it; may be called twice."""


class Containers:
    """The part of `Lab` that needs Docker. Everything it starts ends with `lab.stop()` and with the kernel."""

    info: LabInfo
    files: Path
    seed: int
    opened: list[Closes]

    def build(self, dockerfile: str = "Dockerfile", *, fresh: bool = False) -> LiveBuild:
        """`docker build` with one of this lab's files; `fresh` builds every step anew."""
        from .images import LiveBuild

        return self._hold(LiveBuild(self, dockerfile, fresh=fresh))

    def run(self, image: LiveBuild | str, *arguments: str, **options: Any) -> LiveContainer:
        """`docker run -d -p 127.0.0.1::8080 -v models:/models:ro IMAGE ARGUMENTS`; options as the docker SDK names them."""
        from .images import LiveContainer

        return self._hold(LiveContainer(self, image, arguments, **options))

    def up(
        self, file: str = "compose.yaml", *, scale: dict[str, int] | None = None, **options: Any
    ) -> LiveProject:
        """`docker compose up` with one of this lab's files."""
        from .projects import LiveProject

        return self._hold(LiveProject(self, file, scale=scale, **options))

    def boot(self, **options: Any) -> LiveMachine:
        """Boot a machine with systemd, to install a server on."""
        from .machines import LiveMachine

        return self._hold(LiveMachine(self, **options))

    def _hold(self, thing: T) -> T:
        self.opened.append(thing)
        return thing

    def close_opened(self) -> None:
        """End all that was opened, the last first."""
        while self.opened:
            self.opened.pop().close()
