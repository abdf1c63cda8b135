"""Lab 04: three replicas of two slots behind one door, watched. The project is brought up afresh, on ports of the grader's."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmlab.checks import Context, Verdict, check, failed, fixture, inconclusive, passed, verdict
from llmlab.errors import LabError, Unavailable
from llmlab.load import closed, constant, measure, trace
from llmlab.machine import CROWDED, Crowd
from llmlab.tiers.compose.for_labs import (
    CLEAN,
    MODEL,
    Fleet,
    Project,
    filled,
    furnish,
    opens,
    panels,
    read_dashboard,
    served,
    service_of,
    wait,
)
from llmlab.tiers.docker.for_labs import processes

HERE = Path(__file__).parent
FILE = "compose.yaml"
REPLICAS, SLOTS, CONTEXT = 3, 2, 2048
DEPTH, SLACK = 12, 6  # requests that may wait; and how many may be answered while a burst is still arriving
FAIR = 0.15
LOST = 0.05  # of the requests, when one replica of three is killed
FIRES, RESOLVES = 30, 60  # seconds
LONG = 17.0  # seconds of a stream that is whole: more than a proxy's usual time-out for a whole reply (15 s)
WELL_KNOWN = (
    "",
    "secret",
    "admin",
    "password",
    "changeme",
    "llama",
    "default",
    "test",
    "key",
    "123456",
    "sk-no-key-required",
)


@fixture(ours=True)
def furnished(ctx: Context) -> str:
    """What the lab lays beside the learner's files, in a folder that nothing ran in before; its key."""
    return furnish(ctx.files, HERE, fresh=True)


@fixture
def stack(ctx: Context) -> Iterator[Fleet]:
    """The learner's project, up."""
    key = furnished(ctx)
    with Project(ctx.files / FILE, own_ports=True, env=CLEAN) as project:
        project.up()
        with Fleet(project, key) as fleet:
            fleet.door()
            fleet.service  # noqa: B018 - raises when no container runs llama-server
            yield fleet


def load(ctx: Context, fleet: Fleet, plan, **more):
    """Requests through the door: their samples."""
    return measure(fleet.target(), [plan], **more).runs[0].samples


@check(title="`docker compose up` starts everything from a clean project", points=2)
def up(ctx: Context) -> Verdict:
    """Bring it up as a stranger would; everything runs, and the door answers."""
    fleet = stack(ctx)
    unwell = fleet.project.settle()
    if not unwell:
        ctx.prove_at(fleet.door(), model=MODEL, key=fleet.opening())
    return verdict(
        not unwell,
        expected="all services run and a published port answers",
        observed="\n".join(unwell) or f"{len(fleet.project.containers())} containers, the door answers",
        look="docker compose up -d --wait; docker compose ps -a",
    )


@check(title="Each replica has two slots of 2,048 tokens", points=2, needs=("up",))
def slots(ctx: Context) -> Verdict:
    """Ask a replica for its slots and the context of each."""
    with ctx.deploying():
        count, context, _ = stack(ctx).slots()
    good = set(count) == {SLOTS} and min(context) >= CONTEXT
    return verdict(
        good,
        expected=f"{SLOTS} slots of at least {CONTEXT:,} tokens",
        observed=f"{min(count)} slots of {min(context):,} tokens",
        look='curl -H "Authorization: Bearer $(cat secrets/api_key)" localhost:8080/props',
    )


@check(title="`--scale` to three gives three that run", points=3, needs=("up",))
def scale(ctx: Context) -> Verdict:
    """Scale the service that runs llama-server, and count."""
    fleet = stack(ctx)
    service = fleet.service
    before = max(1, len(fleet.replicas()))
    expected = f"{REPLICAS} running containers of {service}"
    look = f"docker compose up -d --scale {service}={REPLICAS}; docker compose ps -a"
    try:
        fleet.project.up(scale={service: REPLICAS})
    except Unavailable:
        raise
    except LabError as error:
        running = len(fleet.replicas())
        try:  # back to what it was, for the checks that need no three
            fleet.project.up(scale={service: 1})
        except LabError:
            pass
        return failed(expected=expected, observed=f"{running} running. {error}", look=look, before=before)
    running = len(fleet.replicas())
    return verdict(running == REPLICAS, expected=expected, observed=f"{running} running", look=look)


