"""Lab 10: the files are planned, tested, applied to a fresh account, read back, used, drifted and destroyed. All names in the account are new."""

from typing import Any

from llmlab.checks import Context, Verdict, check, failed, fixture, verdict
from llmlab.tiers.aws.for_labs import (
    BOOT_STANDS_IN,
    FRONT_STANDS_IN,
    STANDS_IN,
    FirstBoot,
    Front,
    family,
    leftovers,
    mutants,
    planned,
    project,
    reach,
    references,
    rights,
    stack,
    values,
    ways,
)

AWS: dict[str, Any] = {"realism": "emulated", "stands_in": STANDS_IN}
REPLIES = (47, 900)  # seconds that the longest reply may take
TAGS = ("Project", "Environment")
ZONES = 2
HEALTHY_HERE = "in this stand-in nothing runs, and a target is healthy as soon as a listener forwards to its group; whether it serves, `door` asks"


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
    words, good = [], True
    for seconds in REPLIES:
        with ctx.deploying():
            plan = found.plan(variables | {"longest_reply": seconds}, say=ctx.say)
        idle = [int(balancer["idle_timeout"]) for balancer in values(plan, "aws_lb")]
        delay = [int(group["deregistration_delay"]) for group in values(plan, "aws_lb_target_group")]
        good = good and bool(idle) and bool(delay) and min(idle + delay) >= seconds
        words.append(
            f"for {seconds} s: idle timeout {idle or 'none'}, deregistration delay {delay or 'none'}"
        )
    return verdict(
        good,
        expected="both at least as long as var.longest_reply, whatever that is",
        observed="; ".join(words),
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


@check(
    title="A server gives away nothing: IMDSv2, an encrypted disk, no more rights than it needs",
    points=4,
    needs=("way",),
    machine=("terraform",),
    **AWS,
)
def hardened(ctx: Context) -> Verdict:
    """The launch template at the version that is launched, and what its role may do, asked action by action."""
    one = stack(ctx)
    fleets = {it.name: it for _, it in one.way().served}
    words = [word for fleet in fleets.values() for word in _soft(one, fleet)]
    return verdict(
        not words,
        expected="session tokens required, the disk encrypted; the role reads this model and this secret, and nothing else",
        observed="; ".join(dict.fromkeys(words))
        or f"so it is, in the launch template of {', '.join(fleets)}",
        look="infra.rights()",
    )


def _soft(one, fleet):
    """What a server of a fleet gives away."""
    words = []
    tokens = (fleet.template.get("MetadataOptions") or {}).get("HttpTokens")
    if tokens != "required":
        words.append(
            f"http_tokens is {tokens or 'not set'}: a URL that the server is made to fetch gives the role away"
        )
    disks = [it.get("Ebs") or {} for it in fleet.template.get("BlockDeviceMappings") or []]
    if not disks or not all(str(it.get("Encrypted")).lower() == "true" for it in disks):
        words.append("the root volume is not encrypted")
    documents = rights.policies(one.endpoint, fleet.template.get("IamInstanceProfile"))
    if documents is None:
        words.append("no instance profile with a role")
    else:
        model, secret = (
            f"arn:aws:s3:::{one.account.bucket}/{one.account.model}",
            one.endpoint.client("secretsmanager").describe_secret(SecretId=one.account.secret)["ARN"],
        )
        needed = {("s3:GetObject", model), ("secretsmanager:GetSecretValue", secret)}
        never = {
            ("s3:PutObject", model), ("s3:DeleteObject", model), ("s3:GetObject", one.account.others[0]),
            ("secretsmanager:GetSecretValue", one.account.others[1]), ("secretsmanager:PutSecretValue", secret),
            ("iam:PassRole", "*"), ("iam:CreateUser", "*"), ("ec2:RunInstances", "*"), ("ec2:TerminateInstances", "*"), ("sts:AssumeRole", "*"),
        }  # fmt: skip
        words += [
            f"may not {action} on {what}, and must"
            for action, what in sorted(needed)
            if not rights.allowed(documents, action, what)
        ]
        words += [
            f"may {action} on {what}"
            for action, what in sorted(never)
            if rights.allowed(documents, action, what)
        ]
    return words


@check(
    title="The health check knows a server that is ready from one that is not",
    points=2,
    needs=("way",),
    machine=("terraform",),
    **AWS,
)
def health(ctx: Context) -> Verdict:
    """The target group's path, port and matcher: what llama-server answers there while it loads (503) must not do."""
    one = stack(ctx)
    groups = list({it.name: it for it, _ in one.way().served}.values())
    words = [
        word if len(groups) == 1 else f"{group.name}: {word}" for group in groups for word in _blind(group)
    ]
    return verdict(
        not words,
        expected="/health at the serving port, 200 and not 503",
        observed="; ".join(words) or f"{groups[0].health['path']}, {groups[0].health['matcher']}",
        look="infra.have()",
    )


def _blind(group):
    """What a target group's health check does not tell apart."""
    codes = str(group.health["matcher"])
    spans = [it.partition("-") for it in codes.replace(" ", "").split(",")]
    takes = lambda code: any(int(low) <= code <= int(high or low) for low, _, high in spans)  # noqa: E731
    words = []
    if group.health["path"] not in ("/health", "/v1/health"):
        words.append(
            f"path {group.health['path']}: llama-server says at /health whether the model is loaded, and asks no key there"
        )
    if group.health["port"] not in ("traffic-port", str(group.port)):
        words.append(f"port {group.health['port']} is not where it serves")
    if not takes(200) or takes(503) or takes(401):
        words.append(f"matcher {codes}")
    return words


@check(
    title="The key is in Secrets Manager, and nowhere else",
    points=3,
    needs=("applied",),
    machine=("terraform",),
    **AWS,
)
def secrets(ctx: Context) -> Verdict:
    """Look for it in the plan, the state, the user data; the state file is read by more people than the secret."""
    one = stack(ctx)
    key, seen = one.account.key, []
    if any(
        key in path.read_text(errors="replace")
        for path in one.project.project.rglob("*.tfstate*")
        if path.is_file()
    ):
        seen.append("the state file")
    if any(key in fleet.user_data for fleet in one.have.fleets):
        seen.append("the user data")
    if key in str(planned(ctx)):
        seen.append("the plan")
    return verdict(
        not seen,
        expected="neither in the plan, nor in the state, nor in the user data: a server fetches it itself",
        observed="it stands in " + ", ".join(seen) if seen else "in none of them",
        look="terraform show | grep -c 'sk-'",
    )


@check(title="Everything says whose it is", points=1, needs=("way",), machine=("terraform",), **AWS)
def tags(ctx: Context) -> Verdict:
    """The tags of what was planned, and of the instances that run: the provider's default tags do not reach those."""
    one = stack(ctx)
    taggable = [
        it
        for it in planned(ctx)["resource_changes"]
        if it["mode"] == "managed" and "tags_all" in (it["change"]["after"] or {})
    ]
    bare = [it["address"] for it in taggable if not set(TAGS) <= set(it["change"]["after"]["tags_all"] or {})]
    machines = [
        it["InstanceId"] for it in one.have.instances
        if not set(TAGS) <= {tag["Key"] for tag in it.get("Tags") or []}
    ]  # fmt: skip
    words = ([f"without them: {', '.join(bare)}"] if bare else []) + (
        [f"{len(machines)} running instances are without them"] if machines else []
    )
    return verdict(
        not words,
        expected=f"tags {' and '.join(TAGS)} on all that can be tagged, and on the instances that are launched",
        observed="; ".join(words)
        or f"both on each of {len(taggable)} resources that can have tags, and on {len(one.have.instances)} running instances",
        look="infra.have()",
    )


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
    kinds = {it.split(".")[-2] for it in changes}  # module.door.aws_lb.server
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
