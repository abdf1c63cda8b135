"""The servers behind the door: who gets what, and what a change of them costs."""

import contextlib
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.load import Target, closed, measure
from llmlab.records import stats
from llmlab.system.local_client import local_client
from llmlab.system.waiting import wait
from llmlab.tiers.gateway.for_labs import HOST, behind, weighted
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, answered, losses, ready_pods, roll

from .limits import CUT, LONG, SILENT, silences
from .stack import CANARY, SERVICE, asking, client, counted, front, stack, users, witness

SESSIONS, TURNS = 9, 4
NAMES = {"chat", "chat-next"}  # as the servers and the canary call themselves
PROMPTS = "prompt_tokens_total"
COUNTED = 1000  # requests
SHARE = (0.07, 0.13)  # of these the canary's: a tenth, three standard deviations either way
ROLLED = 90  # seconds


@dataclass
class Talk:
    """A conversation: what was said so far, and what of it each turn found in a cache."""

    name: str
    said: str
    known: int = 0  # tokens that had been said before the turn
    cached: int = 0  # of these, found
    tokens: int = 0  # said so far

    def turn(self, number: int, ask) -> None:
        """Say some more."""
        self.said += f" {self.name}-{number} " + " ".join(uuid.uuid4().hex[:6] for _ in range(16))
        reply = ask({"prompt": self.said, "max_tokens": 8, "ignore_eos": True}).json()
        usage = reply["usage"]
        if number:
            self.known += self.tokens
            self.cached += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        self.said += reply["choices"][0]["text"]
        self.tokens = usage["total_tokens"]


def kept(asks) -> float:
    """The share of what had been said before that a cache still knew, of conversations turn by turn, side by side.

    :param asks: for each conversation, how it asks.
    """
    talks = [Talk(uuid.uuid4().hex, "") for _ in asks]
    with ThreadPoolExecutor(3) as pool:
        for number in range(TURNS):
            for done in [pool.submit(talk.turn, number, ask) for talk, ask in zip(talks, asks, strict=True)]:
                done.result()
    return sum(talk.cached for talk in talks) / sum(talk.known for talk in talks)


@check(
    title="A conversation stays with the replica that knows it",
    points=3,
    needs=("served",),
    machine=("pods",),
)
def sessions(ctx: Context) -> Verdict:
    """Nine conversations of four turns through the door, each naming itself in `x-session`; the same in turn over the replicas."""
    one = stack(ctx)
    pods = ready_pods(one.cluster, NAMESPACE, f"app={SERVICE}")
    before = {pod.metadata.name: counted(pod, PROMPTS) for pod in pods}
    with contextlib.ExitStack() as ends, asking(ctx):
        asks = []
        for _ in range(SESSIONS):
            # Each keeps what cookies it is given, as a browser does.
            http = ends.enter_context(client(ctx).connected(timeout=60))
            http.headers["x-session"] = uuid.uuid4().hex
            asks.append(lambda body, http=http: http.post("/v1/completions", json=body).raise_for_status())
        mine = kept(asks)
    busy = sum(counted(pod, PROMPTS) > before[pod.metadata.name] for pod in pods)
    theirs = kept([in_turn(pods, place) for place in range(SESSIONS)])
    good = mine >= 0.6 and mine >= 1.5 * theirs and busy > 1
    return verdict(
        good,
        expected="at least 60 % of what was said before is still known, half as much again as in turn; and more than one replica works",
        observed=f"{mine:.0%}, in turn over the replicas {theirs:.0%}; {busy} of {len(pods)} replicas had work",
        look="usage.prompt_tokens_details.cached_tokens in the reply (front.policies() draws it)",
        kept=mine,
        in_turn=theirs,
    )


def in_turn(pods, first: int):
    """A conversation that asks one replica after the other, without a door."""
    turn = cycle([*pods[first % len(pods) :], *pods[: first % len(pods)]])

    def ask(body):
        with local_client(timeout=60) as http:
            url = f"http://{next(turn).status.pod_ip}:8080/v1/completions"
            return http.post(url, json=body).raise_for_status()

    return ask