@check(title="Each replica gets its share of the requests", points=2, needs=("scale",))
def share(ctx: Context) -> Verdict:
    """Send a steady stream through the door and count at the replicas."""
    fleet = stack(ctx)
    count, tokens = 60, 8
    before, crowd = fleet.quiet(), Crowd()
    samples = load(ctx, fleet, constant(20, requests=count, warmup=0, max_tokens=tokens, seed=ctx.seed))
    crowded = crowd.share()
    got = sorted(served(before, fleet.quiet(), tokens=tokens).values())
    answered = sum(sample.ok for sample in samples)
    low, high = (1 - FAIR) * count / REPLICAS, (1 + FAIR) * count / REPLICAS
    fair = low <= got[0] and got[-1] <= high
    evidence = {
        "expected": f"{count} answered, from {low:.0f} to {high:.0f} by each replica",
        "observed": f"{answered} answered; by replica {', '.join(map(str, got))}",
        "look": "stack.shares()",
    }
    if not (answered == count and fair) and crowded is not None and crowded > CROWDED:
        # A replica that gets no CPU is passed over by a proxy that counts connections, and its queue fills: not the file's fault.
        return inconclusive(f"something waited for a CPU in {crowded:.0%} of the time", **evidence)
    return verdict(answered == count and fair, **evidence)


@check(title="A stream comes as it is written", points=2, needs=("up",))
def streaming(ctx: Context) -> Verdict:
    """Of the time of a whole reply, how much lies between its first and its last token; and a long one, read to its end."""
    fleet = stack(ctx)
    samples = load(ctx, fleet, closed(1, requests=8, warmup=1, max_tokens=48, seed=ctx.seed))
    # The best of eight: a busy machine reads late what came in time, but nothing makes a buffered reply look like a stream.
    spread = [(sample.end - sample.first) / (sample.end - sample.sent) for sample in samples if sample.ok]
    best = max(spread, default=0.0)
    why = next((f" ({sample.error})" for sample in samples if sample.error), "")
    long, took = fleet.long_stream(LONG) if best >= 0.3 else ("not tried", 0.0)
    return verdict(
        best >= 0.3 and long == "whole",
        expected=f"at least 30 % of a reply's time lies after its first token, and a stream that goes on for {LONG:.0f} s arrives whole",
        observed=f"{best:.0%}, the most of {len(spread)} replies{why}; the long one: {long}"
        + (f" after {took:.1f} s" if took else ""),
        look='curl -N localhost:8080/v1/completions -H "Authorization: Bearer $(cat secrets/api_key)" '
        '-d \'{"prompt": "x", "stream": true, "max_tokens": 48}\'',
    )


@check(title="The key is nowhere to be seen", points=3, needs=("up",))
def secrets(ctx: Context) -> Verdict:
    """Look where others can: `docker inspect`, command lines, logs; and try as a key whatever stands in an environment."""
    fleet = stack(ctx)
    accepted = {word for word in words(fleet) if opens(fleet.door(), word)} | {fleet.key}
    seen = []
    for container in fleet.project.containers():
        places = {
            "environment": "\n".join(container.attrs["Config"]["Env"] or []),
            "docker inspect": json.dumps(container.attrs),
            "command line": "\n".join(process["args"] for process in processes(container)),
            "log": container.logs().decode(errors="replace"),
        }
        found = next((place for place, text in places.items() if any(key in text for key in accepted)), None)
        if found:
            seen.append(f"{service_of(container)}: {found}")
    seen = list(dict.fromkeys(seen))
    return verdict(
        not seen,
        expected="no key that opens the server in inspect, environment, command line or log",
        observed="a working key in " + "; ".join(seen) if seen else "none found",
        look="docker inspect $(docker compose ps -q) | grep -i key; docker compose logs | grep -i bearer",
    )


