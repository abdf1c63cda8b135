"""A booted machine as a notebook handles it: put the files on it, install, look, reboot."""

from __future__ import annotations

import html
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...records.schema import Cell, Table
from ...show.face import Face
from ...show.kept import keep
from . import machine as systemd
from . import probes as units
from . import quadlets, unit_files
from .machine import HOME, Installed, read

if TYPE_CHECKING:
    from ...figures import Picture
    from ...show.bench import Bench

FILES = ("llama-server.service", "llama.container", "install.sh")
UNIT = "llama-server.service"
GUIDE = "the guide's unit"
YOURS = "your unit"
EXPOSURE = {
    "unit": "whose unit file",
    "directive": "systemd's directive; overall: the total",
    "exposure": "0 to 10; null: nothing",
}


class Printed:
    """What a command printed, as a notebook shows it.

    :param text: all of it.
    :param code: with which the command ended.
    :param value: what it says as a number, where it says one.
    """

    def __init__(self, text: str, code: int = 0, value: int | None = None) -> None:
        self.text, self.code, self.value = text.strip(), code, value

    def __repr__(self) -> str:
        ended = f"\n(exit code {self.code})" if self.code else ""
        return (self.text or "(nothing)") + ended

    def _repr_html_(self) -> str:
        return f'<pre role="status" style="white-space:pre-wrap;font-family:monospace">{html.escape(repr(self))}</pre>'


class Exposed(Printed):
    """The exposure of the guide's unit and of the learner's; `.table`, `.overall`, `.plot()`.

    :param table: what `plot()` draws: each directive of both.
    :param path: the file that keeps it.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self.table, self.path = table, path
        totals = {row["unit"]: row["exposure"] for row in table.dicts() if row["directive"] == "overall"}
        self.overall = float(totals[YOURS] or 0)  # of the learner's unit, 0 to 10
        self.guide = float(totals[GUIDE] or 0)  # of the guide's
        super().__init__(f"{YOURS}: {self.overall} of 10; {GUIDE}: {totals[GUIDE]}")

    def plot(self, *, bound: float | None = None, guess: float | None = None) -> Picture:
        """What each directive leaves open, the guide's unit beside the learner's; with `guess`, a total that was named beforehand."""
        from . import figures

        return figures.exposure(self.table, bound=bound, guess=guess)


class LiveMachine(Face, what="The machine", again="machine = lab.boot()"):
    """A machine of this notebook, freshly booted. What it is asked for is read off the lab's files as they are now.

    :param key: the key that the server will ask for; None: a random one.
    :param options: more options of the machine's container, as the docker SDK takes them.
    :raises LabError: when a file is missing, or the machine does not boot here.
    """

    def __init__(self, lab: Bench, *, key: str | None = None, **options: Any) -> None:
        self.lab = lab  # whose files are put on it
        self.key = key or secrets.token_hex(16)
        self.installed: Installed | None = None  # what install.sh did the last time
        self.machine = systemd.furnished(lab.files, FILES, key=self.key, **options)  # the machine itself

    def _fresh(self) -> None:
        """Bring the learner's files on the machine up to date."""
        self.machine.put({f"{HOME}/{name}": read(self.lab.files / name) for name in FILES})

    def verify(self, name: str = UNIT) -> Printed:
        """`systemd-analyze verify`: what systemd does not understand, with file and line."""
        self._fresh()
        return Printed("\n".join(unit_files.complaints(self.machine, f"{HOME}/{name}")))

    def exposure(self) -> Exposed:
        """`systemd-analyze security` of the guide's unit and of yours; kept as a record."""
        self._fresh()
        self.machine.put({"/var/lib/llmlab/guide.service": read(self.lab.info.starter / UNIT)})
        rows: list[list[Cell]] = []
        for name, path in ((GUIDE, "/var/lib/llmlab/guide.service"), (YOURS, f"{HOME}/{UNIT}")):
            found = unit_files.exposure(self.machine, path)
            rows.append([name, "overall", found.overall])
            rows += [[name, directive.family, directive.exposure] for directive in found.directives]
        version = self.machine.run("systemctl --version")[1].split()[1]
        return Exposed(*keep(self.lab, "exposure", EXPOSURE, rows, systemd=version))

    def install(self) -> Printed:
        """Run install.sh as root in its folder; what went wrong is shown with its line, not raised."""
        self._fresh()
        self.installed = done = self.machine.install()
        failed = [f"line {line} failed with {code}" for line, code in done.failed if line]
        head = f"install.sh ended with code {done.code} after {done.seconds:.1f} s"
        if done.problem:
            return Printed(str(done.problem), done.code)
        return Printed("\n".join([head + (f" ({', '.join(failed[:3])})" if failed else ""), done.said]))

    def ask(self, key: str | None = None) -> Printed:
        """Ask for a completion from outside the machine, with the machine's key or another; "" asks without. `.value`: the status."""
        code = units.status(self.machine, self.key if key is None else key or None)
        return Printed(units.heard(code), value=code)

    def status(self) -> Printed:
        """The state of the service, and the last lines of its journal."""
        return Printed(units.last_words(self.machine))

    def changes(self) -> Printed:
        """Run install.sh again and say what that changed. `.value`: how many things."""
        self._fresh()
        before = units.snapshot(self.machine)
        done = self.machine.install()
        if done.problem:
            return Printed(str(done.problem), done.code)
        changes = before.changes(units.snapshot(self.machine))
        more = [f"and {len(changes) - 12} more"] if len(changes) > 12 else []
        said = "\n".join([*changes[:12], *more]) or f"nothing of {len(before.files):,} files changed"
        return Printed(said, value=len(changes))

    def quadlet(self) -> Printed:
        """What Podman's generator makes of llama.container: the command that its service would run."""
        self._fresh()
        made = quadlets.generate(self.machine, f"{HOME}/llama.container")
        line = next(setting for setting in made.splitlines() if setting.startswith("ExecStart="))
        return Printed(line.removeprefix("ExecStart=").replace(" --", " \\\n  --"))

    def run(self, command: str, *, timeout: float = 60) -> Printed:
        """Run a shell command on the machine as root, in the folder of your files."""
        code, said = self.machine.run(f"cd {HOME} && {command}", timeout=timeout)
        return Printed(said, code)

    def reboot(self) -> Printed:
        """Shut it down and boot it again."""
        return Printed(f"up again after {self.machine.reboot():.1f} s")

    def close(self) -> None:
        """End it; may be called twice."""
        self.machine.close()

    def __enter__(self) -> LiveMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"● a Debian 13 with systemd, your files in {HOME}, its port 8080 at {self.machine.address}"
