"""The control plane as ordinary processes of this user: what `simulated` runs, and the kwok of fake nodes anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ....errors import Unavailable
from ....system import owned


class Programs:
    """Programs that belong together: each owned, each with a log, all ended at once."""

    def __init__(self, folder: Path, label: str) -> None:
        self.folder, self.label = folder, label
        self._running: dict[str, owned.Process] = {}

    def start(self, name: str, program: Path, *flags: str) -> None:
        """Start one; it ends with its owner."""
        self._running[name] = owned.Process(
            [str(program), *flags],
            label=f"{name} of {self.label}",
            log=self.folder / f"{name}.log",
            cwd=self.folder,
        )

    def check(self) -> None:
        """Whether all run.

        :raises Unavailable: naming the first that ended, with its last words.
        """
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                raise Unavailable(f"{name} of {self.label} ended ({code}): {self.words(name)}")

    def words(self, name: str, lines: int = 4) -> str:
        """The last lines of one's log."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
        return ""

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [process.pid for process in self._running.values() if process.poll() is None]

    def all_words(self) -> list[str]:
        """One last line of each."""
        return [f"{name}: {said}" for name in self._running if (said := self.words(name, 1))]

    def checked(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        """The condition, which also fails when a program ended."""

        def both() -> bool:
            self.check()
            return condition()

        return both

    def kill(self, names: Sequence[str] = ()) -> None:
        """End them now (default: all), the last first."""
        for name in reversed(list(names or self._running)):
            self._running.pop(name).kill()
