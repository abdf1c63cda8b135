"""aci.sh as az and Container Instances would take it: read, made, asked."""

import json

import httpx

from llmlab.checks import Context, Verdict, check, fixture, verdict
from llmlab.errors import LabError
from llmlab.serve.api import Remote
from llmlab.system.waiting import wait
from llmlab.tiers.serverless.for_labs import (
    ACI_IMAGE,
    ACI_NOT_IMITATED,
    ACI_STANDS_IN,
    ContainerGroup,
    Creation,
    acr,
    in_docker,
    read_script,
    remarks,
    variables,
    with_az,
)

from .stack import key

SCRIPT = "aci.sh"
RUNNING = 60  # seconds for a group to answer


@fixture(ours=True)
def image(ctx: Context) -> str:
    """It lies in the registry: here, in the daemon."""
    in_docker(ACI_IMAGE, ctx.say)
    return ACI_IMAGE


@fixture
def asked(ctx: Context) -> Creation:
    """The one group that the script creates."""
    script = read_script(ctx.files / SCRIPT, variables(key(ctx)))
    problems = (*script.problems, *with_az(script))  # az itself, where this machine has it
    if problems:
        raise LabError("\n".join(map(str, problems)), where=problems[0].where)
    if len(script.asked) != 1:
        raise LabError(
            f"The script creates {len(script.asked)} container groups, and one is wanted.", where=SCRIPT
        )
    return script.asked[0]


@fixture
def group(ctx: Context):
    """It is made."""
    image(ctx)
    with ContainerGroup(asked(ctx), registries=[acr()], say=ctx.say) as one:
        yield one


@check(
    title="Container Instances: the command is taken, and the group answers with the lab's model",
    points=4,
    machine=("docker",),
    realism="emulated",
    stands_in=ACI_STANDS_IN,
)
def aci_runs(ctx: Context) -> Verdict:
    """Read the script as az reads it, make the group, and ask for tokens at its address."""
    one, said = group(ctx), "nothing"
    with ctx.deploying():
        at = one.url()
    with Remote(at, key=key(ctx)) as server:

        def ready() -> bool:
            nonlocal said
            try:
                reply = server.http.post(
                    "/v1/completions", json={"prompt": "once", "max_tokens": 8, "ignore_eos": True}
                )
            except httpx.HTTPError as error:
                said = f"no answer: {error}"
                return False
            said = f"HTTP {reply.status_code} {reply.text[:120]}"
            return reply.status_code == 200

        with ctx.deploying():
            try:
                wait("an answer", ready, RUNNING)
            except LabError:
                lines = "\n".join(one.logs().splitlines()[-4:])
                raise LabError(
                    f"{said}; the group is {one.state}, {one.restart_count} restarts\n{lines}",
                    where=one.asked.where,
                ) from None
    ctx.prove_at(at, model="20m", key=key(ctx))
    return verdict(
        True,
        expected=f"HTTP 200 with tokens of the model 20m at the group's address, within {RUNNING} s",
        observed=f"{one.state} at {at}",
        look="az container show, az container logs",
        not_imitated=" ".join(ACI_NOT_IMITATED),
    )


@check(
    title="Container Instances: the key is in no file, and az never shows it",
    points=2,
    needs=("aci-runs",),
    machine=("docker",),
    realism="emulated",
    stands_in=ACI_STANDS_IN,
)
def aci_secret(ctx: Context) -> Verdict:
    """Ask without the key; look for it in the script, in what az shows, on command lines and in the log."""
    one, secret = group(ctx), key(ctx)
    with ctx.deploying(), Remote(one.url()) as server:
        try:
            reply = server.http.post("/v1/completions", json={"prompt": "once", "max_tokens": 1})
        except httpx.HTTPError as error:
            raise LabError(
                f"Nobody answers: {error}; the group is {one.state}", where=one.asked.where
            ) from None
        status, processes = reply.status_code, one.group.processes(one.name)
    found = [
        str(remark) for remark in remarks(one.asked) if remark.code in ("secret-written", "secret-shown")
    ]
    if secret in json.dumps(one.describe()):
        found.append("az container show shows the key")
    if any(secret in process["args"] for process in processes):
        found.append("the key stands on a command line")
    if secret in one.logs():
        found.append("the key stands in the log")
    return verdict(
        status == 401 and not found,
        expected="HTTP 401 without the key; the key itself in a secure variable alone",
        observed="\n".join([f"without the key: HTTP {status}", *found]),
        look='--secure-environment-variables LLAMA_API_KEY="$LLAMA_API_KEY"',
    )
