"""The way in: what is in force, who gets an answer, and over what."""

import time
import uuid

import httpx

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.gateway.for_labs import HOST
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, ready_pods

from .stack import CANARY, SERVICE, asking, client, counted, opened, remarks, stack

#: Annotations that only an Ingress controller has ever read, and none of these runs here.
PHANTOMS = ("ingress.kubernetes.io/", "kubernetes.io/ingress.")
OWN = ("/metrics", "/slots", "/props")  # of the servers: who asks, what is asked, and how they are run
TIMES = 20  # requests, each of another conversation
OPEN = 30  # seconds for a door that is there to have its routes


@check(title="No line of the files is taken and kept by nobody", points=3, machine=("pods",))
def in_force(ctx: Context) -> Verdict:
    """Apply them, and read what the controller says of each Gateway, route and policy; look for what no controller reads."""
    # A policy of the Gateway's that a route's own one overrides still holds for the other routes.
    said = [remark for remark in remarks(ctx) if remark.condition != "Overridden"]
    idle = [*map(str, said), *ignored(ctx)]
    return verdict(
        not idle,
        expected="every Gateway, route and policy is accepted and in force, and nothing asks for what nobody here does",
        observed="\n".join(idle) or "so it is",
        look="kubectl get gateways,httproutes,ingresses -n inference -o yaml: their status",
    )


def ignored(ctx: Context):
    """Each Ingress that has no controller, and each annotation of one."""
    one = stack(ctx)
    for document in one.documents:
        if document.kind == "Ingress":
            words = (
                "get",
                "ingress",
                document.name,
                "-n",
                NAMESPACE,
                "-o",
                "jsonpath={.status.loadBalancer.ingress}",
            )
            if not one.cluster.run_kubectl(*words).strip():
                yield f"{document.where}: Ingress {document.name} has no address: no Ingress controller runs here, so nobody has read it"
        for name in (document.body["metadata"].get("annotations") or {}) if document.file else ():
            if any(word in name for word in PHANTOMS):
                line = document.line_of(f'metadata.annotations."{name}"') or document.line
                yield f"{document.file}:{line}: nobody reads the annotation {name}"


def spoken(ctx: Context) -> float:
    """Tokens that the lab's own servers have generated so far, by their own count."""
    pods = ready_pods(stack(ctx).cluster, NAMESPACE, f"app in ({SERVICE},{CANARY})")
    return sum(counted(pod, "tokens_predicted_total") for pod in pods)


@check(title="Over TLS, the door leads to the model", points=3, machine=("pods",))
def served(ctx: Context) -> Verdict:
    """Ask for tokens as a client with a key does, trusting the lab's own authority alone, twenty times; the servers count the tokens too."""
    asker, body = client(ctx), {"prompt": "once upon a time", "max_tokens": 16, "ignore_eos": True}
    before, said, answers = spoken(ctx), "nothing", 0

    def answered() -> bool:
        nonlocal said, answers
        try:
            reply = asker.ask(
                "POST", "/v1/completions", json=body, headers={"x-session": uuid.uuid4().hex}, timeout=30
            )
        except httpx.HTTPError as error:
            said = str(error)
            return False
        said = f"HTTP {reply.status_code} {reply.text[:200]}"
        answers += reply.status_code == 200
        return reply.status_code == 200

    look = f"curl --cacert ca.crt --resolve {HOST}:443:ADDRESS -H 'Authorization: Bearer KEY' https://{HOST}/v1/models"
    expected = f"HTTP 200 at https://{HOST}/v1/completions, each time, with a certificate that is verified, by a server of the lab's"
    with ctx.deploying():
        try:
            wait("an answer", answered, OPEN)
        except LabError:
            hints = "".join(f"\n{remark}" for remark in remarks(ctx))
            return failed(expected=expected, observed=f"after {OPEN} s: {said}{hints}", look=look)
        asker = client(ctx)
        for _ in range(TIMES - 1):
            if not answered():
                break
        tokens = spoken(ctx) - before
    good = answers == TIMES and tokens >= 16 * TIMES
    observed = (
        f"{answers} of {TIMES}: {said}"
        if answers < TIMES
        else f"the lab's servers have generated {tokens:.0f} tokens"
    )
    return verdict(good, expected=expected, observed="so it is" if good else observed, look=look)


@check(
    title="Another host, and what is the servers' own, stay outside",
    points=2,
    needs=("served",),
    machine=("pods",),
)
def hosts(ctx: Context) -> Verdict:
    """Ask for another host, in the handshake and in the request alone; then for what a server tells about itself."""
    asker, let_in = client(ctx), []
    other = "other.example.com"
    for sni, host in ((other, other), (HOST, other)):
        try:
            status = asker.door.ask("GET", "/v1/models", host, sni=sni, headers=asker.headers).status_code
        except httpx.HTTPError:  # the handshake ends: nobody has that name
            continue
        if not 400 <= status < 500:
            let_in.append(f"Host {host} (TLS name {sni}): HTTP {status}")
    for path in OWN:
        with asking(ctx):
            status = asker.ask("GET", path).status_code
        if not 400 <= status < 500:
            let_in.append(f"{path}: HTTP {status}")
    return verdict(
        not let_in,
        expected=f"no answer for {other}, and none at {', '.join(OWN)}",
        observed="; ".join(let_in) or "so it is",
        look=f"hostnames and matches in httproute.yaml; curl … https://{HOST}/metrics",
    )


@check(
    title="Over plain HTTP there is a way to HTTPS, and nothing else",
    points=2,
    needs=("served",),
    machine=("pods",),
)
def redirect(ctx: Context) -> Verdict:
    """Ask on port 80, with GET and with POST, and follow nothing."""
    with ctx.deploying():
        plain, asker = opened(ctx, "HTTP", 80), client(ctx)
    wrong, path = [], "/v1/models?limit=1"
    aims = (f"https://{HOST}{path}", f"https://{HOST}:443{path}")
    for method in ("GET", "POST"):
        try:
            reply = plain.ask(method, path, HOST, headers=asker.headers)
        except httpx.HTTPError as error:
            wrong.append(f"{method}: {error}")
            continue
        if reply.status_code not in (301, 302, 303, 307, 308) or reply.headers.get("location") not in aims:
            wrong.append(
                f"{method}: HTTP {reply.status_code}, Location {reply.headers.get('location', 'none')}"
            )
    return verdict(
        not wrong,
        expected=f"a redirect to {aims[0]}",
        observed="; ".join(wrong) or "so it is",
        look=f"curl -i -H 'Host: {HOST}' http://ADDRESS{path}",
    )


@check(title="A stream comes as it is made", points=2, needs=("served",), machine=("pods",))
def streaming(ctx: Context) -> Verdict:
    """Ask for 128 tokens as a stream, three times, and note when each piece comes."""
    asker, shares = client(ctx), []
    body = {"prompt": "once", "max_tokens": 128, "ignore_eos": True, "stream": True}
    with asking(ctx), asker.connected(timeout=60) as http:
        for _ in range(3):
            began, times = time.monotonic(), []
            with http.stream("POST", "/v1/completions", json=body) as reply:
                reply.raise_for_status()
                for _piece in reply.iter_raw():
                    times.append(time.monotonic() - began)
            shares.append(times[0] / times[-1] if times else 1.0)
    return verdict(
        min(shares) < 0.5,
        expected="the first token comes in the first half of the time",
        observed="the first piece came after "
        + ", ".join(f"{share:.0%}" for share in shares)
        + " of the whole time",
        look='curl -N … -d \'{"prompt": "once", "max_tokens": 128, "stream": true}\'',
        first=min(shares),
    )
