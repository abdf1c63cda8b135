"""What happens to it later: a crash, another installation, a new key, a reboot, a start that never succeeds."""

import math
import secrets

from llmlab.checks import Context, DeploymentFailed, Verdict, check, failed, passed, verdict
from llmlab.tiers.systemd.for_labs import HOME, units

from .service import MACHINE, site

GIVES_UP = 60  # seconds within which a service that cannot start is given up


@check(title="It comes back after a crash", needs=("installs",))
def crash(ctx: Context) -> Verdict:
    """Kill its main process as a crash would, and wait until another one answers."""
    found = site(ctx)
    machine = found.machine
    before = units.process(machine)
    restarts = int(machine.show("NRestarts")["NRestarts"])
    machine.run(f"kill -SEGV {before.pid}")
    expected, look = (
        "another process answers after kill -SEGV",
        MACHINE
        + 'machine.run("systemctl kill -s SEGV llama-server; sleep 5; systemctl status llama-server")',
    )

    def another() -> bool:
        seen = machine.show("MainPID", "ActiveState")
        return seen["ActiveState"] == "failed" or (
            seen["MainPID"] not in ("0", str(before.pid)) and units.status(machine, found.key) == 200
        )

    try:
        with ctx.deploying():
            took = machine.wait(another, within=GIVES_UP, what="back after a crash")
            units.await_answer(machine, found.key, within=1)
    except DeploymentFailed:
        said = units.last_words(machine)
        units.settle(found)
        return failed(expected=expected, observed=said, look=look)
    after = int(machine.show("NRestarts")["NRestarts"])
    return passed(
        expected=expected,
        observed=f"restarted ({restarts} → {after}), answered after {took:.1f} s",
        look=look,
    )


@check(title="install.sh run again changes nothing", points=2, needs=("installs",))
def again(ctx: Context) -> Verdict:
    """Compare every file and the service before and after a second run."""
    found = site(ctx)
    units.settle(found)
    before = units.snapshot(found.machine)
    with ctx.deploying():
        done = found.machine.install()
        if done.problem:
            raise done.problem
    changes = before.changes(units.snapshot(found.machine))
    more = f" and {len(changes) - 6} more" if len(changes) > 6 else ""
    return verdict(
        not changes,
        expected="code 0; no file new, changed or touched; the service not restarted",
        observed=(", ".join(changes[:6]) + more) if changes else f"nothing of {len(before.files):,} files",
        look=MACHINE + "machine.changes()",
    )


@check(title="install.sh with a new key puts it to use", needs=("installs",))
def rotate(ctx: Context) -> Verdict:
    """Put another key beside install.sh and run it: the new key opens, the old one no longer does."""
    found = site(ctx)
    units.settle(found)
    old, new = found.key, secrets.token_hex(16)
    found.machine.put({f"{HOME}/api-key": f"{new}\n".encode()})
    done = found.machine.install()
    try:
        with ctx.deploying():
            units.await_answer(found.machine, new)
    except DeploymentFailed:
        pass  # seen in the codes below
    codes = [units.status(found.machine, secret) for secret in (new, old)]
    if codes[0] == 200:
        found.key = new  # what the checks after this one ask with
    with ctx.deploying():
        if done.problem:
            raise done.problem
    expected = "200 with the new key, 401 with the old one"
    look = MACHINE + 'machine.run("echo new > api-key; ./install.sh"); [machine.ask("new"), machine.ask()]'
    return verdict(
        codes == [200, 401],
        expected=expected,
        observed=f"{codes[0]} with the new key, {codes[1]} with the old one",
        look=look,
    )


@check(title="It is there again after a reboot", needs=("installs",))
def reboot(ctx: Context) -> Verdict:
    """Shut the machine down, boot it, and ask, without touching anything."""
    found = site(ctx)
    try:
        with ctx.deploying():
            found.machine.reboot()
            units.await_answer(found.machine, found.key)
    except DeploymentFailed as error:
        return failed(
            expected="200 after a reboot",
            observed=str(error),
            look=MACHINE + "machine.reboot(); machine.ask()",
        )
    return passed(
        expected="200 after a reboot", observed="200", look=MACHINE + "machine.reboot(); machine.ask()"
    )


@check(title="It is given up when it cannot start", needs=("installs",))
def start_limit(ctx: Context) -> Verdict:
    """Make every start fail and see whether systemd stops trying."""
    machine = site(ctx).machine
    folder = "/run/systemd/system/llama-server.service.d"
    machine.run(
        f"mkdir -p {folder} && printf '[Service]\\nExecStartPre=/bin/false\\n' > {folder}/broken.conf"
    )
    machine.run(
        "systemctl daemon-reload; systemctl reset-failed llama-server; systemctl restart --no-block llama-server"
    )
    seen: dict[str, str] = {}

    def over() -> bool:
        seen.update(
            machine.show("ActiveState", "SubState", "NRestarts", "Result", "RestartUSec", "StartLimitBurst")
        )
        return seen["ActiveState"] == "failed"

    try:
        with ctx.deploying():
            took = machine.wait(over, within=GIVES_UP, what="given up")
    except DeploymentFailed:
        took = math.inf
    tries = int(seen["NRestarts"]) + 1
    return verdict(
        took < math.inf,
        expected=f"it has failed for good within {GIVES_UP} s",
        observed=f"given up after {tries} tries in {took:.0f} s"
        if took < math.inf
        else f"still trying after {tries} tries (RestartSec {seen['RestartUSec']}, {seen['StartLimitBurst']} starts allowed per interval)",
        look=MACHINE
        + 'machine.run("systemctl show -p RestartUSec,StartLimitBurst,StartLimitIntervalUSec llama-server")',
    )
