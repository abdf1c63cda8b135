"""Probes of a service on a booted machine: who it runs as, what it can reach, what holds it, where its key stands."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import httpx

from ...errors import LabError, Unavailable
from ...system.local_client import local_client
from .machine import TAIL, Installed, SystemdMachine

UNIT = "llama-server.service"
#: Codes with which systemd itself ends a process that it could not start (systemd.exec(5), "Process Exit Codes").
NEVER_STARTED = range(200, 246)


@dataclass
class Site:
    """A machine that install.sh was run on, and the key that opens its server now."""

    machine: SystemdMachine  # where it runs
    key: str  # what opens its server now
    installed: Installed  # what install.sh did there


def status(machine: SystemdMachine, key: str | None, *, timeout: float = 10) -> int:
    """The HTTP status of a completion asked for from outside the machine; 0: nobody answers."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with local_client(timeout=timeout, headers={**headers, "Connection": "close"}) as client:
            reply = client.post(f"{machine.address}/completion", json={"prompt": "x", "n_predict": 1})
    except httpx.HTTPError:
        return 0
    return reply.status_code


def await_answer(machine: SystemdMachine, key: str, *, within: float = 20) -> None:
    """Wait until a completion with the key is answered with 200.

    :raises LabError: when it is not, or the service failed: with its state and the last lines of its journal.
    """
    seen: dict[str, str] = {}
    got = 0

    def settled() -> bool:
        nonlocal seen, got
        got = status(machine, key)
        seen = machine.show("ActiveState", "SubState", "Result", "ExecMainStatus", "LoadState")
        hopeless = (
            int(seen.get("ExecMainStatus") or 0) in NEVER_STARTED and seen["SubState"] == "auto-restart"
        )
        return got == 200 or seen["ActiveState"] == "failed" or seen["LoadState"] != "loaded" or hopeless

    try:
        machine.wait(settled, within=within, what="answering")
    except Unavailable:
        raise
    except LabError:
        pass  # said below, in the words of the service rather than the container's
    if got != 200:
        raise LabError(
            f"{describe(seen)}; {heard(got)}. The journal's last lines:\n{machine.journal()}", where=UNIT
        )


def settle(site: Site) -> None:
    """After a check that disturbed the service: its failures forgotten, started if it is not, and the key that opens it.

    What one check did must not count as a start too many in the next, nor as its own failure.
    """
    machine = site.machine
    machine.run(
        f"systemctl reset-failed {UNIT}; systemctl is-active --quiet {UNIT} || systemctl start {UNIT}"
    )
    with contextlib.suppress(LabError):  # the next check says so itself
        await_answer(machine, site.key, within=10)


def heard(code: int) -> str:
    """What a status says of the port."""
    return f"port 8080 answers {code}" if code else "nobody answers on port 8080"


def describe(seen: dict[str, str]) -> str:
    """The state of a unit in words."""
    if seen.get("LoadState") == "not-found":
        return f"systemd knows no {UNIT}"
    result = "" if seen.get("Result") in (None, "success") else f", result {seen['Result']}"
    code = seen.get("ExecMainStatus")
    code = f", exit status {code}" if code not in (None, "0") else ""
    return f"{UNIT} is {seen.get('ActiveState')} ({seen.get('SubState')}{result}{code})"


@dataclass(frozen=True, slots=True)
class MainProcess:
    """The service's main process as the kernel has it."""

    pid: int
    uid: int
    capabilities: int  # effective, a bit mask
    no_new_privileges: bool
    seccomp: bool


def process(machine: SystemdMachine) -> MainProcess:
    """The main process of the service.

    :raises LabError: when there is none.
    """
    pid = int(machine.show("MainPID").get("MainPID") or 0)
    said = machine.run(f"cat /proc/{pid}/status")[1] if pid else ""
    found = dict(re.findall(r"^(\w+):\s+(\S+)", said, re.MULTILINE))
    if "Uid" not in found:
        raise LabError(f"{UNIT} has no process. The journal's last lines:\n{machine.journal()}", where=UNIT)
    return MainProcess(
        pid,
        int(found["Uid"]),
        int(found["CapEff"], 16),
        found.get("NoNewPrivs") == "1",
        found.get("Seccomp") == "2",
    )


