"""What the execution role may do: evaluated as IAM evaluates it, not searched for words."""

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.errors import LabError
from llmlab.tiers.serverless.for_labs import ECS_STANDS_IN, policies, read_task

from .fargate import POLICY, TASK, TRUST, account


@check(
    title="Fargate: the role may do what the task needs, and nothing more",
    points=3,
    machine=("docker",),
    realism="emulated",
    stands_in=ECS_STANDS_IN,
)
def ecs_role(ctx: Context) -> Verdict:
    """Evaluate the policy: what ECS does with it, and what nobody should be able to."""
    made = account(ctx)
    with ctx.deploying():
        document, trust = policies.read(ctx.files / POLICY), policies.read(ctx.files / TRUST)
        definition = read_task(ctx.files / TASK)
        if definition.problems():
            raise LabError("\n".join(map(str, definition.problems())), where=TASK)
        try:
            needed = made.needed(definition.document)
        except (LookupError, TypeError, ValueError):
            raise LabError(
                "The definition would be refused, so nobody knows what it needs.", where=TASK
            ) from None
    lacks = [
        f"may not {action} on {resource}"
        for action, resource in needed
        if policies.decided([document], action, resource, policies.CONTEXT) != "allowed"
    ]
    more = [*policies.too_much([document], made), *policies.trusted_too_widely(trust)]
    return verdict(
        not lacks and not more,
        expected="the image pulled, this secret read, this log written; no other, and nothing else",
        observed="\n".join([*lacks, *more][:8])
        or f"the {len(needed)} actions that it needs are allowed, and none that it does not",
        look="execution-policy.json: an Action for each step, and the Resource that it is about",
    )
