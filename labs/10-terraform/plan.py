"""What stands in the files and in a plan of them: their form, their own tests, time-outs, the image. Nothing is applied."""

from typing import Any

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.tiers.aws.for_labs import (
    STANDS_IN,
    mutants,
    planned,
    project,
    references,
    resources,
    values,
    written,
)

AWS: dict[str, Any] = {"realism": "emulated", "stands_in": STANDS_IN}
REPLIES = (47, 900)  # seconds that the longest reply may take


@check(title="It is formatted as everybody's is", points=1, machine=("terraform",))
def formatted(ctx: Context) -> Verdict:
    """`terraform fmt -check -recursive`."""
    with ctx.deploying():
        ugly = project(ctx)[0].unformatted()
    return verdict(
        not ugly,
        expected="terraform fmt would change nothing",
        observed=f"it would change {', '.join(ugly)}" if ugly else "nothing",
        look="terraform fmt -diff",
    )


@check(title="Terraform has no objection", points=1, machine=("terraform",))
def valid(ctx: Context) -> Verdict:
    """`terraform init` and `validate`."""
    with ctx.deploying():
        objections = project(ctx)[0].validate()
    return verdict(
        not objections,
        expected="terraform validate has nothing to say",
        observed="\n".join(str(objection) for objection in objections[:6]) or "nothing",
        look="terraform validate",
    )


@check(title="Your tests pass, and they can fail", points=4, needs=("valid",), machine=("terraform",))
def tests(ctx: Context) -> Verdict:
    """`terraform test` on the files; then on three stacks, each with one thing broken."""
    found, _, _ = project(ctx)
    look = "terraform test"
    expected = "all runs pass; and with one thing broken, an assertion fails"
    with ctx.deploying():
        own = found.test()
        if not own.passed:
            words = [f"{name}: {run}" for name, run in own.runs.items() if run != "pass"] + [
                str(it) for it in own.errors
            ]
            return failed(expected=expected, observed="\n".join(words[:6]) or "no run at all", look=look)
        missed = []
        for name, files in mutants(planned(ctx)).items():
            if files is None or not found.test(files).caught:
                missed.append(name + (" (there is no such resource)" if files is None else ""))
    return verdict(
        not missed,
        expected=expected,
        observed="not noticed: " + "; ".join(missed)
        if missed
        else f"{len(own.runs)} runs pass; three broken stacks noticed",
        look=look,
    )


@check(
    title="Nobody hangs up before the longest reply is written",
    points=3,
    needs=("valid",),
    machine=("terraform",),
    **AWS,
)
def patience(ctx: Context) -> Verdict:
    """Plan with `longest_reply` at two values: the idle timeout and the deregistration delay follow."""
    found, _, variables = project(ctx)
    fine, short = [], []
    for seconds in REPLIES:
        with ctx.deploying():
            plan = found.plan(variables | {"longest_reply": seconds}, say=ctx.say)
        for kind, name in (("aws_lb", "idle_timeout"), ("aws_lb_target_group", "deregistration_delay")):
            given = resources(plan, kind)
            short += [] if given else [f"there is no {kind}"]
            for it in given:
                said = f"for {seconds} s {name} is {it['values'][name]}"
                if int(it["values"][name]) < seconds:
                    at = written(ctx.files, it["type"], it["name"])
                    short.append(f"{at}: {said}" if at else said)
                else:
                    fine.append(said)
    return verdict(
        not short,
        expected="both at least as long as var.longest_reply, whatever that is",
        observed="; ".join(short or fine),
        look=f"terraform plan -var longest_reply={REPLIES[1]}",
    )


@check(
    title="The machine image is looked up, and fits the machine",
    points=2,
    needs=("valid",),
    machine=("terraform",),
    **AWS,
)
def image(ctx: Context) -> Verdict:
    """What the launch template's image refers to; then the image itself, as the region has it."""
    found, _, _ = project(ctx)
    with ctx.deploying():
        plan = planned(ctx)
    names = [
        reference
        for reference in references(plan, "aws_launch_template", "image_id")
        if reference.startswith(("data.", "module.", "local.", "var."))
    ]
    assert found.endpoint is not None
    ec2 = found.endpoint.client("ec2")
    words, good = [], bool(names) and bool(values(plan, "aws_launch_template"))
    for template in values(plan, "aws_launch_template"):
        images = ec2.describe_images(
            Filters=[{"Name": "image-id", "Values": [template.get("image_id") or "none"]}]
        )["Images"]
        kinds = (
            ec2.describe_instance_types(InstanceTypes=[template["instance_type"]])["InstanceTypes"]
            if template.get("instance_type")
            else []
        )
        fits = (
            bool(images and kinds)
            and images[0]["Architecture"] in kinds[0]["ProcessorInfo"]["SupportedArchitectures"]
        )
        good = good and fits
        what = (
            f"{images[0]['Name']} ({images[0]['Architecture']})"
            if images
            else "an image that this region has not"
        )
        words.append(f"{template.get('image_id')}: {what} on {template.get('instance_type')}")
    words.append(
        "from " + ", ".join(names) if names else "written down as it is: another region has no such image"
    )
    return verdict(
        good,
        expected="an image found by a data source, there in this region, for the machine's architecture",
        observed="; ".join(words),
        look="terraform plan",
    )