def leaks(machine: SystemdMachine, key: str) -> list[str]:
    """Where somebody who is not root finds the key, or where it was written down by accident; empty: nowhere."""
    # The key goes to grep through a file that is root's alone, so that no command of ours shows it.
    word = "/var/lib/llmlab/key"
    machine.put({word: key.encode()}, mode=0o600)
    alice = "runuser -u alice --"
    asked = {
        "the environment or command line of a process": f"grep -lasF -f {word} /proc/[0-9]*/environ /proc/[0-9]*/cmdline",
        "what systemd tells every user of the unit": f"{alice} systemctl show {UNIT} | grep -F -f {word}",
        "a file that every user can read": f"{alice} grep -rlsF -f - /etc /home /opt /run /srv /tmp /usr/local /var"
        f" < {word}",
        "the journal": f"journalctl --no-pager -o cat | grep -F -f {word} | cut -c -80",
    }
    found = []
    for place, command in asked.items():
        said = machine.run(f"{command} | head -n 3")[1].strip().replace(key, "…")
        if said:
            found.append(f"{place} ({', '.join(line[:80] for line in said.splitlines())})")
    return found


def escapes(machine: SystemdMachine, main: MainProcess) -> list[str]:
    """What the service's own view of the machine lets through that a sandbox should not; empty: nothing.

    Seen through `/proc/PID/root`, which is the service's mount namespace, on places whose permissions forbid nobody
    anything: what holds there is the sandbox alone.
    """
    view = f"/proc/{main.pid}/root"
    open_to_all = ("/opt/llmlab-open", "/srv/llmlab-open", "/var/lib/llmlab-open")
    found = []
    for folder in open_to_all:
        code, _ = machine.run(
            f"mkdir -p -m 1777 {folder}; touch {view}{folder}/probe; code=$?; rm -rf {folder}; exit $code"
        )
        if code == 0:
            found.append(f"it can write to {folder.rpartition('/')[0]}")
    for folder in ("/tmp", "/var/tmp"):
        machine.run(f"touch {view}{folder}/llmlab-probe")
        if machine.run(f"test -e {folder}/llmlab-probe && rm {folder}/llmlab-probe")[0] == 0:
            found.append(f"its {folder} is everybody's")
    if machine.run(f"test -r {view}/home/alice/notes.txt")[0] == 0:
        found.append("it can read /home/alice/notes.txt")
    return found


def own_folder(machine: SystemdMachine, main: MainProcess) -> str | None:
    """The state directory that the service has and its user can write to, through its own view; None: it has none."""
    seen = machine.show("StateDirectory", "CacheDirectory", "ReadWritePaths")
    folders = [f"/var/lib/{name}" for name in seen.get("StateDirectory", "").split()]
    folders += [f"/var/cache/{name}" for name in seen.get("CacheDirectory", "").split()]
    folders += [path.lstrip("-+") for path in seen.get("ReadWritePaths", "").split()]
    for folder in folders:
        there = f"/proc/{main.pid}/root{folder}"  # not read-only in its view, and its user's own
        probe = f"touch {there}/llmlab-probe && rm {there}/llmlab-probe && stat -L -c %u {there}"
        if machine.run(probe) == (0, f"{main.uid}\n"):
            return folder
    return None


@dataclass(frozen=True, slots=True)
class Budget:
    """What really holds the service. `memory` in bytes and `cpus` in cores, None: nothing; `threads` None: unknown."""

    memory: int | None
    cpus: float | None
    threads: int | None
    memory_group: str  # the folder of its memory cgroup, in the machine
    cpu_group: str


def budget(machine: SystemdMachine, main: MainProcess) -> Budget:
    """The limits in the cgroup of the main process, and the threads that llama-server says it computes with."""
    lines = machine.run(f"cat /proc/{main.pid}/cgroup; cat /proc/self/cgroup")[1].splitlines()
    groups: dict[str, str] = {}
    for line in lines:
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            groups.setdefault(name, path)
    if "memory" in groups:  # cgroup v1: one tree per controller
        memory, cpu = f"/sys/fs/cgroup/memory{groups['memory']}", f"/sys/fs/cgroup/cpu{groups['cpu']}"
        limit = _number(machine.run(f"cat {memory}/memory.limit_in_bytes")[1])
        quota = [_number(machine.run(f"cat {cpu}/cpu.cfs_{part}_us")[1]) for part in ("quota", "period")]
    else:
        memory = cpu = f"/sys/fs/cgroup{groups['']}"
        limit = _number(machine.run(f"cat {memory}/memory.max")[1])
        quota = [_number(word) for word in machine.run(f"cat {cpu}/cpu.max")[1].split()[:2]]
    cpus = quota[0] / quota[1] if len(quota) == 2 and quota[0] and quota[0] > 0 and quota[1] else None
    memory_limit = limit if limit and limit < 1 << 50 else None
    return Budget(memory_limit, cpus, threads(machine, main), memory, cpu)


