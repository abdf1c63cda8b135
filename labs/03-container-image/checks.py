"""Lab 03: an image that serves. Each check builds or runs it; only the CUDA file may have to be read."""

import re

from llmlab.checks import Context, Verdict, check, failed, inconclusive, passed, verdict
from llmlab.errors import LabError
from llmlab.machine import CROWDED, Crowd
from llmlab.tiers.docker.for_labs import Container, cpu, image, judge, processes, run_on_older_cpu

SECONDS_TO_STOP = 10
EMULATED = 90  # seconds within which a program under an emulator answers
BUILD = "docker build -t mine ."
RUN = f"docker run -d --name c -p 127.0.0.1:8080:8080 -v {image.mounted()[0].path.parent}:/models:ro"
ALONE = f"{RUN} mine -m {image.mounted()[1]}"
DATED = re.compile(r"[-.:_]20\d{6}(T\d+Z?)?([-.]|$)")  # debian:forky-20260918-slim, ubuntu:noble-20261013


@check(title="The Dockerfile builds", points=1, machine=("docker",))
def builds(ctx: Context) -> Verdict:
    """Build it (from the cache where nothing changed)."""
    made = image.built(ctx)
    return passed(
        expected="an image", observed=f"{len(made.steps)} steps in {made.seconds:.0f} s", look=BUILD
    )


@check(title="Its base is pinned: the same bits next month", points=1, needs=("builds",), machine=("docker",))
def pinned(ctx: Context) -> Verdict:
    """Ask the builder which bases it looked up; each has a digest, or a dated tag, which its publisher never moves."""
    bases = image.built(ctx).bases
    loose = [base for base in bases if "@sha256:" not in base and not DATED.search(base)]
    return verdict(
        not loose,
        expected="every base by digest (NAME@sha256:…) or by a dated tag",
        observed="; ".join(f"{base} may be another image tomorrow" for base in loose)
        or ", ".join(bases)
        or "no base",
        look='lab.pin("debian:forky-slim")',
    )


@check(
    title="Nothing is missing inside: the program starts", points=2, needs=("builds",), machine=("docker",)
)
def libraries(ctx: Context) -> Verdict:
    """Run `IMAGE --version`: the loader needs every library for that."""
    with ctx.deploying():
        container = Container(image.built(ctx).image(), ["--version"], claim=image.claim(ctx))
    code = container.exit(within=60)
    said = container.log(6)
    return verdict(
        not code,
        expected="llama-server's version, exit code 0",
        observed=f"exit code {code}: {said}",
        look=f"{BUILD} && docker run --rm mine --version",
    )


@check(
    title="Run with only -m, the published port answers", points=3, needs=("libraries",), machine=("docker",)
)
def answers(ctx: Context) -> Verdict:
    """`docker run -p … IMAGE -m MODEL`, then a completion from outside the container."""
    expected = f"4 tokens from the published port {image.PORT}, the image run with nothing but -m"
    look = f"{ALONE}; curl -i 127.0.0.1:8080/health; docker logs c"
    with image.serving(ctx) as container:
        try:
            url = image.ready(container, within=30)
            tokens = image.completion(url)
            ctx.prove_at(url, model="tiny")
        except LabError as error:
            inside = "listening on" in container.log(200) or "HTTP server is listening" in container.log(200)
            why = (
                "; inside the container it does listen, so look at its address"
                if inside and container.state["Running"]
                else ""
            )
            return failed(expected=expected, observed=f"no answer from outside{why}. {error.what}", look=look)
    return verdict(tokens == 4, expected=expected, observed=f"{tokens} tokens", look=look)


@check(title="It does not run as root", points=1, needs=("answers",), machine=("docker",))
def user(ctx: Context) -> Verdict:
    """The user of every process in the container, as the host sees it."""
    with image.serving(ctx) as container:
        image.ready(container)
        seen = processes(container.raw)
    root = [row for row in seen if row["uid"] == "0"]
    return verdict(
        not root,
        expected="no process with uid 0",
        observed=", ".join(f"uid {row['uid']}: {row['args'].split()[0]}" for row in seen),
        look=f"{ALONE} && docker top c -eo pid,uid,args",
    )


@check(title="It serves with nothing to write to", points=1, needs=("answers",), machine=("docker",))
def read_only(ctx: Context) -> Verdict:
    """A read-only file system, no capability, no way to gain any: a completion all the same."""
    with image.serving(
        ctx, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"]
    ) as container:
        try:
            tokens = image.completion(image.ready(container, within=30))
            observed = f"{tokens} tokens"
        except LabError as error:
            tokens, observed = 0, error.what
    return verdict(
        tokens > 0,
        expected="a completion under --read-only --cap-drop ALL",
        observed=observed,
        look=f"{RUN} --read-only --cap-drop ALL --security-opt no-new-privileges mine -m {image.mounted()[1]}; docker logs c",
    )


@check(title="No compiler inside", points=1, needs=("builds",), machine=("docker",))
def toolchain(ctx: Context) -> Verdict:
    """Look through the image's file system, whatever layers hide."""
    tools = [
        str(path) for path in image.files(ctx) if path.parent.name in ("bin", "sbin") and is_tool(path.name)
    ]
    return verdict(
        not tools,
        expected="no compiler, linker or git in the image: they are weight for you and tools for an intruder",
        observed=", ".join(tools[:8]) or "none",
        look="docker export $(docker create mine none) | tar -t | grep bin/",
    )


