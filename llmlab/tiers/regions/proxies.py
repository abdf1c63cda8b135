"""HAProxy processes: one in front of each region's servers, which notes what reached it; and the learner's, at the entries."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from ...errors import LabError
from ...system.owned import Process

WITHIN = 5
VETTED = 20.0  # seconds within which HAProxy has read a file
REGIONAL = Path(__file__).with_name("regional.cfg")


def vet(line: tuple[str, ...], config: Path, env: Mapping[str, str], log: Path) -> None:
    """Ask HAProxy itself (`haproxy -c`) whether it takes a file that somebody handed in; nothing listens yet.

    :raises LabError: when it does not, in its own words, with the line.
    """
    log.write_text("")
    given = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | dict(env)
    argv = [*line, "-c", "-f", str(config)]
    process = Process(argv, label=f"haproxy -c -f {config.name}", log=log, env=given, handed_in=())
    try:
        if process.wait(VETTED) != 0:
            raise refused(config, log.read_text(errors="replace"))
    finally:
        process.kill()


def refused(config: Path, log: str) -> LabError:
    """Why HAProxy ended at once, in its own words."""
    alerts = [_ABOUT.sub("", line) for line in log.splitlines() if line.startswith("[ALERT]")]
    places = [re.search(r"\[[^\]]*?([^/\]]+):(\d+)\]", alert) for alert in alerts]
    place = next((match for match in places if match), None)
    text = "\n".join(alerts[:4]).replace(f"{config.parent}/", "")
    return LabError(
        f"HAProxy does not take {config.name}:\n{text}",
        where=f"{config.name}:{place[2]}" if place else config.name,
    )


class Proxy:
    """HAProxy with one configuration. It ends with `close`, and can be killed and started again.

    :param opens: a port of 127.0.0.1 that it must listen on.
    :raises LabError: when HAProxy refuses the file, in its own words, with the line; when it does not listen.
    """

    def __init__(
        self,
        line: tuple[str, ...],
        config: Path,
        *,
        opens: int,
        log: Path,
        env: Mapping[str, str],
        label: str,
        handed_in: bool = False,
    ) -> None:
        self.handed_in = handed_in
        self.line, self.config, self.opens, self.log, self.label = line, config, opens, log, label
        self.env = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | dict(env)
        self.log.write_text("")
        self.process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start it, if it does not run."""
        if self.process is not None and self.process.poll() is None:
            return
        line = [*self.line, "-db", "-f", str(self.config)]
        self.process = Process(
            line, label=self.label, log=self.log, env=self.env, handed_in=() if self.handed_in else None
        )
        deadline = time.monotonic() + WITHIN
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.opens)) == 0:
                    return
            ended = self.process.wait(0.02) is not None
            if ended or time.monotonic() > deadline:
                self.close()
                raise (
                    refused(self.config, self.log.read_text(errors="replace"))
                    if ended
                    else LabError(
                        f"{self.config.name}: HAProxy does not listen on ${{BIND}} (127.0.0.1:{self.opens}).",
                        where=self.config.name,
                        fix='bind "${BIND}"',
                    )
                )

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def said(self) -> list[str]:
        """Which servers it holds for down now, each with its reason."""
        down: dict[str, str] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            text = _ABOUT.sub("", line)[:240]
            if found := re.match(r"Server (\S+) is (UP|DOWN)", text):
                down.pop(found[1], None)
                if found[2] == "DOWN":
                    down[found[1]] = text
        return list(down.values())

    def close(self) -> None:
        """End it; may be called twice."""
        if self.process is not None:
            self.process.kill()


_ABOUT = re.compile(r"^\[(?:WARNING|ALERT)\]\s+\(\d+\) : ")