def answers(ctx: Context, count: int) -> Counter[str]:
    """Who answers so many requests, each of another conversation, by many clients."""
    found: Counter[str] = Counter()
    askers, each = -(-count // 50), min(count, 50)
    for _ in range(askers):
        with client(ctx).connected(timeout=20) as http:
            for _ in range(each):
                http.cookies.clear()  # or it would be one conversation
                reply = http.get("/v1/models", headers={"x-session": uuid.uuid4().hex})
                name = (
                    reply.json()["data"][0]["id"] if reply.status_code == 200 else f"HTTP {reply.status_code}"
                )
                found[name] += 1
    return found


@check(title="The canary gets one request in ten", points=2, needs=("served",), machine=("pods",))
def canary(ctx: Context) -> Verdict:
    """Ask a thousand times, each time as another conversation, and count who answers."""
    with asking(ctx):
        found = answers(ctx, COUNTED)
        if (
            not SHARE[0] <= found["chat-next"] / COUNTED <= SHARE[1]
        ):  # chance does that once in some hundred times
            found += answers(ctx, COUNTED)
    share = found["chat-next"] / found.total()
    good = SHARE[0] <= share <= SHARE[1] and not set(found) - NAMES
    return verdict(
        good,
        expected=f"10 % of the answers are the canary's ({SHARE[0]:.0%} to {SHARE[1]:.0%}), the others the servers'",
        observed=", ".join(f"{count} by {name}" for name, count in found.most_common()),
        look=f"kubectl get endpointslices -n {NAMESPACE}; the weights of backendRefs",
        share=share,
    )


@check(title="Who asks is answered, request after request", points=2, needs=("served",), machine=("pods",))
def steady(ctx: Context) -> Verdict:
    """Eight users, six hundred short streams, and nothing changes."""
    made, pods = front(ctx), ready_pods(stack(ctx).cluster, NAMESPACE, f"app={SERVICE}")
    target = Target(
        url=made.base,
        info=behind([f"http://{pod.status.pod_ip}:8080" for pod in pods], "20m"),
        host=HOST,
        authority=made.authority,
        api_key=tuple(client(ctx).key for _ in range(20)),
        session_header="x-session",
    )
    (run,) = measure(target, [closed(8, requests=600, max_tokens=8, warmup=0)]).runs
    lost = stats.failed(run)
    return verdict(
        not lost,
        expected="600 of 600 requests answered",
        observed=losses(run.samples),
        look="the access log of the door: kubectl logs -n envoy-gateway-system deployment/… -c envoy: response_flags",
        lost=len(lost),
    )


@check(title="The canary is taken back, and nobody notices", points=2, needs=("canary",), machine=("pods",))
def taken_back(ctx: Context) -> Verdict:
    """Under load, set its weight to 0 in the learner's own route."""
    one = stack(ctx)
    routes = list(weighted(one.documents, CANARY, 0))
    with asking(ctx), users(ctx, 5) as them:
        answered(them, 5)
        one.apply(*(changed for _, changed in routes))
        try:
            # A hundred without one: by chance there are not so many, and then it is in force.
            wait("the end of the canary", lambda: not answers(ctx, 100)["chat-next"], 20)
            left = answers(ctx, 150)["chat-next"]
        finally:
            one.apply(*(route for route, _ in routes))
        samples = them.stop()
    lost = sum(not sample.ok for sample in samples)
    return verdict(
        not (left or lost),
        expected="no answer of the canary's any more, no request lost",
        observed=f"{left} of 150 answers are the canary's; {losses(samples)}",
        look="kubectl edit httproute -n inference: weight: 0",
        lost=lost,
    )


@check(
    title="A rollout of the servers loses nothing",
    points=2,
    needs=("served",),
    machine=("pods",),
)
def drained(ctx: Context) -> Verdict:
    """Roll the servers out under load: each drains until it has nothing to do, so it gets nothing new either."""
    one = stack(ctx)
    deployment = next(it for it in one.documents if (it.kind, it.name) == ("Deployment", SERVICE))
    with asking(ctx), users(ctx, 4) as them:
        answered(them, 4)
        took = roll(one, deployment, ROLLED)
        samples = them.stop()
    lost = sum(not sample.ok for sample in samples)
    return verdict(
        not lost,
        expected=f"three replicas replaced within {ROLLED} s, no request lost",
        observed=f"it took {took:.0f} s; {losses(samples)}",
        look="kubectl rollout restart deployment/llama-server -n inference",
        lost=lost,
    )


@check(
    title="A reply may be silent for a minute and a stream may last; a server that hangs is given up",
    points=4,
    needs=("served",),
    machine=("pods",),
)
def silence(ctx: Context) -> Verdict:
    """What was begun with the first of these checks: a reply after 70 s, a stream of 95 s, and one that never comes."""
    names, ends = silences(ctx)
    found = {what: end.result(timeout=CUT + 30) for what, end in ends.items()}
    wrong = []
    if found["silent"][0] != "HTTP 200":
        wrong.append(words(f"silent for {SILENT} s", *found["silent"]))
    if found["streamed"][0] != f"{LONG} pieces":
        wrong.append(words(f"a stream of {LONG} pieces, one a second", *found["streamed"]))
    how, after = found["hung"]
    if how == "HTTP 200" or not SILENT <= after <= CUT:
        wrong.append(words("a server that hangs", how, after))
    again = [what for what, name in names.items() if len(witness(ctx).of(name)) != 1]
    if again:
        wrong.append(f"begun more than once: {', '.join(again)}")
    return verdict(
        not wrong,
        expected=f"a reply after {SILENT} s of silence comes, a stream of {LONG} s to its end; a server that never answers is given up "
        f"between {SILENT} and {CUT} s",
        observed="; ".join(wrong) or f"so it is; given up after {after:.0f} s",
        look="timeouts in httproute.yaml and policies.yaml",
    )


def words(what: str, how: str, after: float) -> str:
    """How a request ended."""
    return f"{what}: {how} after {after:.0f} s"
