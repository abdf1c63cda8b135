"""What is seen of it, and of what happens to it: a long queue, a replica that dies."""

import re
import threading
from typing import Any

from llmlab.checks import Context, Verdict, check, failed, passed, verdict
from llmlab.errors import LabError, Unavailable
from llmlab.load import closed, trace
from llmlab.tiers.compose.for_labs import Fleet, filled, panels, read_dashboard, served, wait

from .stack import REPLICAS, SLOTS, load, stack

DEPTH, SLACK = 12, 6  # requests that may wait; and how many may be answered while a burst is still arriving
LOST = 0.05  # of the requests, when one replica of three is killed
FIRES, RESOLVES = 30, 60  # seconds


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
    """Kill the main process of one replica in the middle of a load, as a crash would; it loads its model until the load is over."""
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
    with fleet.loading() as loads:
        samples = load(ctx, fleet, plan, on_event=on_event)
        loads = loads and loading(fleet, victim)
    lost = [sample for sample in samples if not sample.ok]
    what: dict[str, Any] = {
        "expected": f"at most {LOST:.0%} of {count} requests fail, and the replica runs and serves again within 30 s",
        "look": f"docker top {victim.name}; sudo kill -9 PID; docker compose ps -a",
        "lost": len(lost),
    }
    why = f" ({lost[-1].error})" if lost else ""
    why += ", until the end of which the replica loaded its model" if loads else ""

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


def loading(fleet: Fleet, replica) -> bool:
    """Whether it runs and says that it is not ready."""
    try:
        return fleet.ask(replica, "/health").status_code == 503
    except Unavailable:
        raise
    except LabError:  # it does not run
        return False


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