def _number(text: str) -> int | None:
    found = re.match(r"\s*(-?\d+)", text)
    return int(found[1]) if found else None


def threads(machine: SystemdMachine, main: MainProcess) -> int | None:
    """The threads that llama-server computes with: what it said when it started, else what its command line asks for."""
    said = machine.run(f"journalctl --no-pager -o cat _PID={main.pid} | grep -o 'n_threads = [0-9]*'")[1]
    counts = [int(number) for number in re.findall(r"\d+", said)]
    if counts:
        return max(counts)
    line = machine.run(f"tr '\\0' ' ' < /proc/{main.pid}/cmdline; tr '\\0' '\\n' < /proc/{main.pid}/environ")[
        1
    ]
    asked = re.findall(
        r"(?:--threads|-t|--threads-batch|-tb)[ =](\d+)|LLAMA_ARG_THREADS(?:_BATCH)?=(\d+)", line
    )
    return max((int(a or b) for a, b in asked), default=None)


def overfill(machine: SystemdMachine, held: Budget) -> bool:
    """Ask for a quarter more memory than the limit from inside the service's cgroup; whether it was refused."""
    assert held.memory is not None
    much = held.memory * 5 // 4
    code, _ = machine.run(
        f"echo $BASHPID > {held.memory_group}/cgroup.procs && echo 1000 > /proc/self/oom_score_adj && "
        f"head -c {much} /dev/zero | tail > /dev/null",
        timeout=30,
    )
    return code != 0


def held_back(machine: SystemdMachine, held: Budget, *, seconds: float = 1.0) -> tuple[int, int]:
    """Periods that the kernel counted, and stopped the service's cgroup in, while two busy loops ran inside it.

    A period is counted only where a quota is in force. How many of them were stopped depends on what else the
    machine does: two loops that get less than the quota anyway are never stopped.
    """
    count = f"awk '/^nr_periods|^nr_throttled/ {{print $2}}' {held.cpu_group}/cpu.stat"
    loops = f"timeout {seconds} bash -c 'echo $$ > {held.cpu_group}/cgroup.procs; while :; do :; done'"
    said = [int(number) for number in machine.run(f"{count}; {loops} & {loops} & wait; {count}")[1].split()]
    return (said[2] - said[0], said[3] - said[1]) if len(said) == 4 else (0, 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every file of the machine that an installation can touch (owner, mode, time of change, content), and the service."""

    files: dict[str, str]
    pid: str
    invocation: str

    def changes(self, later: Snapshot) -> list[str]:
        """What differs in a later one, in words."""
        names = sorted(set(self.files) | set(later.files))
        words = {True: "changed", False: "new"}
        out = [
            f"{name} {words[name in self.files] if name in later.files else 'gone'}"
            for name in names
            if self.files.get(name) != later.files.get(name)
        ]
        return out + (["the service was restarted"] if self.invocation != later.invocation else [])


def snapshot(machine: SystemdMachine) -> Snapshot:
    """What the machine holds now; logs, temporary files and systemd's own state are left out."""
    skip = " -o ".join(
        f"-path {folder}"
        for folder in ("/var/log", "/var/lib/llmlab", "/var/lib/systemd", "/var/tmp", "/var/cache", "/tmp")
    )
    said = machine.run(
        f"find / -mindepth 1 -xdev \\( {skip} \\) -prune -o -printf '%p\\t%y %u:%g %m %T@ %s %l\\n';"
        f" find /etc /opt /srv /usr/local /root /var/lib -xdev \\( {skip} \\) -prune -o -type f -print0"
        " | xargs -0 sha256sum | sed 's/^\\([0-9a-f]*\\)  \\(.*\\)$/sum \\2\\t\\1/'"
    )[1]
    pairs = [line.split("\t", 1) for line in said.splitlines() if "\t" in line]
    files: dict[str, str] = {}
    for name, value in pairs:
        plain = name.removeprefix("sum ")
        files[plain] = files.get(plain, "") + value
    seen = machine.show("MainPID", "InvocationID")
    return Snapshot(files, seen.get("MainPID", ""), seen.get("InvocationID", ""))


def last_words(machine: SystemdMachine) -> str:
    """State and journal of the service, for evidence."""
    seen = machine.show("ActiveState", "SubState", "Result", "ExecMainStatus", "LoadState")
    return f"{describe(seen)}. The journal's last lines:\n{machine.journal(lines=TAIL)}"
