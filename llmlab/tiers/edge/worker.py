"""A worker in Cloudflare's own runtime: the learner's file and its configuration, as an owned process on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from ...errors import LabError
from ...serve.ports import free_port
from ...system.local_client import local_client
from ...system.owned import Process
from . import visitor, workerd

GEOGRAPHY = "x-lab-cf"  # the header in which a request says what `request.cf` is
WITHIN = 20
#: `…: error: Uncaught exception: workerd/jsg/value.h:1456: failed: remote.jsg.TypeError: …`
_UNCAUGHT = re.compile(r"[Uu]ncaught exception\W+(?:.*\bjsg\.)?(.*)")
_MISSING = re.compile(r'No such module "([^"]+)"\.?\s+imported from "([^"]+)"')


class Runtime:
    """workerd with one configuration, on a port of 127.0.0.1. It ends with its context.

    :raises LabError: when it does not start: the runtime's own words, with file and line where it names them.
    """

    def __init__(
        self,
        config: Path,
        log: Path,
        *,
        label: str,
        external: Mapping[str, int] | None = None,
        env: Mapping[str, str] | None = None,
        handed_in: bool = False,
    ) -> None:
        if not config.is_file():
            raise LabError(f"There is no {config.name}.", fix="llmlab reset")
        self.config, self.log, self.port = config, log, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        line = [str(workerd.bring()), "serve", config.name, "--socket-addr", f"http=127.0.0.1:{self.port}"]
        for name, port in (external or {}).items():
            line += ["--external-addr", f"{name}=127.0.0.1:{port}"]
        plain = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        log.write_text("")
        self.process = Process(
            line,
            label=label,
            log=log,
            env=plain | dict(env or {}),
            cwd=config.parent,
            handed_in=() if handed_in else None,
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            if self.process.wait(0.05) is not None:
                raise self._refused()
            if self._speaks():
                return
        raise LabError(
            f"{self.config.name} does not listen after {WITHIN} s.\n" + "\n".join(self.said()),
            where=self.config.name,
        )

    def _speaks(self) -> bool:
        """Whether it answers. It listens before it has read its workers, and a worker that it refuses ends it then.

        What is asked is no HTTP, which it says itself: no worker hears of it.
        """
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.settimeout(1)
            probe.connect(("127.0.0.1", self.port))
            probe.sendall(b"hello\r\n\r\n")
            return probe.recv(4) == b"HTTP"
        return False

    def _refused(self) -> LabError:
        said = self.said(12)
        words = "The runtime does not start it:\n" + "\n".join(said)
        missing = _MISSING.search(words)
        if missing:
            file, line = self._imports(missing[1], missing[2])
            return LabError(
                f"{words}\nNothing is installed or bundled here, and no other file is handed in: "
                "the worker has to be one file.",
                where=f"{file}:{line}" if line else file,
                fix=f"write it without {missing[1]}, or hand in the bundle: "
                f"npx esbuild {file} --bundle --format=esm --outfile=bundle.js && mv bundle.js {file}",
            )
        place = re.search(r"([\w.-]+\.(?:js|capnp)):(\d+)", words)
        return LabError(words, where=f"{place[1]}:{place[2]}" if place else self.config.name)

    def _imports(self, module: str, file: str) -> tuple[str, int | None]:
        """The file and the line that import a module; the runtime names the one, and not the other."""
        # It writes `./regions.js` as `regions.js`, and `https://` with one slash.
        wanted = re.compile(r"""["'](?:[./]*)""" + re.escape(module).replace(":/", ":/+") + r"""["']""")
        path = self.config.parent / Path(file).name
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        found = (number for number, text in enumerate(lines, 1) if wanted.search(text))
        return path.name, next(found, None)

    def said(self, lines: int = 6) -> list[str]:
        """The last lines that it wrote: what its worker logged, and exceptions that nobody caught."""
        return [line[:300] for line in self.log.read_text(errors="replace").splitlines() if line.strip()][
            -lines:
        ]

    def uncaught(self, since: int) -> str:
        """The last exception that nobody caught, as the runtime wrote it after so many bytes of its log; empty: none."""
        with self.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode(errors="replace").splitlines()
        found = [_UNCAUGHT.search(line) for line in lines]
        words = [match[1] for match in found if match]
        return words[-1][:300] if words else ""

    def close(self) -> None:
        """End it; may be called twice."""
        self.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Edge(Runtime):
    """The learner's worker between users and a world: its configuration names the outside `internet`, its keys are in its environment."""

    def __init__(self, config: Path, world: Any, *, client_key: str, log: Path) -> None:
        super().__init__(
            config,
            log,
            label=f"edge of {config.parent.name}",
            external={"internet": world.port},
            env={"CLIENT_KEY": client_key, "ORIGIN_KEY": world.key},
            handed_in=True,
        )
        self.client_key = client_key  # what the worker lets clients in with
        self._http = local_client(timeout=30, base_url=self.url)

    def request(
        self,
        method: str,
        path: str,
        *,
        cf: Mapping[str, Any] | None = None,
        key: str | None = "",
        **more: Any,
    ) -> httpx.Response:
        """A request of a user whom Cloudflare places at `cf`; `key` "" is the client's, None: without one.

        :raises httpx.HTTPError: as the user meets it.
        """
        return self._http.send(self.build(method, path, cf=cf, key=key, **more))

    def build(
        self,
        method: str,
        path: str,
        *,
        cf: Mapping[str, Any] | None = None,
        key: str | None = "",
        **more: Any,
    ) -> httpx.Request:
        """The request itself, with what Cloudflare adds to it, for whoever streams it."""
        given = dict(more.pop("headers", {}))
        added = visitor.headers(cf or {}, given)
        headers = {name: value for name, value in given.items() if name.lower() not in added} | added
        if cf is not None:
            headers[GEOGRAPHY] = json.dumps(cf)
        if key is not None:
            headers["authorization"] = f"Bearer {key or self.client_key}"
        return self._http.build_request(method, path, headers=headers, **more)

    def stream(self, request: httpx.Request) -> httpx.Response:
        """Send it, and give back the reply with its body still to come."""
        return self._http.send(request, stream=True)

    def close(self) -> None:
        """End it; may be called twice."""
        if hasattr(self, "_http"):
            self._http.close()
        super().close()