def words(fleet: Fleet) -> set[str]:
    """What stands openly in environments and command lines, and might be a key."""
    found = set()
    for container in fleet.project.containers():
        config = container.attrs["Config"]
        values = [
            setting.partition("=")[2]
            for setting in config["Env"] or []
            if "KEY" in setting.upper() or "TOKEN" in setting.upper()
        ]
        argv = " ".join(
            [
                *(config["Entrypoint"] or []),
                *(config["Cmd"] or []),
                *(process["args"] for process in processes(container)),
            ]
        )
        values += re.findall(r"(?:--api-key|Bearer)[ =]+(\S+)", argv)
        found |= {part for value in values for part in value.split(",")}
    return {part.strip("'\"") for part in found if len(part) >= 4}


@check(title="No default password opens anything", points=2, needs=("up",))
def defaults(ctx: Context) -> Verdict:
    """Try well-known keys at the door; what asks for none may be published on this machine's own address only."""
    fleet = stack(ctx)
    open_to = [repr(key) if key else "no key" for key in WELL_KNOWN if opens(fleet.door(), key)]
    wide = []
    doors = {container.id for container, address in fleet.project.addresses() if address == fleet.door()}
    door_service = next(
        service_of(container) for container in fleet.project.containers() if container.id in doors
    )
    for name, service in fleet.project.services().items():
        for port in service.get("ports") or []:
            if name != door_service and not str(port.get("host_ip", "")).startswith(("127.", "::1")):
                wide.append(f"{name}:{port['target']}")
    works = opens(fleet.door(), fleet.key)
    bad = [f"opened by {', '.join(open_to)}"] if open_to else []
    bad += [] if works else ["the key in secrets/api_key does not open it"]
    bad += [f"published on every address without a password: {', '.join(wide)}"] if wide else []
    return verdict(
        not bad,
        expected=f"of {len(WELL_KNOWN) + 1} keys only the one in secrets/api_key opens the door; nothing else is published widely",
        observed="; ".join(bad) or f"{len(WELL_KNOWN)} others were refused, that one was let in",
        look='curl -H "Authorization: Bearer secret" localhost:8080/v1/models; docker compose ps',
    )


@check(title="Prometheus sees every replica, with the key set", points=3, needs=("up",))
def targets(ctx: Context) -> Verdict:
    """All targets are up, and each replica is one of them."""
    fleet = stack(ctx)
    what: dict[str, Any] = {
        "expected": "every target up, and one for each replica",
        "look": "http://localhost:9090/targets",
    }

    def look() -> tuple[Verdict | None, str]:
        active, replicas = fleet.scraped()
        down = [
            f"{target['scrapeUrl']}: {target['lastError'] or target['health']}"
            for target in active
            if target["health"] != "up"
        ]
        missed = [name for name, state in replicas.items() if state != "up"]
        said = f"{len(active)} targets; down: {'; '.join(down) or 'none'}; {len(missed)} of {len(replicas)} replicas not scraped"
        if active and not down and not missed:
            return passed(observed=f"{len(active)} targets up, {len(replicas)} of them replicas", **what), ""
        if any("401" in target["lastError"] or "403" in target["lastError"] for target in active):
            return failed(observed=said, **what), ""
        return None, said

    try:
        return wait(look, within=45, what="the targets")
    except Unavailable:
        raise
    except LabError as error:
        return failed(observed=error.what, **what)


@check(title="Every panel of the dashboard shows something", points=2, needs=("targets",))
def dashboard(ctx: Context) -> Verdict:
    """Load the door, then run every query of the dashboard in Prometheus."""
    fleet = stack(ctx)
    what: dict[str, Any] = {
        "expected": "at least four panels, and data for every query",
        "look": "stack.dashboard()",
    }
    try:
        queries = panels(read_dashboard(ctx.files / "dashboard.json"))
    except LabError as error:
        return failed(observed=str(error), **what)
    known = set(fleet.prometheus("/api/v1/label/__name__/values"))
    load(ctx, fleet, closed(6, requests=60, warmup=0, max_tokens=32, cache_prompt=True, seed=ctx.seed))
    told: dict[str, str] = {}

    def look() -> tuple[bool | None, str]:
        told.clear()
        for title, _, expr, _ in queries:
            try:
                if not set(re.findall(r"[a-zA-Z_:][\w:]*", expr)) & known:
                    told[title] = f"no such metric in {expr}"
                elif not fleet.series(filled(expr)):
                    told[title] = f"no data for {expr}"
            except Unavailable:
                raise
            except LabError as error:
                told[title] = error.what
        return (None if told else True), ""

    try:
        wait(look, within=20, what="data", every=1)
    except Unavailable:
        raise
    except LabError:
        pass
    titles = {title for title, *_ in queries}
    empty = "; ".join(f"{title}: {why}" for title, why in told.items())
    good = not told and len(titles) >= 4
    return verdict(
        good,
        observed=f"{len(titles)} panels, {len(queries)} queries" + (f"; {empty}" if empty else ""),
        **what,
    )