def is_tool(name: str) -> bool:
    """gcc, x86_64-linux-gnu-gcc-15, clang++-19 …"""
    plain = re.sub(r"-[\d.]+$", "", name)
    return plain in image.TOOLCHAIN or any(
        plain.endswith(f"-{tool}") for tool in ("gcc", "g++", "ld", "clang")
    )


@check(title="docker stop is a request, not a kill", points=1, needs=("answers",), machine=("docker",))
def stops(ctx: Context) -> Verdict:
    """Stop it: SIGTERM reaches the server, and it ends by itself."""
    with image.serving(ctx) as container:
        image.ready(container)
        seconds, code = container.stop(SECONDS_TO_STOP)
    good = code in (0, 143) and seconds < SECONDS_TO_STOP
    return verdict(
        good,
        expected=f"ended within {SECONDS_TO_STOP} s by itself (exit code 0 or 143)",
        observed=f"{seconds:.1f} s, exit code {code}" + (": it had to be killed" if code == 137 else ""),
        look=f"{ALONE}; time docker stop c; docker inspect --format '{{{{.State.ExitCode}}}}' c",
    )


@check(title="Its health is the truth", points=3, needs=("answers",), machine=("docker",))
def health(ctx: Context) -> Verdict:
    """Not healthy while the model loads, healthy when it serves, unhealthy when it hangs."""
    soon = {"interval": 10**9, "timeout": 20 * 10**9, "retries": 1}  # the image's own test, asked more often
    look = f"{ALONE}; docker inspect --format '{{{{json .State.Health}}}}' c"
    expected = "a HEALTHCHECK that fails while /health says 503, passes when it says 200, and fails when nobody answers"
    # So little CPU that the model takes seconds to load; given back as soon as the test was seen to fail.
    with image.serving(ctx, model="20m", cpu_period=100_000, cpu_quota=4_000, healthcheck=soon) as container:
        if container.health is None:
            return failed(expected=expected, observed="the image has no HEALTHCHECK", look=look)
        tests = image.seen_while_loading(container)
        image.unthrottled(container)
        if any(test["ExitCode"] == 0 for test in tests):
            return failed(
                expected=expected, observed="it passed while /health still said 503: loading", look=look
            )
        found = truth(ctx, container)
    if found is None:
        # A test may end what it finds ill, and asked every second, with so little CPU, it does so soon: that was our doing.
        with image.serving(ctx, model="20m", healthcheck=soon | {"interval": 5 * 10**9}) as container:
            found = truth(ctx, container)
            if found is None:
                return failed(
                    expected=expected, observed=container.ended("ended before it was healthy").what, look=look
                )
    good, said = found
    seen = (
        f"{len(tests)} tests while loading failed, "
        if tests
        else "loaded too fast to be tested while loading, "
    )
    return verdict(good, expected=expected, observed=seen + said if good else said, look=look)


def truth(ctx: Context, container: Container) -> tuple[bool, str] | None:
    """Whether a container becomes healthy, and is found out when it hangs; None: it ended before it was healthy."""
    try:
        url = container.address
        container.wait(lambda: container.health == "healthy", within=40, what="healthy")
    except LabError:
        if not container.state["Running"]:
            return None
        last = (container.state["Health"]["Log"] or [{"Output": "it never ran"}])[-1]
        return False, f"/health says {image.health(url)}, the HEALTHCHECK: {last['Output'].strip()[-200:]}"
    image.freeze(container, image.claim(ctx))  # a server that hangs: its port accepts, and nobody answers
    found = image.hung(container, within=45)
    return (
        (True, f"then healthy; {found} when it hung")
        if found
        else (False, "still healthy while the server hangs")
    )


@check(title="It runs on an older CPU", points=2, needs=("answers",), machine=("docker",))
def older_cpu(ctx: Context) -> Verdict:
    """The same program under an emulator of an older CPU: what was compiled for the build machine ends here."""
    found, inside = image.mounted()
    expected = f"a completion on a {cpu()}"
    look = 'lab.run(image, "-m", "/models/tiny.gguf", cpu="older")'
    with ctx.deploying():
        run = run_on_older_cpu(
            image.built(ctx).image(),
            image.program(ctx),
            ["-m", inside],
            claim=image.claim(ctx),
            publish=image.PORT,
            mounts={found.path.parent: "/models"},
        )
    crowd = Crowd()
    try:
        tokens = image.completion(emulated(run, crowd))
    except LabError as error:
        evidence = {"expected": expected, "observed": error.what, "look": look}
        if run.state["Running"] and (share := crowd.share() or 0) > CROWDED:
            return inconclusive(f"something waited for a CPU in {share:.0%} of the time", **evidence)
        return failed(**evidence)
    finally:
        run.close()
    return verdict(tokens > 0, expected=expected, observed=f"{tokens} tokens on a {cpu()}", look=look)


def emulated(container: Container, crowd: Crowd) -> str:
    """Wait until it answers; three times as long while others keep the cores busy: an emulator needs all that it can get."""
    try:
        return image.ready(container, within=EMULATED)
    except LabError:
        if not container.state["Running"] or (crowd.share() or 0) <= CROWDED:
            raise
        return image.ready(container, within=2 * EMULATED)


@check(title="The CUDA image has machine code for the whole fleet", points=2, realism="schema")
def cuda(ctx: Context) -> Verdict:
    """Toolkit and architectures against the fleet, T4 to Blackwell; built where the toolchain image is at hand."""
    return judge(ctx, "Dockerfile.cuda")
