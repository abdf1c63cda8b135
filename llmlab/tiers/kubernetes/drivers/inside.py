"""The first process inside a local cluster's namespaces; run as a script with the order's file as its argument.

It makes the place (mounts, loopback, forwarding), starts the programs phase by phase, waits between phases until an
address answers, and reaps whatever is left to it. When one of the programs ends, it says so in `ended` and stays:
the others go on, as on a node. It has no end of its own: whoever ends the namespaces ends everything in them.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _place(order: dict[str, Any]) -> None:
    _run("mount", "-t", "proc", "proc", "/proc")
    for path in order[
        "empty"
    ]:  # what is there on the host is not seen in here, and nothing of ours is left there
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    # kubelet and containerd pass mounts on to each other through here
    _run("mount", "--bind", order["shared"], order["shared"])
    _run("mount", "--make-rshared", order["shared"])
    for path in order["folders"]:
        Path(path).mkdir(parents=True, exist_ok=True)
    _run("hostname", order["hostname"])
    _run("ip", "link", "set", "lo", "up")
    for name, value in order["sysctls"].items():
        with contextlib.suppress(OSError):  # not every kernel has each of them in a namespace
            Path("/proc/sys", *name.split(".")).write_text(value)


def _answers(wait: dict[str, Any], deadline: float, alive: list[subprocess.Popen[bytes]]) -> bool:
    """Whether `wait["url"]` says 200, or `wait["path"]` is there, before the deadline and before a program ends."""
    trust = ssl.create_default_context(cafile=wait["ca"]) if "ca" in wait else None
    if trust is not None and "cert" in wait:
        trust.load_cert_chain(wait["cert"], wait["key"])
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    while time.monotonic() < deadline:
        if "path" in wait and os.path.exists(wait["path"]):
            return True
        if "url" in wait:
            with contextlib.suppress(OSError), opener.open(wait["url"], timeout=2) as reply:
                if reply.status == 200:
                    return True
        if any(process.poll() is not None for process in alive):
            return False
        time.sleep(0.05)  # the wait's own step: there is no library of ours in here
    return False


def main() -> None:
    """Make the place, start everything, reap for ever."""
    order = json.loads(Path(sys.argv[1]).read_text())
    ended = Path(order["ended"])

    def tell(name: str, code: int | None) -> None:
        with ended.open("a") as file:
            file.write(json.dumps({"program": name, "code": code}) + "\n")

    try:
        _place(order)
        # The host plugs the cable in: only then is there an address to listen on. Not /sys: that one is the host's.
        _answers({"path": f"/proc/sys/net/ipv4/conf/{order['cable']}"}, time.monotonic() + 30, [])
        for line in order["network"]:
            _run(*line)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        with ended.open("a") as file:
            file.write(
                json.dumps({"program": "its namespaces", "code": None, "said": f"{error} {said.decode()}"})
                + "\n"
            )
        return
    running: dict[int, str] = {}
    processes: list[subprocess.Popen[bytes]] = []
    for phase in order["phases"]:
        for program in phase["programs"]:
            with open(program["log"], "ab") as log:
                process = subprocess.Popen(
                    program["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=order["env"] | program.get("env", {}),
                    start_new_session=True,
                )
            processes.append(process)
            running[process.pid] = program["name"]
        if phase.get("until") and not _answers(phase["until"], time.monotonic() + order["within"], processes):
            break
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if pid in running:
            tell(running.pop(pid), os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
