"""A real JupyterHub with learners who are real users of this machine, asked from outside; all of it gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import re
import secrets
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import httpx
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from llmlab.errors import LabError
from llmlab.hub import network
from llmlab.system.paths import cache_dir
from llmlab.system.waiting import wait

PROXY = "5.3.0"
BIN = Path(sys.executable).parent
COURSE = Path(__file__).resolve().parents[2]
#: Interpreter and cache may lie in root's home, where learners cannot go: in the hub's own view of the machine that folder is open, and
#: holds nothing else.
VIEW = """
set -e
held=$(mktemp -d /run/llmlab-hub-XXXXXX)
mount -t tmpfs tmpfs "$held"
for path in $KEPT; do mkdir -p "$held$path"; mount --bind "$path" "$held$path"; done
for home in $CLOSED; do mount -t tmpfs -o mode=755 tmpfs "$home"; done
for path in $KEPT; do mkdir -p "$path"; mount --bind "$held$path" "$path"; done
umount --recursive "$held"
rmdir "$held"
exec "$@"
"""


def proxy() -> Path:
    """configurable-http-proxy (https://github.com/jupyterhub/configurable-http-proxy), fetched once into the cache."""
    folder = cache_dir() / "tests" / f"configurable-http-proxy-{PROXY}"
    command = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    if not command.exists():
        line = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder]
        subprocess.run([*line, f"configurable-http-proxy@{PROXY}"], check=True, timeout=120)
    return command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class HubAtWork:
    """A hub with `learners`, each of whom has a server."""

    def __init__(self, folder: Path, *, walled: bool, learners: int = 2) -> None:
        mark = secrets.token_hex(3)
        self.learners = [f"llmlab{mark}{number}" for number in range(learners)]
        self.homes: list[Path] = []
        self.left: list[str] = []  # of the learners' processes, after the end
        self.folder = folder
        self.walled = walled
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._heard = threading.Event()
        self._key = secrets.token_hex()
        self.client = httpx.Client(base_url=self.url, timeout=200, trust_env=False)

    def __enter__(self) -> HubAtWork:
        _sweep()
        try:
            for learner in self.learners:
                mark = f"test {os.getpid()}"
                subprocess.run(["useradd", "--create-home", "--comment", mark, learner], check=True)
                self.homes.append(Path(pwd.getpwnam(learner).pw_dir))
            self._start()
            self.tokens = {learner: self._token(learner) for learner in self.learners}
            for learner in self.learners:
                self._spawn(learner)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._listener.join()
        self.client.close()
        with contextlib.suppress(LabError):  # what the last one let go may still be on its way out
            wait("the end of the learners' processes", lambda: not self.processes(), 20)
        for other in self.processes():
            with contextlib.suppress(psutil.Error):
                self.left.append(f"{other.pid} {other.cmdline()}")
                other.kill()
        if self.walled:
            away = ["ip", "address", "delete", f"{network.HUB}/32", "dev", "lo"]
            subprocess.run(away, capture_output=True)
        for learner in self.learners:
            network.take_down(learner)
            subprocess.run(["userdel", "--remove", "--force", learner], capture_output=True)

    def processes(self) -> list[psutil.Process]:
        """Those of the learners."""
        uids = {user.pw_uid for user in pwd.getpwall() if user.pw_name in self.learners}
        return [other for other in psutil.process_iter() if _uid(other) in uids]

    # -- the hub -------------------------------------------------------------------------------------

    def _start(self) -> None:
        config = self.folder / "jupyterhub_config.py"
        config.write_text(self._config())
        kept = [Path(sys.base_prefix), cache_dir()]
        closed = {above: path for path in kept for above in path.parents if not above.stat().st_mode & 0o001}
        env = os.environ | {
            "CLOSED": " ".join(map(str, closed)),
            "KEPT": " ".join(str(path) for path in kept if set(path.parents) & set(closed)),
        }
        line = [
            "setpriv",
            "--pdeathsig",
            "TERM",
        ]  # a hub whose tests were killed ends, and its servers with it
        line += ["unshare", "--mount", "--propagation", "slave", "bash", "-c", VIEW, "bash"]
        self.process = subprocess.Popen(
            [*line, BIN / "jupyterhub", "-f", config],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._heard.wait(120)
        assert self.process.poll() is None, self.log()

    def _listen(self) -> None:
        """Keep what the hub says, and wake who waits for it to run, or to end."""
        with self.process.stdout as lines:
            for line in lines:
                self._said.append(line)
                if "JupyterHub is now running" in line:
                    self._heard.set()
        self.process.wait()
        self._heard.set()

    def log(self) -> str:
        """Its last words."""
        return "".join(self._said[-60:])

    def _config(self) -> str:
        api, hub = free_port(), free_port()
        walls = "from llmlab.hub.spawner import walls\nwalls(c)\n" if self.walled else ""
        return f"""
c.JupyterHub.bind_url = {self.url!r}
c.JupyterHub.hub_port = {hub}
c.JupyterHub.db_url = "sqlite:///{self.folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{self.folder}/cookie"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {self._key!r}
c.Authenticator.allowed_users = {set(self.learners)!r}
c.ConfigurableHTTPProxy.command = ["{proxy()}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.pid_file = "{self.folder}/proxy.pid"
c.Spawner.cmd = ["{COURSE}/binder/start", "{BIN}/jupyterhub-singleuser"]
c.Spawner.environment = {{"LLMLAB_SHARED_CACHE": "{cache_dir()}", "PATH": "{BIN}:/usr/bin:/bin"}}
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = c.Spawner.start_timeout = 180
c.JupyterHub.services = [{{"name": "tests", "api_token": {self._key!r}}}]
c.JupyterHub.load_roles = [{{"name": "tests", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["tests"]}}]
{walls}"""

    def _token(self, learner: str) -> str:
        made = self._ask("POST", f"/users/{learner}")
        assert made.status_code in (201, 409), made.text
        made = self._ask("POST", f"/users/{learner}/tokens")
        assert made.status_code == 201, made.text
        return made.json()["token"]

    def _spawn(self, learner: str) -> None:
        asked = self._ask("POST", f"/users/{learner}/server")
        assert asked.status_code in (201, 202), asked.text
        said = []
        headers = {"Authorization": f"token {self._key}"}
        with self.client.stream(
            "GET", f"/hub/api/users/{learner}/server/progress", headers=headers
        ) as events:
            for line in events.iter_lines():
                said.append(line)
                if '"ready": true' in line:
                    return
        raise AssertionError("\n".join([*said, self.log()]))

    def _ask(self, method: str, path: str) -> httpx.Response:
        return self.client.request(method, f"/hub/api{path}", headers={"Authorization": f"token {self._key}"})

    # -- a learner -----------------------------------------------------------------------------------

    def get(self, path: str, learner: str | None = None) -> httpx.Response:
        """What a learner (None: nobody) gets from the hub's front door."""
        headers = {"Authorization": f"token {self.tokens[learner]}"} if learner else {}
        return self.client.get(path, headers=headers)

    def sign_in(self, learner: str) -> httpx.Client:
        """A browser in which a learner has signed in."""
        browser = httpx.Client(base_url=self.url, timeout=200, trust_env=False, follow_redirects=True)
        browser.get("/hub/login")
        form = {"username": learner, "password": self._key, "_xsrf": browser.cookies["_xsrf"]}
        said = browser.post("/hub/login", data=form)
        assert said.status_code == 200, said.text
        return browser

    def kernel(self, learner: str) -> str:
        made = self.client.post(
            f"/user/{learner}/api/kernels",
            headers={"Authorization": f"token {self.tokens[learner]}"},
            json={"name": "python3"},
        )
        assert made.status_code == 201, made.text
        return made.json()["id"]

    def run(self, learner: str, kernel: str, code: str) -> str:
        """What a cell prints in a learner's kernel."""
        return asyncio.run(self._run(learner, kernel, code))

    async def _run(self, learner: str, kernel: str, code: str) -> str:
        url = f"ws://127.0.0.1:{self.port}/user/{learner}/api/kernels/{kernel}/channels"
        headers = {"Authorization": f"token {self.tokens[learner]}"}
        channel = await websocket_connect(HTTPRequest(url, headers=headers))
        session = uuid.uuid4().hex
        header = {
            "msg_id": session,
            "msg_type": "execute_request",
            "username": "",
            "session": session,
            "version": "5.3",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
        await channel.write_message(json.dumps(message))
        printed = ""
        while True:
            said = json.loads(await asyncio.wait_for(channel.read_message(), 120))
            if said["parent_header"].get("msg_id") != session:
                continue
            if said["msg_type"] == "stream":
                printed += said["content"]["text"]
            elif said["msg_type"] == "error":
                raise AssertionError("\n".join(said["content"]["traceback"]))
            elif said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                break
        channel.close()
        while await channel.read_message() is not None:  # until the other side has closed it too
            pass
        return printed.strip()


def _sweep() -> None:
    """Remove the users of tests that were killed."""
    for user in pwd.getpwall():
        found = re.fullmatch(r"test (\d+)", user.pw_gecos)
        if user.pw_name.startswith("llmlab") and found and not psutil.pid_exists(int(found[1])):
            subprocess.run(["userdel", "--remove", "--force", user.pw_name], capture_output=True)


def _uid(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.uids().real
    except psutil.Error:
        return None
