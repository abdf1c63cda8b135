"""The task definition as Fargate would run it: registered, with its role, its secret, its logs and its end."""

import contextlib
import json

import httpx

from llmlab.checks import Context, Verdict, check, failed, fixture, verdict
from llmlab.errors import LabError
from llmlab.load.users import Users
from llmlab.serve.api import Remote
from llmlab.system.waiting import wait
from llmlab.tiers.serverless.for_labs import (
    ECS_IMAGE,
    ECS_NOT_IMITATED,
    ECS_STANDS_IN,
    AwsEndpoint,
    EcsAccount,
    FargateTask,
    in_docker,
    policies,
    ports,
    read_task,
)

TASK, POLICY, TRUST = "task-definition.json", "execution-policy.json", "trust.json"
RUNNING = 90  # seconds for a task to run and be healthy
GRACE = 130  # seconds: stopTimeout is 120 at most
PEOPLE = 4
STARTED = ("ecs-runs",)


@fixture(ours=True)
def image(ctx: Context) -> str:
    """It lies in the account's registry: here, in the daemon."""
    in_docker(ECS_IMAGE, ctx.say)
    return ECS_IMAGE


@fixture(ours=True)
def endpoint(ctx: Context):
    """An AWS of its own."""
    with AwsEndpoint() as one:
        yield one


@fixture
def account(ctx: Context) -> EcsAccount:
    """An account with the secret, the log group, the repository, and the role that the learner's policies make."""
    image(ctx)
    made = {name: policies.read(ctx.files / name) for name in (TRUST, POLICY)}
    return EcsAccount.furnish(endpoint(ctx), trust=made[TRUST], policies={POLICY: made[POLICY]})


@fixture
def task(ctx: Context):
    """It runs, and is as healthy as it says it can be."""
    account(ctx)
    with FargateTask(read_task(ctx.files / TASK), endpoint(ctx), say=ctx.say) as one:
        one.wait("RUNNING", within=RUNNING)
        yield one


def running(ctx: Context) -> FargateTask:
    """The task, which has not stopped meanwhile."""
    one: FargateTask = task(ctx)
    with ctx.deploying():
        if one.status != "RUNNING":
            raise LabError(f"The task does not run any more: {one.said()}", where=TASK)
    return one


def mapped(ctx: Context) -> list[int]:
    """The ports that the task's containers map, in the order of the file.

    :raises LabError: when none does.
    """
    definition = read_task(ctx.files / TASK)
    found = ports(definition.document)
    if not found:
        raise LabError(
            "No container maps a port.",
            where=definition.where(("containerDefinitions",)),
            fix='"portMappings": [{"containerPort": 8080}]',
        )
    return found


@fixture
def port(ctx: Context) -> int:
    """The first of them that answers `/health` with 200; other ports may be for other things.

    :raises LabError: when none does in time.
    """
    one = task(ctx)

    def open_one() -> int | None:
        if one.status != "RUNNING":
            raise LabError(f"The task has stopped: {one.stopped_reason}", where=TASK)
        for number in mapped(ctx):
            with Remote(f"http://{one.address}:{number}") as server:
                if server.health() == 200:
                    return number
        return None

    try:
        return wait("a port that answers /health with 200", open_one, RUNNING)
    except LabError as error:
        where = "; ".join(
            f"{name}: {part.status} {part.reason}".strip() for name, part in one.containers.items()
        )
        tried = ", ".join(map(str, mapped(ctx)))
        raise LabError(f"{error.what}\nmapped: {tried}; {where}", where=error.where or TASK) from None


def url(ctx: Context) -> str:
    """Where the task answers."""
    return f"http://{task(ctx).address}:{port(ctx)}"


def answered(ctx: Context, key: str | None) -> httpx.Response | None:
    """A completion, with this key; None: nobody is there."""
    with Remote(url(ctx), key=key) as server:
        try:
            return server.http.post(
                "/v1/completions", json={"prompt": "once", "max_tokens": 8, "ignore_eos": True}
            )
        except httpx.HTTPError:
            return None


