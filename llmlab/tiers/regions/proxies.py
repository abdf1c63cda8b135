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
REGIONAL = Path(__file__).with_name("regional.cfg")


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
                    self._refused()
                    if ended
                    else LabError(
                        f"{self.config.name}: HAProxy does not listen on ${{BIND}} (127.0.0.1:{self.opens}).",
                        where=self.config.name,
                        fix='bind "${BIND}"',
                    )
                )

    def _refused(self) -> LabError:
        """Why it ended at once, in its own words."""
        alerts = [
            _ABOUT.sub("", line)
            for line in self.log.read_text(errors="replace").splitlines()
            if line.startswith("[ALERT]")
        ]
        places = [re.search(r"\[[^\]]*?([^/\]]+):(\d+)\]", alert) for alert in alerts]
        place = next((match for match in places if match), None)
        text = "\n".join(alerts[:4]).replace(f"{self.config.parent}/", "")
        return LabError(
            f"HAProxy does not take {self.config.name}:\n{text}",
            where=f"{self.config.name}:{place[2]}" if place else self.config.name,
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
