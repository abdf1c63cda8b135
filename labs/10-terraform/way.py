"""Applied: the way from the listener to the servers, and that there is no other."""

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.tiers.aws.for_labs import planned, reach, stack, values, ways

from .plan import AWS

ZONES = 2
HEALTHY_HERE = "in this stand-in nothing runs, and a target is healthy as soon as a listener forwards to its group; whether it serves, `door` asks"


@check(
    title="It applies, and then there is nothing left to do",
    points=4,
    needs=("valid",),
    machine=("terraform",),
    **AWS,
)
def applied(ctx: Context) -> Verdict:
    """`terraform apply` into an account that holds a certificate, a bucket and a secret; then another plan."""
    one = stack(ctx)
    with ctx.deploying():
        left = one.project.changes(one.variables, say=ctx.say)
    waits = any(
        it.get("min_elb_capacity") or it.get("wait_for_elb_capacity")
        for it in values(planned(ctx), "aws_autoscaling_group")
    )
    return verdict(
        not left,
        expected="apply succeeds, and a second plan is empty",
        observed=f"{len([it for it in one.steps if it.action == 'create'])} resources created; "
        + (f"the second plan would change {', '.join(left)}" if left else "the second plan is empty")
        + (f"; the apply waited for healthy targets: {HEALTHY_HERE}" if waits else ""),
        look="terraform apply && terraform plan -detailed-exitcode",
    )


@check(
    title="From the listener on 443 there is a way to servers in two zones",
    points=3,
    needs=("applied",),
    machine=("terraform",),
    **AWS,
)
def way(ctx: Context) -> Verdict:
    """What clients ask for, through the rules of listener 443 to registered instances in two zones; port 80 forwards nothing."""
    one = stack(ctx)
    promised = ", ".join(map(str, ways.PROMISED))
    expected = (
        f"443 HTTPS → target group → Auto Scaling group in {ZONES} zones or more, 2 instances or more, for {promised}; "
        "port 80 absent, or a redirect to 443"
    )
    look = "infra.have()"
    found = ways.find(one.have, one.account.domain)
    if found is None:
        observed = f"no way to an Auto Scaling group: {ways.nowhere(one.have, one.account.domain, one.where)}"
        return failed(expected=expected, observed=observed, look=look)
    balancer, listener, group, fleet = found.balancer, found.listener, found.group, found.fleet
    words = [lost.words(one.where) for lost in found.lost]
    if listener.port != 443:
        words.append(f"HTTPS on port {listener.port}")
    mine = [
        it["CertificateArn"]
        for it in one.endpoint.client("acm").list_certificates()["CertificateSummaryList"]
    ]
    if not set(listener.certificates) & set(mine):
        words.append("the listener's certificate is not the account's")
    if len(fleet.zones) < ZONES or len(balancer.zones) < ZONES:
        words.append(f"load balancer in {len(balancer.zones)} zones, servers in {len(fleet.zones)}")
    if len(group.targets) < 2 or fleet.least < 2:
        words.append(
            f"{len(group.targets)} instances registered, {fleet.least} at least: one lost is all lost"
        )
    words += [
        f"nobody is registered in {it.name}, which gets a share" for it, _ in found.served if not it.targets
    ]
    words += [
        f"{it.protocol} {it.port} serves without TLS, by {by.by} ({one.where(by.arn) or by.arn})"
        for it in balancer.listeners for by in ways.in_clear(it)
    ]  # fmt: skip
    words += ways.misled(balancer, one.account.domain)
    words += [
        f"{it.name} does not ask the load balancer who is healthy"
        for _, it in found.served
        if it.health_check != "ELB"
    ]
    way = f"443 → {group.name}:{group.port} → {len(group.targets)} instances in {len(fleet.zones)} zones"
    besides = "".join(f"; not promised, and not let through: {it.words()}" for it in found.besides)
    return verdict(not words, expected=expected, observed="; ".join(words) or way + besides, look=look)


@check(
    title="The internet reaches the door on 443, the door reaches the servers, nobody else reaches anything",
    points=4,
    needs=("way",),
    machine=("terraform",),
    **AWS,
)
def reachability(ctx: Context) -> Verdict:
    """Every pair of parties, both ends of each connection, from the security groups that were created."""
    one = stack(ctx)
    balancer, group = one.way().balancer, one.way().group
    pairs = [
        (target, it) for target, fleet in one.way().served for it in reach.matrix(one.have, balancer, fleet)
    ]
    wrong = list(
        dict.fromkeys(
            f"{it.source} → {it.to}: {it.words()}"
            for target, it in pairs
            if not reach.meant(it, balancer, target.port)
        )
    )
    if not all(
        any(
            it.peer in balancer.groups and not it.egress and it.group in fleet.groups for it in one.have.rules
        )
        for _, fleet in one.way().served
    ):
        wrong.append("the servers' group names no group of the load balancer, but addresses")
    return verdict(
        not wrong,
        expected=f"the internet → the load balancer: 443; the load balancer → a server: {group.port}, by its group; nothing else",
        observed="; ".join(wrong) or f"so it is, in {len(pairs)} pairs of parties",
        look="infra.reach().plot()",
    )