@check(title="A full house says 429 at once", points=2, needs=("up",))
def queue(ctx: Context) -> Verdict:
    """Forty-eight requests in one moment: those that fit and those that may wait are answered, the others told so."""
    fleet = stack(ctx)
    total = sum(fleet.slots()[0])
    most, least = total + DEPTH + SLACK, total + DEPTH // 2
    samples = load(ctx, fleet, trace([0.0] * 48, warmup=0, max_tokens=128, timeout=60, seed=ctx.seed))
    answered = sum(sample.ok for sample in samples)
    refused = sum(sample.status == 429 for sample in samples)
    other = sorted({sample.error for sample in samples if not sample.ok and sample.status != 429})
    good = least <= answered <= most and not other
    return verdict(
        good,
        expected=f"of 48 about {total} + {DEPTH} are answered ({least} to {most}), the others get 429",
        observed=f"{answered} answered, {refused} got 429"
        + (f", others: {'; '.join(other)[:200]}" if other else ""),
        look="stack.burst()",
        answered=answered,
        refused=refused,
    )


@check(
    title="The alert fires when the queue is longer than the slots, and resolves",
    points=3,
    needs=("targets", "queue", "scale"),
)
def alert(ctx: Context) -> Verdict:
    """Keep ten waiting, and ask Alertmanager."""
    fleet = stack(ctx)
    waiting = sum(fleet.slots()[0]) + DEPTH - 2
    what: dict[str, Any] = {
        "expected": f"none at rest, one within {FIRES} s while {DEPTH - 2} wait, none again within {RESOLVES} s",
        "look": "docker compose exec alertmanager wget -qO- localhost:9093/api/v2/alerts",
    }
    try:
        early = names(fleet)
        if early:
            return failed(observed=f"firing at rest: {', '.join(early)}", **what)
        fired = under_load(ctx, fleet, waiting)
        wait(
            lambda: (None, ", ".join(names(fleet))) if names(fleet) else (True, ""),
            within=RESOLVES,
            what="it to resolve",
        )
    except Unavailable:
        raise
    except LabError as error:
        return failed(observed=error.what, **what)
    return passed(observed=f"{', '.join(fired)} fired and resolved", **what)


def names(fleet: Fleet) -> list[str]:
    """The alerts that are firing."""
    return sorted({alarm["labels"]["alertname"] for alarm in fleet.alerts()})


def under_load(ctx: Context, fleet: Fleet, streams: int) -> list[str]:
    """Which alerts fire while so many streams are kept open; the load ends with the first."""
    stop = threading.Event()
    plan = closed(streams, requests=20_000, warmup=0, max_tokens=96, seed=ctx.seed)

    def press() -> None:
        try:
            load(ctx, fleet, plan, cancel=stop)
        except LabError:
            pass  # stopped

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    try:
        return wait(
            lambda: (names(fleet) or None, "none fired"), within=FIRES, what="an alert in Alertmanager"
        )
    finally:
        stop.set()
        thread.join(timeout=20)


