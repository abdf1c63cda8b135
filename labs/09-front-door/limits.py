"""What the door itself sees to, with a witness in the servers' place: keys, limits, sizes, silence, and nothing begun twice."""

import contextlib
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Future

import httpx

from llmlab.checks import Context, DeploymentFailed, Verdict, check, fixture, verdict
from llmlab.system.waiting import wait

from .stack import CANARY, SERVICE, asking, client, witness

ENOUGH = 80  # requests, of which a tenth is the canary's
SWAPPED = 20  # seconds for the door to hear that others are behind a Service
AT_ONCE, MINUTE = 60, 60  # requests, seconds
AFTERWARDS = 12  # seconds in which the door is asked on, when the limit is reached
MEBIBYTE = 1 << 20
#: Seconds: a reply that is late, a stream, and by when a server that hangs is given up.
SILENT, LONG, CUT = 70, 95, 100


@contextlib.contextmanager
def watched(ctx: Context):
    """The witness behind both Services, for the block."""
    seen = witness(ctx)

    def led(to_witness: bool) -> bool:
        """Whether all of some requests, each of another conversation, are led there, or none of them.

        So many that by chance the canary's part is among them; a client that has come to its limit is no reason.
        """
        answers = 0
        with contextlib.suppress(httpx.HTTPError):
            while answers < ENOUGH:
                with client(ctx).connected() as http:
                    for _ in range(ENOUGH // 2):
                        reply = http.get("/v1/models", headers={"x-session": uuid.uuid4().hex})
                        http.cookies.clear()
                        if reply.status_code == 429 and answers:
                            break
                        if reply.status_code != 200 or ('"witness"' in reply.text) != to_witness:
                            return False
                        answers += 1
            return True
        return False

    with seen.behind(SERVICE, CANARY):
        with ctx.deploying():
            wait("the witness behind the door", lambda: led(True), SWAPPED)
        yield seen
    with ctx.deploying():
        wait("the servers behind the door", lambda: led(False), SWAPPED)


@fixture
def silences(ctx: Context):
    """Three requests that take more than a minute, begun here and looked at by the last check: silent, streamed, never answered."""
    asker, names = client(ctx), {what: f"{what}-{uuid.uuid4()}" for what in ("silent", "streamed", "hung")}
    does = {"silent": {"silent": SILENT}, "streamed": {"every": 1, "times": LONG}, "hung": {"hang": True}}
    ends: dict[str, Future[tuple[str, float]]] = {what: Future() for what in names}
    with watched(ctx) as seen:
        for what, name in names.items():
            body = {"id": name, "prompt": "once", "stream": what == "streamed", "witness": does[what]}
            # Nobody waits for these where a check ends early.
            threading.Thread(
                target=lambda end, body: end.set_result(outcome(asker, body)),
                args=(ends[what], body),
                daemon=True,
            ).start()
        wait("the witness to have them", lambda: all(seen.of(name) for name in names.values()), SWAPPED)
    return names, ends


def outcome(asker, body) -> tuple[str, float]:
    """How a request ended, and after how many seconds."""
    began = time.monotonic()
    try:
        with (
            asker.connected(timeout=CUT + 20) as http,
            http.stream("POST", "/v1/completions", json=body) as reply,
        ):
            text = "".join(reply.iter_text())
            how = f"HTTP {reply.status_code}"
            if reply.status_code == 200 and body.get("stream"):
                how = f"{text.count('data: ') - 1} pieces" + ("" if '"stop": true' in text else " and no end")
    except httpx.HTTPError as error:
        how = f"broken off ({type(error).__name__})"
    return how, time.monotonic() - began


@check(
    title="No key, no answer; and the key stays at the door", points=3, needs=("served",), machine=("pods",)
)
def known_clients(ctx: Context) -> Verdict:
    """Ask without a key, with one that is nobody's, and with one of the Secret; read what the witness was sent."""
    asker, name = client(ctx), str(uuid.uuid4())
    # They go on while other checks are made; what is wrong with them, the last one says.
    with contextlib.suppress(DeploymentFailed):
        silences(ctx)
    body, wrong = {"id": name, "prompt": "once"}, []
    with asking(ctx), watched(ctx) as seen:
        for whose, headers in (("no key", {}), ("a wrong key", {"Authorization": f"Bearer {'0' * 32}"})):
            status = asker.door.ask(
                "POST", "/v1/completions", asker.host, json=body, headers=headers
            ).status_code
            if status not in (401, 403):
                wrong.append(f"{whose}: HTTP {status}")
        status = asker.ask("POST", "/v1/completions", json=body).status_code
        if status != 200:
            wrong.append(f"a client's key: HTTP {status}")
        for request in seen.of(name):
            wrong += [
                f"the server was sent the client's key in its header {header}"
                for header, values in request.headers.items()
                if any(asker.key in value for value in values)
            ]
    return verdict(
        not wrong,
        expected="401 without a key of the Secret, 200 with one, and no header with the key in it behind the door",
        observed="; ".join(wrong) or "so it is",
        look="kubectl get securitypolicy -n inference -o yaml",
    )


@check(
    title="Sixty requests a minute for each client, and not for all together",
    points=3,
    needs=("served",),
    machine=("pods",),
)
def limit(ctx: Context) -> Verdict:
    """One client asks ninety times at once, another ten times right after; then the first goes on asking."""
    one, other = client(ctx), client(ctx)
    with asking(ctx), watched(ctx), one.connected() as http:
        started = time.monotonic()
        burst = Counter(http.get("/v1/models").status_code for _ in range(90))
        more = time.monotonic() - started  # a token a second comes meanwhile
        with other.connected() as beside:
            others = Counter(beside.get("/v1/models").status_code for _ in range(10))
        later: Counter[int] = Counter()
        began = time.monotonic()

        def over() -> bool:
            later[http.get("/v1/models").status_code] += 1
            return time.monotonic() - began >= AFTERWARDS

        wait("the time to pass", over, AFTERWARDS + 20)
    wanted = AFTERWARDS * AT_ONCE / MINUTE
    wrong = []
    if set(burst) - {200, 429} or not AT_ONCE <= burst[200] <= AT_ONCE + more + 3:
        wrong.append(f"of 90 requests at once {counts(burst)}")
    if set(others) != {200}:
        wrong.append(f"another client right after: {counts(others)}")
    if abs(later[200] - wanted) > wanted / 3 and not wrong:
        wrong.append(f"in the next {AFTERWARDS} s it had {later[200]} more answers")
    return verdict(
        not wrong,
        expected=f"{AT_ONCE} of 90 requests at once get an answer and the rest 429; after that about one a second does; another client's "
        "ten are all answered",
        observed="; ".join(wrong)
        or f"{counts(burst)}; {later[200]} in the next {AFTERWARDS} s; the other client: {counts(others)}",
        look="for i in $(seq 90); do curl -s -o /dev/null -w '%{http_code}\n' …; done | sort | uniq -c",
    )


def counts(statuses: Counter[int]) -> str:
    """Statuses, in words."""
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))