@check(
    title="Fargate: the task is registered, runs, and answers with the lab's model",
    points=4,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_runs(ctx: Context) -> Verdict:
    """Register the definition, run it with the role that the policies make, and ask for tokens at the task's own address."""
    one, number = task(ctx), port(ctx)
    reply = answered(ctx, account(ctx).key)
    said = "no answer" if reply is None else f"HTTP {reply.status_code} {reply.text[:120]}"
    if reply is None or reply.status_code != 200:
        return failed(
            expected=f"HTTP 200 with tokens of the model 20m at port {number} of the task's address",
            observed=said,
            look="fargate.logs()",
        )
    ctx.prove_at(url(ctx), model="20m", key=account(ctx).key)
    return verdict(
        True,
        expected=f"HTTP 200 with tokens of the model 20m at the task's address, within {RUNNING} s",
        observed=f"it is RUNNING and {one.health}",
        look="aws ecs register-task-definition, run-task, describe-tasks",
        not_imitated=" ".join(ECS_NOT_IMITATED),
    )


@check(
    title="Fargate: it is asked for its health, and knows the answer",
    points=2,
    needs=STARTED,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_health(ctx: Context) -> Verdict:
    """Wait for what the health checks of the definition say; those of an image are not asked."""
    one = task(ctx)
    with contextlib.suppress(LabError):
        wait("its health", lambda: one.health == "HEALTHY", RUNNING)
    return verdict(
        one.health == "HEALTHY",
        expected=f"HEALTHY within {RUNNING} s: each essential container that is asked says so, and one is asked",
        observed=one.health + "".join(f"; {name}: {part.health}" for name, part in one.containers.items()),
        look="healthCheck: CMD-SHELL needs a shell, and CMD a program that is in the image",
    )


@check(
    title="Fargate: the key comes from Secrets Manager, and stands nowhere else",
    points=2,
    needs=STARTED,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_secret(ctx: Context) -> Verdict:
    """Ask without the key; look for it in what was registered, on command lines and in the logs."""
    one, secret = running(ctx), account(ctx).key
    reply = answered(ctx, None)
    found = []
    described = endpoint(ctx).client("ecs").describe_task_definition(taskDefinition=one.definition_arn)
    if secret in json.dumps(described["taskDefinition"], default=str):
        found.append("the task definition")
    assert one.group is not None
    for name in one.containers:
        if any(secret in process["args"] for process in one.group.processes(name)):
            found.append(f"the command line of {name}")
        if secret in one.group.logs(name).decode(errors="replace"):
            found.append(f"the log of {name}")
    status = reply.status_code if reply is not None else 0
    return verdict(
        status == 401 and not found,
        expected="HTTP 401 without the key; the key itself in Secrets Manager alone",
        observed=f"without the key: HTTP {status}"
        + (f"; the key stands in {', '.join(found)}" if found else ""),
        look='"secrets": [{"name": "LLAMA_API_KEY", "valueFrom": the full ARN}]',
    )


@check(
    title="Fargate: what the server writes arrives in CloudWatch Logs",
    points=2,
    needs=STARTED,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_logs(ctx: Context) -> Verdict:
    """Read the log streams of the task for the words with which llama-server says that it listens."""
    one = task(ctx)
    said: dict[str, str] = dict(one.log_trouble)

    def there() -> bool:
        for name in one.containers:
            try:
                lines = one.logged(name)
            except LabError as error:
                said.setdefault(name, error.what)
                continue
            if any("listening" in line for line in lines):
                said[name] = f"{len(lines)} lines of {name}, the one that says it listens among them"
                return True
            said[name] = f"{len(lines)} lines"
        return False

    try:
        wait("the log", there, 20)
    except LabError:
        return verdict(
            False,
            expected="the lines of llama-server in /ecs/llama-server",
            observed="; ".join(f"{name}: {words}" for name, words in said.items()),
            look="logConfiguration, logDriver awslogs, and logs:PutLogEvents in the policy",
        )
    return verdict(
        True,
        expected="the lines of llama-server in /ecs/llama-server",
        observed=next(words for words in said.values() if "it listens" in words),
        look="aws logs tail /ecs/llama-server",
    )


@check(
    title="Fargate: a task that is stopped finishes what it has begun",
    points=3,
    needs=STARTED,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_ends(ctx: Context) -> Verdict:
    """Four people stream; nobody new comes any more, as when a load balancer has taken the task out; then it is stopped."""
    number = port(ctx)
    with (
        ctx.deploying(),
        FargateTask(read_task(ctx.files / TASK), endpoint(ctx), say=ctx.say) as one,
    ):
        one.wait("RUNNING", within=RUNNING)
        at, key = f"http://{one.address}:{number}", account(ctx).key
        with Remote(at, key=key) as server:
            wait("its health", lambda: server.health() == 200, RUNNING)
        with Users(at, PEOPLE, tokens=400, timeout=90, api_key=key) as them:
            # with tokens coming, so that none of their connections is only on its way when the task is told to stop
            wait("four streams", lambda: them.open == PEOPLE and them.tokens >= PEOPLE, 60)
            them.set(0)
            one.stop()
            samples = them.stop(GRACE)
        one.wait("STOPPED", within=GRACE)
        killed = [name for name, part in one.containers.items() if part.exit_code == 137]
    lost = [sample for sample in samples if not sample.ok]
    return verdict(
        not lost and not killed,
        expected=f"{PEOPLE} of {PEOPLE} streams come to their end, and nobody has to be killed",
        observed=f"{len(samples) - len(lost)} of {len(samples)}"
        + (f"; killed: {', '.join(killed)}" if killed else "")
        + "".join(f"; {sample.error}" for sample in lost[:1]),
        look="stopTimeout, and who gets SIGTERM first: containers stop in the reverse order of dependsOn",
    )
