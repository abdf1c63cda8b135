"""HAProxy processes: one in front of each region's servers, which notes what reached it; and the learner's, at the entries."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ...errors import LabError
from ...owned import Process

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
    ) -> None:
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
        self.process = Process(line, label=self.label, log=self.log, env=self.env)
        deadline = time.monotonic() + WITHIN
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.opens)) == 0:
                    return
            if self.process.wait(0.02) is not None or time.monotonic() > deadline:
                self.close()
                raise LabError(
                    f"{self.config.name}: HAProxy does not listen on ${{BIND}} (127.0.0.1:{self.opens}).\n"
                    + "\n".join(self.said()),
                    where=self.config.name,
                    fix='bind "${BIND}"',
                )

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def said(self) -> list[str]:
        """What it refuses, and which servers it holds for down now, each with its reason."""
        refused: list[str] = []
        down: dict[str, str] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            text = _ABOUT.sub("", line)[:240]
            if found := re.match(r"Server (\S+) is (UP|DOWN)", text):
                down.pop(found[1], None)
                if found[2] == "DOWN":
                    down[found[1]] = text
            elif line.startswith("[ALERT]") and "has no server available" not in text:
                refused.append(text)
        return [*refused[-6:], *down.values()]

    def close(self) -> None:
        """End it; may be called twice."""
        if self.process is not None:
            self.process.kill()


_ABOUT = re.compile(r"^\[(?:WARNING|ALERT)\]\s+\(\d+\) : ")


def refused(line: tuple[str, ...], config: Path, env: Mapping[str, str]) -> LabError | None:
    """What HAProxy itself says against a file (`haproxy -c`): an error with its line; None when it takes it."""
    whole = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | dict(env)
    done = subprocess.run(
        [*line, "-c", "-f", str(config)], capture_output=True, text=True, env=whole, timeout=30
    )
    if done.returncode == 0:
        return None
    said = [_ABOUT.sub("", one) for one in (done.stdout + done.stderr).splitlines()]
    alerts = [one for one in said if "parsing [" in one or "config :" in one]
    first = next((one for one in alerts if "parsing [" in one), alerts[0] if alerts else "")
    place = re.search(r"\[[^\]]*?([^/\]]+):(\d+)\]", first)
    text = "\n".join(alerts[:4]).replace(str(config.parent) + "/", "")
    return LabError(
        f"HAProxy does not take {config.name}:\n{text or done.stderr[-400:]}",
        where=f"{config.name}:{place[2]}" if place else config.name,
    )
