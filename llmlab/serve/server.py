"""A running llama-server: started, ready, asked, stopped."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from .. import engine as engines
from .. import models
from ..engine import nvidia
from ..engine.flags import STARTS_PROGRAMS
from ..errors import LabError
from ..records.schema import Device, ServerInfo, Throttle
from ..system import owned
from ..system.paths import state_dir
from .api import Api
from .diagnosis import telling_line, why_it_died
from .limits import Fence, fence
from .ports import free_port, port_holder
from .spec import Spec, Value, starts_programs

POLL = 0.01  # seconds between two looks at /health: a look costs the server under a millisecond
TERM_AGAIN = 0.5  # seconds after which a second SIGTERM ends a server that hangs on requests in flight
KILL = 1.2  # seconds after which it is killed: stop() keeps its promise of 2 s


class Server(Api):
    """One llama-server that this object owns.

    `with Server(spec) as server:` starts it, waits until the model is loaded, and stops it at the end.
    It also ends when the interpreter does, however that happens.

    :raises LabError: unknown flag, missing model, port taken, or the server ended while it loaded
        (with its own last error line).
    """

    def __init__(
        self,
        spec: Spec | None = None,
        *,
        port: int | None = None,
        need: tuple[str, ...] = (),
        deadline: float = 300.0,
        within: float | None = None,
        **flags: Value,
    ) -> None:
        spec = spec or Spec(flags={key.replace("_", "-"): value for key, value in flags.items()})
        self.spec = spec  # what it is to be
        self.need = need  # what its engine must be able to do
        self.deadline = deadline  # seconds without a sign of progress
        self.within = within  # seconds in all; None: as long as there is progress
        self.device = Device(asked=spec.device, used="cpu")  # what it computes on, and what was asked for
        self._port_asked = port
        self._free = 0
        self._process: owned.Process | None = None
        self._fence: Fence | None = None
        self._peak_rss = 0
        self._argv: list[str] = []
        self.exit_code: int | None = None  # None: it has not ended
        self.seconds_to_ready: float | None = None  # from its start to the first 200 of /health
        self.key = spec.api_key()  # what requests are let in with; None: any are
        self.engine = self._find_engine()  # the program that serves
        self.model = models.get(spec.model_path())  # the file that it loads
        self.folder = state_dir() / "servers" / uuid.uuid4().hex[:12]  # its own; gone when it has ended
        self.log = self.folder / "server.log"  # what it has written

    def _find_engine(self) -> engines.Engine:
        path = self._engine_path()
        if self.spec.device == "cuda" and path is None:
            # a llama-server for the CPU on PATH comes before our own with CUDA, which is what was asked for
            with contextlib.suppress(LabError):
                return engines.find(need=(*self.need, "cuda"))
        return engines.find(path, need=self.need)

    def _engine_path(self) -> str | None:
        name = self.spec.engine
        if name in (None, "wheel", "built"):
            return name
        return str(self.spec.folder / Path(str(name)).expanduser())

    # -- the command line ---------------------------------------------------------------------------

    def _arguments(self) -> list[str]:
        spec = self.spec
        flags: dict[str, Value] = dict(spec.flags)
        for key, instead in (("model", 'model = "20m"'), ("device", 'device = "cuda"')):
            if key in flags:
                raise LabError(
                    f"{key} stands among the flags.",
                    where=spec.where(key),
                    fix=f"write {instead} at the top of the file, above [flags]",
                )
        port = self._port(flags.pop("port", None))
        host = str(flags.pop("host", "127.0.0.1"))
        key_file = flags.get("api-key-file")
        if isinstance(key_file, str):
            flags["api-key-file"] = str(spec.folder / key_file)
        flags |= self._gpu(flags) if spec.device != "cpu" else self._cpu()
        flags = {"model": str(self.model.path), "host": host, "port": port, **flags}
        self.host, self.port = host, port
        table = self.engine.flags()
        for name, value in flags.items():  # one by one, so that an error names its line
            table.argv({name: value}, source=spec.where(name))
            if value is not False and table.get(name).long in STARTS_PROGRAMS:
                raise starts_programs(name, spec.where(name))
        return table.argv(flags, source=str(spec.source) if spec.source else None)

    def _port(self, in_file: Value | None) -> int:
        if self._port_asked is not None:
            asked = self._port_asked
        elif in_file is None:
            asked = 0
        else:
            try:
                asked = int(str(in_file))
            except ValueError:
                asked = -1
            if not 0 <= asked < 65536:
                raise LabError(
                    f"{in_file!r} is not a port.", where=self.spec.where("port"), fix="port = 8080"
                )
        if asked == 0:
            return self.choose_port()
        holder = port_holder(asked)
        if holder:
            raise LabError(
                f"Port {asked} is taken by {holder}.",
                where=self.spec.where("port"),
                fix="leave `port` out of [flags]: a free one is found",
                without=f"or end {holder}, if it is yours",
            )
        return asked

    def choose_port(self) -> int:
        """A free port, chosen once, so that `command` shows before the start what runs after it."""
        self._free = self._free or free_port()
        return self._free

    def _gpu(self, flags: Mapping[str, Value]) -> dict[str, Value]:
        """The flags that put the layers on the asked device; where there is no such device, those that keep them on the CPU."""
        asked = self.spec.device
        if asked != "cuda":
            raise LabError(
                f"Unknown device {asked!r}.", where=self.spec.where("device"), fix='"cpu" or "cuda"'
            )
        view = self.engine.cuda()
        if not view.devices or view.obstacle is not None:
            obstacle = engines.no_cuda(self.engine)
            self.device = Device(
                asked="cuda",
                used="cpu",
                note=f"no CUDA device in reach of this engine ({self.engine.line()}), so it runs on the CPU: {obstacle.what}; "
                f"{obstacle.mend}",
            )
            return self._cpu()
        driver = nvidia.driver()
        self.device = Device(
            asked="cuda",
            used="cuda",
            name=view.devices[0],
            note=view.remark,
            driver=driver.version,
            cuda=driver.cuda,
        )
        return {"device": view.devices[0].split(":")[0], "n-gpu-layers": flags.get("n-gpu-layers", "all")}

    def _cpu(self) -> dict[str, Value]:
        """The flag that keeps an engine on the CPU; none where it has nothing else. (llama-server's own default is any GPU it finds.)"""
        return {"device": "none"} if self.engine.devices() else {}

    @property
    def command(self) -> str:
        """The line to paste into a shell to start the same server."""
        line = shlex.join([*self.engine.argv, *(self._argv or self._arguments())])
        limits = self.spec.limits
        if self._fence is not None and self._fence.prefix:
            line = shlex.join(self._fence.prefix) + " " + line
        elif self._fence is not None and self._fence.affinity:
            line = f"taskset -c {','.join(map(str, self._fence.affinity))} " + line
        elif limits:
            quota = []
            if limits.cpus is not None:
                quota.append(f"-p CPUQuota={limits.cpus * 100:g}%")
            if limits.memory is not None:
                quota.append(f"-p MemoryMax={limits.memory}")
            user = "" if os.geteuid() == 0 else "--user "
            line = f"systemd-run {user}--scope {' '.join(quota)} -- " + line
        if self.spec.env.get("LLAMA_API_KEY"):
            line = "LLAMA_API_KEY=… " + line
        return line

    @property
    def prefix(self) -> str:  # type: ignore[override]
        """What stands before every path (`api-prefix`), usually nothing."""
        return str(self.spec.flags.get("api-prefix", ""))

    @property
    def url(self) -> str:  # type: ignore[override]
        """Where it answers, e.g. `http://127.0.0.1:40755`."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host
        return f"http://{host}:{self.port}"

    # -- life ---------------------------------------------------------------------------------------

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Server:
        """Start it and return when the model is loaded. A second start after a stop is fine."""
        if self.running:
            return self
        self._argv = self._arguments()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fence = fence(self.spec.limits)
        # Variables the learner's shell happens to hold would change the server behind the file's back.
        env = {k: v for k, v in os.environ.items() if not k.startswith("LLAMA_ARG_")} | dict(self.spec.env)
        began = time.monotonic()
        try:
            self._process = owned.Process(
                [*self._fence.prefix, *self.engine.argv, *self._argv],
                label=f"llama-server {self.model.name} on port {self.port}",
                log=self.log,
                env=env,
                join=self._fence.join,
                affinity=self._fence.affinity,
                handed_in=() if self.spec.source is not None else None,
            )
            self._fence.started(self._process.pid)
            self._wait_ready(began)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.monotonic() - began
        return self

    def _wait_ready(self, began: float) -> None:
        process = self._process
        assert process is not None
        size, moved = 0, time.monotonic()
        while True:
            # Waiting on the process is the pause between two looks: its end is seen at once.
            if process.wait(POLL) is not None:
                raise self._died()
            if self._is_healthy():
                return
            now = time.monotonic()
            if self.log.exists() and self.log.stat().st_size != size:
                size, moved = self.log.stat().st_size, now  # still making progress
            if self.within is not None and now - began > self.within:
                raise LabError(
                    f"llama-server was not ready within {self.within:.0f} s.",
                    where=f"pid {process.pid}, log {self.log}",
                    fix="a smaller model, a shorter warm-up, or a larger [limits]",
                )
            if now - moved > self.deadline:
                raise LabError(
                    f"llama-server was not ready and silent for {self.deadline:.0f} s.",
                    where=f"pid {process.pid}, log {self.log}",
                    fix="a smaller model, or a larger deadline",
                )

    def _is_healthy(self) -> bool:
        # A bare socket: this runs every 10 ms while the model loads, and a refused connection is normal.
        try:
            with socket.create_connection((self.url.split("//")[1].rsplit(":", 1)[0], self.port), 0.5) as s:
                s.settimeout(2)
                s.sendall(
                    f"GET {self.prefix}/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
                )
                return s.recv(64).split(b" ", 2)[1:2] == [b"200"]
        except OSError:
            return False

    def _died(self) -> LabError:
        process = self._process
        assert process is not None
        self.exit_code = process.poll()
        return why_it_died(
            self.exit_code,
            engine=self.engine,
            model=self.model,
            port=self.port,
            error=self.last_error,
            where=f"pid {process.pid}, log {self.log}",
            fence=self._fence,
        )

    @property
    def running(self) -> bool:  # type: ignore[override]
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    def drain(self, timeout: float = 30.0) -> bool:
        """Wait until no slot is busy and nothing is queued; True when that happened within `timeout` seconds.

        llama-server does not drain on SIGTERM (it stops answering and hangs), so drain first, then stop.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not any(slot["is_processing"] for slot in self.slots()):
                return True
            if self._process is not None and self._process.wait(0.02) is not None:
                return True
        return False

    def stop(self) -> None:
        """Stop it within 2 s, with any number of requests in flight, and remove what was made around it."""
        process, self._process = self._process, None
        if process is not None:
            self._note_rss(process.pid)
            process.signal(signal.SIGTERM)
            code = process.wait(TERM_AGAIN)
            if code is None:
                # It hangs on requests in flight; the second SIGTERM ends it at once, with code 1.
                process.signal(signal.SIGTERM)
                code = process.wait(KILL - TERM_AGAIN)
            process.kill()
            self.exit_code = code if code is not None else process.poll()
        self.close_client()
        if self._fence is not None:
            self._fence.close()
        if process is not None and self.exit_code in (0, 1, -15):
            self._tail = self._read_tail()
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what it is and does ------------------------------------------------------------------------

    def _read_tail(self, lines: int = 200) -> list[str]:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 65536))
                text = file.read().decode(errors="replace")
        except OSError:
            return getattr(self, "_tail", [])[-lines:]
        return text.splitlines()[-lines:]

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self._read_tail(lines)[-lines:])

    def last_error(self) -> str:
        """The log line that says best what went wrong."""
        return telling_line(self._read_tail())

    def listening(self) -> list[str]:
        """The addresses its process listens on, e.g. ["127.0.0.1"]; "0.0.0.0" or "::" is everyone who reaches this machine."""
        if self.pid is None:
            return []
        connections = psutil.Process(self.pid).net_connections("inet")
        return sorted(
            {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
        )

    def _note_rss(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            self._peak_rss = max(self._peak_rss, psutil.Process(pid).memory_info().rss)

    def rss(self) -> int:
        """Resident memory in bytes, now (0 when it does not run)."""
        pid = self.pid
        if pid is None:
            return 0
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0

    def throttle(self) -> Throttle | None:
        """CFS throttling since the start; None without a cgroup quota."""
        return self._fence.throttle() if self._fence is not None else None

    def oom_kills(self) -> int:
        """How often the memory limit killed it."""
        return self._fence.oom_kills() if self._fence is not None else 0

    def info(self) -> ServerInfo:
        """What a record keeps of this server."""
        props = self.props()
        threads = self.spec.flags.get("threads")
        return ServerInfo(
            command=[*self.engine.argv, *self._argv],
            flags=dict(self.spec.flags),
            engine=self.engine.kind,
            engine_version=self.engine.version,
            model=self.model.name,
            model_sha256=self.model.sha256,
            model_parameters=self.model.parameters,
            model_bytes=self.model.bytes,
            slots=int(props["total_slots"]),
            ctx_per_slot=int(props["default_generation_settings"]["n_ctx"]),
            threads=threads if isinstance(threads, int) else None,
            device=self.device,
            cpus=self.spec.limits.cpus,
            memory_limit=self.spec.limits.memory,
            limiter=self._fence.limiter if self._fence is not None and self.spec.limits else None,
        )

    def __repr__(self) -> str:
        state = f"running at {self.url}, pid {self.pid}" if self.running else "stopped"
        return f"<Server {self.model.name} {state}>"
