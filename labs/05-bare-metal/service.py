"""The unit as it is written, and the service that install.sh makes of it: who it is, what it may, what it takes."""

import math
import secrets
from collections.abc import Iterator

from llmlab.checks import Context, Verdict, check, fixture, passed, verdict
from llmlab.tiers.systemd.for_labs import HOME, Site, SystemdMachine, systemd, unit_files, units

FILES = ("llama-server.service", "llama.container", "install.sh")
EXPOSURE = 2.5  # of 10; several quite different units stay below it
CPUS, MEMORY = 1.0, 512 << 20  # what the service may take at most
MACHINE = "machine = lab.boot(); machine.install(); "


@fixture
def machine_of(ctx: Context) -> Iterator[tuple[SystemdMachine, str]]:
    """One machine for all checks of a run, and its key."""
    key = secrets.token_hex(16)
    with systemd.furnished(ctx.files, FILES, key=key) as machine:
        yield machine, key


@fixture
def site(ctx: Context) -> Site:
    """That machine, installed on; the service answers.

    :raises DeploymentFailed: with the line of install.sh, or the journal's last lines.
    """
    machine, key = machine_of(ctx)
    done = machine.install()
    if done.problem:
        raise done.problem
    units.await_answer(machine, key)
    return Site(machine, key, done)


@check(title="systemd understands every line of the unit")
def unit(ctx: Context) -> Verdict:
    """`systemd-analyze verify`: a misspelt directive is only a warning to systemd, which then runs without it."""
    machine, _ = machine_of(ctx)
    said = unit_files.complaints(machine, f"{HOME}/llama-server.service")
    return verdict(
        not said,
        expected="systemd-analyze verify has nothing to say",
        observed="\n".join(said[:6]) or "nothing",
        look='machine = lab.boot(); machine.verify("llama-server.service")',
    )


@check(title="Its exposure is low", points=2)
def exposure(ctx: Context) -> Verdict:
    """`systemd-analyze security`: how much a break-in to this service would reach, 0 to 10."""
    machine, _ = machine_of(ctx)
    with ctx.deploying():
        found = unit_files.exposure(machine, f"{HOME}/llama-server.service")
    worst = sorted(found.directives, key=lambda directive: -(directive.exposure or 0))[:3]
    most = "; most from " + ", ".join(
        f"{directive.name} ({directive.exposure})" for directive in worst if directive.exposure
    )
    good = found.overall <= EXPOSURE
    return verdict(
        good,
        expected=f"an exposure level of at most {EXPOSURE}",
        observed=f"{found.overall}" + ("" if good else most),
        look="machine = lab.boot(); machine.exposure()",
        exposure=found.overall,
    )


@check(title="install.sh brings a fresh machine to where it answers", points=2)
def installs(ctx: Context) -> Verdict:
    """Run it as root on a machine without a network, then ask from outside that machine, with the key."""
    found = site(ctx)
    ctx.prove_at(found.machine.address, model="tiny", key=found.key)
    return passed(
        expected="install.sh ends with code 0 and port 8080 answers a completion with the key",
        observed=f"200, {found.installed.seconds:.1f} s after install.sh was started",
        look=MACHINE + "machine.ask()",
        seconds=round(found.installed.seconds, 2),
    )


@check(title="The key opens the door, and only root can find it", points=2, needs=("installs",))
def key(ctx: Context) -> Verdict:
    """Ask with the key, with another and without; then look for it as another user of the machine would."""
    found = site(ctx)
    codes = [units.status(found.machine, secret) for secret in (found.key, "wrong", None)]
    leaks = units.leaks(found.machine, found.key)
    said = f"{codes[0]}, {codes[1]} and {codes[2]}"
    return verdict(
        codes == [200, 401, 401] and not leaks,
        expected="200 with the key, 401 with another, 401 without; the key in no place that users can read",
        observed=f"{said}; the key stands in {'; '.join(leaks)}" if leaks else f"{said}; found nowhere",
        look=MACHINE
        + 'machine.run("runuser -u alice -- systemctl cat llama-server; systemctl show -p Environment llama-server")',
    )


@check(title="It runs as nobody special", needs=("installs",))
def user(ctx: Context) -> Verdict:
    """Who the kernel says its process is, what it may do, and whether it could become more."""
    main = units.process(site(ctx).machine)
    good = main.uid != 0 and main.capabilities == 0 and main.no_new_privileges
    return verdict(
        good,
        expected="not user 0, no capability, no new privileges",
        observed=f"user {main.uid}, capabilities {main.capabilities:x}, "
        + ("no new privileges" if main.no_new_privileges else "may gain privileges (NoNewPrivs 0)"),
        look=MACHINE
        + "machine.run(\"grep -E 'Uid|CapEff|NoNewPrivs' /proc/$(systemctl show -P MainPID llama-server)/status\")",
    )


@check(title="Its sandbox holds", points=2, needs=("installs",))
def sandbox(ctx: Context) -> Verdict:
    """Try, from the service's own view, to write where everybody may, to read a home, and to use its own folder."""
    machine = site(ctx).machine
    main = units.process(machine)
    through = units.escapes(machine, main)
    own = units.own_folder(machine, main)
    if own is None:
        through.append("it has no folder of its own that it can write to")
    return verdict(
        not through,
        expected="it can write to its own folder and nowhere else, sees no home, and has /tmp to itself",
        observed="; ".join(through) or f"it can write to {own} alone",
        look=MACHINE + 'machine.run("touch /proc/$(systemctl show -P MainPID llama-server)/root/srv/probe")',
    )


@check(title="It stays within its budget, with as many threads", points=2, needs=("installs",))
def budget(ctx: Context) -> Verdict:
    """Read the limits of its cgroup, run into both of them from inside, and compare the quota with its threads."""
    found = site(ctx)
    held = units.budget(found.machine, units.process(found.machine))
    wrong = []
    if held.memory is None or held.memory > MEMORY:
        wrong.append(f"memory {'unlimited' if held.memory is None else f'{held.memory >> 20} MiB'}")
    elif not units.overfill(found.machine, held):
        wrong.append(f"it got more memory than its {held.memory >> 20} MiB")
    if held.cpus is None or held.cpus > CPUS:
        wrong.append(f"CPUs {'unlimited' if held.cpus is None else f'{held.cpus:g}'}")
    elif held.threads is None or held.threads > math.ceil(held.cpus):
        wrong.append(f"{held.threads or 'an unknown number of'} threads on {held.cpus:g} CPU")
    elif not units.held_back(found.machine, held)[0]:
        wrong.append("the kernel counts no quota periods for it")
    units.settle(found)  # systemd may have stopped it for the memory that we asked for
    limits = [
        f"{(held.memory or 0) >> 20} MiB",
        f"{held.cpus:g} CPU" if held.cpus else "",
        f"{held.threads} threads",
    ]
    return verdict(
        not wrong,
        expected=f"at most {MEMORY >> 20} MiB and {CPUS:g} CPU, both in force, and no more threads than CPUs",
        observed="; ".join(wrong) or ", ".join(limits),
        look=MACHINE
        + 'machine.run("systemctl show -p MemoryMax,CPUQuotaPerSecUSec llama-server; journalctl -u llama-server | grep n_threads")',
    )
