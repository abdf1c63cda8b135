"""Replicas behind one door: how many, who gets what, how a reply comes, and who may ask."""

import json
import re

from llmlab.checks import Context, Verdict, check, failed, inconclusive, verdict
from llmlab.errors import LabError, Unavailable
from llmlab.load import closed, constant
from llmlab.machine import CROWDED, Crowd
from llmlab.tiers.compose.for_labs import MODEL, Fleet, opens, served, service_of
from llmlab.tiers.docker.for_labs import processes

from .stack import CONTEXT, REPLICAS, SLOTS, load, stack

FAIR = 0.15
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