@check(title="A replica dies under load, few notice, and it comes back", points=3, needs=("scale",))
def killed(ctx: Context) -> Verdict:
    """Kill the main process of one replica in the middle of a load, as a crash would."""
    fleet = stack(ctx)
    victim = fleet.replicas()[0]
    began = victim.attrs["State"]["StartedAt"]
    done = threading.Event()

    def on_event(progress) -> None:
        if progress.phase == "run" and progress.done >= 20 and not done.is_set():
            done.set()
            fleet.crash(victim)

    count = 120
    plan = closed(REPLICAS * SLOTS, requests=count, warmup=0, max_tokens=64, timeout=30, seed=ctx.seed)
    samples = load(ctx, fleet, plan, on_event=on_event)
    lost = [sample for sample in samples if not sample.ok]
    what: dict[str, Any] = {
        "expected": f"at most {LOST:.0%} of {count} requests fail, and the replica runs and serves again within 30 s",
        "look": f"docker top {victim.name}; sudo kill -9 PID; docker compose ps -a",
        "lost": len(lost),
    }
    why = f" ({lost[0].error})" if lost else ""

    def back() -> tuple[bool | None, str]:
        victim.reload()
        if victim.status != "running" or victim.attrs["State"]["StartedAt"] == began:
            return None, f"{victim.name} is {victim.status}"
        if fleet.ask(victim, "/health").status_code != 200:
            return None, f"{victim.name} is not healthy"
        before = fleet.counters().get(victim.name, {})
        load(ctx, fleet, closed(REPLICAS, requests=12, warmup=0, max_tokens=8, seed=ctx.seed))
        moved = served({victim.name: before}, {victim.name: fleet.quiet()[victim.name]}, tokens=8)[
            victim.name
        ]
        return (True, "") if moved else (None, f"{victim.name} runs but gets no requests")

    try:
        wait(again(back), within=30, what="the replica", every=0.5)
    except Unavailable:
        raise
    except LabError as error:
        return failed(observed=f"{len(lost)} of {count} failed{why}; {error.what}", **what)
    good = done.is_set() and len(lost) <= LOST * count
    return verdict(good, observed=f"{len(lost)} of {count} failed{why}; it came back", **what)


def again(look):
    """A look that may fail while something restarts."""

    def patient():
        try:
            return look()
        except Unavailable:
            raise
        except LabError as error:
            return None, error.what

    return patient


@check(
    title="Grafana is provisioned, and without a default password", points=1, needs=("up",), realism="schema"
)
def grafana(ctx: Context) -> Verdict:
    """Read what the file would start behind its profile: Grafana itself is not run here."""
    project = Project(ctx.files / FILE, env=CLEAN, profiles=["*"])
    with ctx.deploying():
        found = {
            name: service
            for name, service in project.services().items()
            if "grafana" in str(service.get("image", ""))
        }
    if not found:
        problems = ["no service runs a grafana image"]
    else:
        (service, *_) = found.values()
        problems = [] if service.get("profiles") else ["it has no profile, so that every `up` starts it"]
        env = {name: str(value) for name, value in (service.get("environment") or {}).items()}
        if "GF_SECURITY_ADMIN_PASSWORD__FILE" not in env:
            problems.append(f"its admin password is {env.get('GF_SECURITY_ADMIN_PASSWORD') or 'admin'!r}")
        elif not any(secret.get("source") for secret in service.get("secrets") or []):
            problems.append("its password file is not given to it as a secret")
        inside = [
            str(volume.get("target", ""))
            for volume in service.get("volumes") or []
            if volume.get("type") == "bind"
        ]
        sources = [Path(str(volume.get("source", ""))).name for volume in service.get("volumes") or []]
        if not any(path.startswith("/etc/grafana/provisioning") for path in inside):
            problems.append("nothing is mounted at /etc/grafana/provisioning: no datasource, no dashboard")
        if "dashboard.json" not in sources and not any(
            path == "/var/lib/grafana/dashboards" for path in inside
        ):
            problems.append("dashboard.json is not mounted below /var/lib/grafana/dashboards")
        if "prometheus" not in project.services():
            problems.append("its datasource asks http://prometheus:9090, and no service has that name")
    return verdict(
        not problems,
        expected="behind a profile, password from a file, datasource and dashboard mounted",
        observed="; ".join(problems)
        or f"behind {', '.join(map(str, service['profiles']))}, password from a secret, {len(sources)} mounts",
        look="docker compose --profile grafana config grafana",
    )
