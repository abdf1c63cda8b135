"""What each server is and may do: rights, disk, health check, secret, tags."""

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.tiers.aws.for_labs import planned, rights, stack

from .plan import AWS

TAGS = ("Project", "Environment")


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