@check(title="Ten mebibytes may be sent, and no more", points=2, needs=("served",), machine=("pods",))
def bodies(ctx: Context) -> Verdict:
    """Send 9 MiB, 11 MiB, and 11 MiB in pieces without saying how much it will be."""
    asker, wrong = client(ctx), []
    name = str(uuid.uuid4())
    small, large = (f'{{"id": "{name}", "prompt": "{"x" * size * MEBIBYTE}"}}'.encode() for size in (9, 11))

    def pieces():
        for place in range(0, len(large), 65536):
            yield large[place : place + 65536]

    with watched(ctx) as seen:
        for what, body, wanted in (
            ("9 MiB", small, 200),
            ("11 MiB", large, 413),
            ("11 MiB in pieces", pieces(), 413),
        ):
            before = len(seen.of(name))
            try:
                status = asker.ask("POST", "/v1/completions", content=body, timeout=60).status_code
            except httpx.HTTPError as error:  # it was told to stop before it had sent everything, and hung up
                cut = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
                if wanted == 413 and cut and len(seen.of(name)) == before:
                    continue
                wrong.append(f"{what}: {type(error).__name__}")
                continue
            if status != wanted:
                wrong.append(f"{what}: HTTP {status}")
    return verdict(
        not wrong,
        expected="9 MiB pass, 11 MiB are refused with 413, with and without a Content-Length",
        observed="; ".join(wrong) or "so it is",
        look="kubectl get backendtrafficpolicies -n inference -o yaml",
    )


@check(title="What a server has begun is not begun again", points=3, needs=("served",), machine=("pods",))
def once(ctx: Context) -> Verdict:
    """Generations that are silent for five seconds, cut before their first byte, and cut after it; the witness counts each."""
    asker, wrong = client(ctx), []
    cases = {
        "silent for 5 s": {"silent": 5},
        "cut before its first byte": {"reset": True},
        "cut in the middle": {"break": True},
    }
    with watched(ctx) as seen:
        for what, does in cases.items():
            name = str(uuid.uuid4())
            outcome(asker, {"id": name, "prompt": "once", "stream": "cut" in what, "witness": does})
            count = len(seen.of(name))
            if count != 1:
                wrong.append(f"{what}: {count} times")
    return verdict(
        not wrong,
        expected="each generation is begun once: a second one costs as much as the first, and may say something else",
        observed="; ".join(wrong) or "so it is",
        look="kubectl get backendtrafficpolicies -n inference -o yaml: retry",
    )
