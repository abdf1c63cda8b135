"""A first boot, a client at the door, a change by hand, and the end."""

from llmlab.checks import Context, Verdict, check, failed, fixture, verdict
from llmlab.tiers.aws.for_labs import (
    BOOT_STANDS_IN,
    FRONT_STANDS_IN,
    FirstBoot,
    Front,
    family,
    leftovers,
    spelt,
    stack,
    ways,
)

from .plan import AWS


@fixture(ours=True)
def machine_of(ctx: Context):
    """A machine of the kind that the launch template starts, before its first boot."""
    one = stack(ctx)
    with FirstBoot(
        one.account, family=family(one.endpoint, one.way().fleet.template.get("ImageId"))
    ) as machine:
        yield machine


@fixture
def booted(ctx: Context):
    """The user data that the launch template holds, run twice."""
    machine = machine_of(ctx)
    return machine, machine.run(stack(ctx).way().fleet.user_data)


@check(
    title="The user data brings a server up, and a second run changes nothing",
    points=4, needs=("way",), machine=("terraform", "docker", "images"), realism="emulated", stands_in=BOOT_STANDS_IN,
)  # fmt: skip
def user_data(ctx: Context) -> Verdict:
    """The launch template's script as root on a booted machine, twice."""
    _, seen = booted(ctx)
    expected = "both runs end with 0, one container runs, and the second run changes no file, fetches no model, starts nothing"
    look = "infra.boot()"
    for run, which in ((seen.first, "first"), (seen.second, "second")):
        if run is not None and run.code:
            return failed(
                expected=expected,
                observed=f"the {which} run: {run.problem.what if run.problem else run.said}",
                look=look,
            )
    words = [] if len(seen.containers) == 1 else [f"{len(seen.containers)} containers run"]
    words += [f"the second run changed {it}" for it in seen.changed[:4]]
    words += [f"the second run fetched {it} again" for it in seen.again[:2]]
    seen_words = f"both runs ended with 0, {len(seen.containers)} container runs, the second changed 0 files and fetched 0 models"
    return verdict(not words, expected=expected, observed="; ".join(words) or seen_words, look=look)


@check(
    title="A client comes through the door and gets a token",
    points=4, needs=("user-data",), machine=("terraform", "docker", "images"), realism="emulated", stands_in=FRONT_STANDS_IN,
)  # fmt: skip
def door(ctx: Context) -> Verdict:
    """HTTPS with the domain's certificate verified, without the key, then with it; http:// where there is a listener on 80."""
    one = stack(ctx)
    balancer, listener = one.way().balancer, one.way().listener
    machine, seen = booted(ctx)
    with ctx.deploying():
        front = ctx.enter(Front(one.have, balancer, one.account, machine, seen.containers[0]))
        front.ready(listener.port)
    shut = front.ask(port=listener.port, prompt="x", max_tokens=1).status_code
    reply = front.ask(port=listener.port, key=one.account.key, prompt="Once", max_tokens=4)
    tokens = (reply.json().get("usage") or {}).get("completion_tokens", 0) if reply.status_code == 200 else 0
    words = [f"without the key: HTTP {shut}", f"with the key: HTTP {reply.status_code}, {tokens} tokens"]
    good = shut == 401 and tokens > 0
    for one_more in (
        it.port
        for it in balancer.listeners
        if it.protocol == "HTTP" and ways.redirects(it, one.account.domain)
    ):
        status = front.ask("/health", port=one_more).status_code
        words.append(f"port {one_more}: HTTP {status}")
        good = good and status in (301, 302)
    front.close()
    return verdict(
        good,
        expected="without the key 401, with the key of Secrets Manager tokens; a listener that redirects does",
        observed="; ".join(words),
        look="infra.front()",
    )


@check(title="A change by hand is noticed", points=2, needs=("way",), machine=("terraform",), **AWS)
def drift(ctx: Context) -> Verdict:
    """Change the health check and the idle timeout past Terraform, as somebody does at three in the morning; then plan."""
    one = stack(ctx)
    balancer, group = one.way().balancer, one.way().group
    elb = one.endpoint.client("elbv2")
    elb.modify_target_group(TargetGroupArn=group.arn, HealthCheckPath="/by-hand")
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer.arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "61"}]
    )
    with ctx.deploying():
        changes = one.project.changes(one.variables, say=ctx.say)
    kinds = {spelt(it.split(".")[-2]) for it in changes}  # module.door.aws_lb.server
    missing = {"aws_lb_target_group", "aws_lb"} - kinds
    return verdict(
        not missing,
        expected="a plan that would put the target group's health check and the load balancer's idle timeout back",
        observed=f"the plan would change {', '.join(changes) or 'nothing'}",
        look="terraform plan -detailed-exitcode",
    )


@check(
    title="`terraform destroy` leaves nothing that costs money",
    points=2,
    needs=("applied",),
    machine=("terraform",),
    **AWS,
)
def destroyed(ctx: Context) -> Verdict:
    """Destroy, then list what is in the account that was not there before."""
    one = stack(ctx)
    with ctx.deploying():
        one.project.destroy(one.variables, say=ctx.say)
    left = leftovers.live(one.endpoint, one.before)
    gone = sorted(one.before - leftovers.everything(one.endpoint))
    words = ([f"left: {', '.join(left)}"] if left else []) + (
        [f"gone, though it was not yours: {', '.join(gone)}"] if gone else []
    )
    return verdict(
        not words,
        expected="what was made is gone; what was there before is still there",
        observed="; ".join(words)
        or f"0 left of what was made; {len(one.before)} that were there before still are",
        look="terraform destroy",
    )
