"""One container: started owned, watched from outside, stopped, and what it was like inside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import LabError
from . import bounds
from .daemon import client, speaking
from .owning import Claim

LOG = 30  # last lines of the log that an error shows


class Container:
    """A container of a claim's; its options are the docker SDK's own (`docker run`'s, with underscores).

    :param claim: whose it is; None: it gets a claim of its own, closed with it.
    :param publish: a container port that is published on a free port of 127.0.0.1.
    :raises LabError: when the daemon refuses to start it, with the daemon's words.
    """

    def __init__(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        claim: Claim | None = None,
        publish: int | None = None,
        mounts: Mapping[Path, str] | None = None,
        start: bool = True,
        **options: Any,
    ) -> None:
        from docker.errors import APIError, ContainerError, ImageNotFound

        self.raw: Any = None  # the docker SDK's own object
        self._claim = claim or Claim(f"container of {image}")
        self._own = claim is None
        self.publish = publish
        volumes = {str(path): {"bind": inside, "mode": "ro"} for path, inside in (mounts or {}).items()}
        volumes |= options.pop("volumes", {})
        if publish:
            options["ports"] = {f"{publish}/tcp": ("127.0.0.1", None)}
        options = bounds.container(options)
        options["labels"] = {**self._claim.labels, **options.get("labels", {})}
        try:
            with speaking():
                # Made first and started then: what cannot be started is left with our label on it, and removed below.
                self.raw = client().containers.create(
                    image, list(command) or None, volumes=volumes, **options
                )
                if start:
                    self.raw.start()
        except (APIError, ContainerError, ImageNotFound) as error:
            self.close()
            raise LabError(
                f"The container did not start: {getattr(error, 'explanation', None) or error}", where=image
            ) from None

    @classmethod
    def created(cls, image: str, *, claim: Claim, **options: Any) -> Container:
        """One that is made and not started: for its file system."""
        # An image without a command can be made all the same.
        return cls(image, ["none"], claim=claim, start=False, **options)

    @property
    def address(self) -> str:
        """Where its published port answers on this machine.

        :raises LabError: when it has ended, with its exit code and last lines.
        """
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.reload()
            found = (self.raw.ports or {}).get(f"{self.publish}/tcp")
            if found:
                return f"http://127.0.0.1:{found[0]['HostPort']}"
            if self.status == "exited":
                break
            time.sleep(0.02)
        raise self.ended("has no published port")

    def reload(self) -> None:
        """Ask the daemon how it is."""
        with speaking():
            self.raw.reload()

    @property
    def status(self) -> str:
        """running | exited | … as the daemon says."""
        return str(self.raw.status)

    @property
    def state(self) -> dict[str, Any]:
        """The daemon's `State`: exit code, OOMKilled, health."""
        self.reload()
        state: dict[str, Any] = self.raw.attrs["State"]
        return state

    @property
    def health(self) -> str | None:
        """starting | healthy | unhealthy; None: the image says nothing of health."""
        health = self.state.get("Health")
        return health["Status"] if health else None

    def log(self, lines: int = LOG) -> str:
        """Its last lines, stdout and stderr together."""
        with speaking():
            return str(self.raw.logs(tail=lines).decode(errors="replace").strip())

    def ended(self, how: str = "ended") -> LabError:
        """An error that says how it ended, with its last lines."""
        state = self.state
        code = state.get("ExitCode")
        why = " (out of memory)" if state.get("OOMKilled") else ""
        running = "is still running" if state.get("Running") else f"ended with code {code}{why}"
        return LabError(f"The container {how}; it {running}. Its last lines:\n{self.log(12)}")

    def run(self, *argv: str, user: str = "") -> tuple[int, str]:
        """Run a command inside it: exit code and what it printed."""
        with speaking():
            done = self.raw.exec_run(list(argv), user=user)
        output = done.output if isinstance(done.output, bytes) else b""
        return done.exit_code or 0, output.decode(errors="replace")

    def wait(self, condition: Callable[[], bool], *, within: float, what: str, every: float = 0.1) -> float:
        """Wait until a condition holds; returns the seconds it took.

        :raises LabError: when it does not hold in time, or the container ends before.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within:
                raise self.ended(f"was not {what} after {within:.0f} s")
            if not self.state.get("Running"):
                raise self.ended(f"ended before it was {what}")
            time.sleep(every)
        return time.monotonic() - began

    def exit(self, *, within: float) -> int:
        """Wait until it ends; its exit code.

        :raises LabError: when it still runs then.
        """
        deadline = time.monotonic() + within
        while self.state["Running"]:
            if time.monotonic() > deadline:
                raise self.ended(f"had not ended after {within:.0f} s")
            time.sleep(0.05)
        return int(self.state["ExitCode"])

    def stop(self, grace: int = 10) -> tuple[float, int]:
        """`docker stop`: the seconds it took and the exit code (137: it had to be killed)."""
        began = time.monotonic()
        with speaking():
            self.raw.stop(timeout=grace)
        return time.monotonic() - began, int(self.state["ExitCode"])

    def close(self) -> None:
        """Remove it; may be called twice."""
        from docker.errors import APIError

        if self._own:
            self._claim.close()
        elif self.raw is not None:
            with contextlib.suppress(APIError), speaking():
                self.raw.remove(force=True, v=True)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def processes(raw: Any) -> list[dict[str, str]]:
    """The processes of a container (the docker SDK's) as the host sees them: pid, uid, args; none when it has ended."""
    from docker.errors import APIError

    try:
        with speaking():
            found = raw.top(ps_args="-eo pid,uid,args")
    except APIError:
        return []
    return [dict(zip(("pid", "uid", "args"), row, strict=False)) for row in found["Processes"] or []]
