"""A task on the emulated Fargate: what its role may not, it has not; what it says of order, health, memory and ends, it does."""

from __future__ import annotations

import copy
import io
import json
import threading
import time
import urllib.request
import uuid
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from dockyard import held

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.tiers.docker.daemon import client
from llmlab.tiers.docker.owning import Claim
from llmlab.tiers.serverless.ecs import agent, policies
from llmlab.tiers.serverless.ecs import task as ecs_task
from llmlab.tiers.serverless.ecs.account import (
    ACCOUNT,
    IMAGE,
    LOG_GROUP,
    REPOSITORY,
    ROLE_ARN,
    SECRET_ARN,
    EcsAccount,
)
from llmlab.tiers.serverless.ecs.definition import TaskDefinition
from llmlab.tiers.serverless.ecs.task import FargateTask
from llmlab.tiers.serverless.group import ContainerState

REGISTRY = IMAGE.rpartition(":")[0]
LOGS_ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{LOG_GROUP}:*"
PULL = ["ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"]
MAY = {
    "token": {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    "pull": {"Effect": "Allow", "Action": PULL, "Resource": f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{REPOSITORY}"},
    "secret": {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": SECRET_ARN},
    "logs": {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": LOGS_ARN},
}  # fmt: skip


def policy(**changes):
    return {"Version": "2012-10-17", "Statement": [it for it in (MAY | changes).values() if it]}


def trust(service="ecs-tasks.amazonaws.com", **more):
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


# What IAM says: no Docker is needed for it.

DENY = {"Effect": "Deny", "Action": "*", "NotResource": SECRET_ARN}
STAR = f"{SECRET_ARN[:-6]}??????"


@pytest.mark.parametrize(
    ("statement", "action", "resource", "says"),
    [
        (MAY["secret"], "secretsmanager:GetSecretValue", SECRET_ARN, "allowed"),
        (MAY["secret"], "SecretsManager:getsecretvalue", SECRET_ARN, "allowed"),
        (MAY["secret"] | {"Resource": STAR}, "secretsmanager:GetSecretValue", SECRET_ARN, "allowed"),
        (MAY["secret"] | {"Resource": STAR[:-1]}, "secretsmanager:GetSecretValue", SECRET_ARN, "silent"),
        (MAY["secret"] | {"Action": "secretsmanager:Get*"}, "secretsmanager:DeleteSecret", SECRET_ARN, "silent"),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "iam:PassRole", ROLE_ARN, "silent"),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::a/b", "allowed"),
        (DENY, "s3:GetObject", "arn:aws:s3:::a/b", "denied"),
        (DENY, "secretsmanager:GetSecretValue", SECRET_ARN, "silent"),
        (MAY["secret"] | {"Condition": {"StringEquals": {"aws:requestedregion": "us-east-1"}}}, "secretsmanager:GetSecretValue", SECRET_ARN, "allowed"),
        (MAY["secret"] | {"Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}}, "secretsmanager:GetSecretValue", SECRET_ARN, "silent"),
        (MAY["secret"] | {"Condition": {"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}}, "secretsmanager:GetSecretValue", SECRET_ARN, "allowed"),
        (MAY["secret"] | {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": True}}}, "secretsmanager:GetSecretValue", SECRET_ARN, "silent"),
        (MAY["secret"] | {"Condition": ["aws:RequestedRegion"]}, "secretsmanager:GetSecretValue", SECRET_ARN, "silent"),
        (MAY["logs"] | {"Resource": LOGS_ARN[:-2]}, "logs:CreateLogStream", LOGS_ARN[:-1] + "log-stream:a", "silent"),
    ],
)  # fmt: skip
def test_what_a_policy_says(statement, action, resource, says):
    document = {"Version": "2012-10-17", "Statement": statement}
    assert policies.decided([document], action, resource, {"aws:RequestedRegion": "us-east-1"}) == says


@pytest.mark.parametrize(
    ("document", "trusts"),
    [
        (trust(), True),
        (trust(["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]), True),
        (trust("ecs.amazonaws.com"), False),
        (trust(Effect="Deny"), False),
        (trust(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:*"}}), True),
        (trust(Condition={"StringEquals": {"aws:SourceAccount": "111122223333"}}), False),
        ({}, False),
    ],
)  # fmt: skip
def test_who_may_assume_a_role(document, trusts):
    context = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/default/a"}  # fmt: skip
    assert policies.assumable(document, context=context) == trusts


def test_the_account_has_what_files_name_and_the_needed_policy_gives_nothing_more(aws):
    account = EcsAccount.furnish(aws, trust=trust(), policies={"execution": policy()})
    got = aws.client("secretsmanager").get_secret_value(SecretId=SECRET_ARN)
    assert got["SecretString"] == account.key
    assert policies.excess([policy()], account.beyond()) == []
    wide = policy(secret=MAY["secret"] | {"Resource": "*"}, logs=MAY["logs"] | {"Action": "logs:*"})
    found = policies.excess([wide], account.beyond())
    assert ("secretsmanager:GetSecretValue", account.foreign) in found
    assert "logs:DeleteLogGroup" in {action for action, _ in found}
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    assert policies.excess([everything], account.beyond()) == list(account.beyond())


def secrets_of(name, action="secretsmanager:GetSecretValue"):
    arn = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}"
    return policy(secret=MAY["secret"] | {"Resource": arn, "Action": action})


def allow(action, resource="*"):
    return policy(more={"Effect": "Allow", "Action": action, "Resource": resource})


FOREIGN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:billing-database-AbCdEf"
OWNED = EcsAccount(key="", foreign=FOREIGN)
WORKED = json.loads((Path(__file__).parents[3] / "solutions/11-serverless/execution-policy.json").read_text())


@pytest.mark.parametrize(
    "document",
    [
        WORKED,
        policy(),
        secrets_of("llama-api-key-??????"),
        secrets_of("llama-api-key-*"),
        secrets_of("llama-api-key-CJXDCG", ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]),
        secrets_of("llama-api-key-CJXDCG", "SecretsManager:GetSecretValue"),
        # AWS's AmazonECSTaskExecutionRolePolicy in one statement, bound
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": [*PULL, "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue"], "Resource": [MAY["pull"]["Resource"], LOGS_ARN, SECRET_ARN]}},
        policy(logs=MAY["logs"] | {"Action": ["logs:Create*", "logs:PutLogEvents"]}),
        allow("kms:Decrypt", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/22222222-2222-3333-4444-555555555555"),
        allow("ssm:GetParameters", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/llama/*"),
        policy(more={"Effect": "Deny", "NotAction": "s3:*", "Resource": FOREIGN}),
    ],
)  # fmt: skip
def test_what_is_not_too_much(document):
    assert policies.too_much([document], OWNED) == []


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (allow("dynamodb:Scan", "arn:aws:dynamodb:us-east-1:1:table/a"), "may dynamodb:Scan: "),
        (allow(["ecr:BatchGetImage", "S3:Get*"], "arn:aws:s3:::a/*"), "may S3:Get*: "),
        (allow("*", "arn:aws:s3:::a/*"), "may *: "),
        (allow("s*:GetObject"), "may s*:GetObject: "),
        (policy(more={"Effect": "Allow", "NotAction": "iam:*", "Resource": SECRET_ARN}), "NotAction iam:* in an Allow"),
        (secrets_of("*"), "more than"),
        (secrets_of("llama-*"), "secret:llama-* are more than"),
        (secrets_of("llama-api-keyring-*"), "secret:llama-api-keyring-* are more than"),
        (secrets_of("payroll-*"), "secret:payroll-* are more than"),
        (secrets_of("hr-*", "secretsmanager:Get*"), "secret:hr-* are more than"),
        (secrets_of("hr-*", "secretsmanager:DeleteSecret"), "secret:hr-* are more than"),
        (policy(secret=MAY["secret"] | {"Resource": "*"}), f"may secretsmanager:GetSecretValue on {FOREIGN}"),
        (policy(secret=MAY["secret"] | {"Resource": SECRET_ARN.replace("us-east-1", "*")}), "are more than"),
        (policy(more={"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "NotResource": SECRET_ARN}), "NotResource"),
        (allow("secretsmanager:DeleteSecret", FOREIGN), f"may secretsmanager:DeleteSecret on {FOREIGN}"),
        (allow("secretsmanager:DeleteSecret", SECRET_ARN), f"may secretsmanager:DeleteSecret on {SECRET_ARN}"),
        (policy(secret=MAY["secret"] | {"Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}}), f"may secretsmanager:GetSecretValue on {FOREIGN}"),
        (allow(PULL), "may ecr:BatchGetImage on arn:aws:ecr:us-east-1:123456789012:repository/billing"),
    ],
)  # fmt: skip
def test_what_is_too_much(document, says):
    found = policies.too_much([document], OWNED)
    assert any(says in it for it in found), found


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (trust(), None),
        (trust(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}}), None),
        (trust(["ecs-tasks.amazonaws.com"]), None),
        (trust("ec2.amazonaws.com", Effect="Deny"), None),
        (trust(["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]), "ec2.amazonaws.com may assume the role (Service)"),
        (trust("*"), "everybody may assume the role"),
        (trust(Principal="*"), "everybody may assume the role"),
        (trust(Principal={"AWS": "*", "Service": "ecs-tasks.amazonaws.com"}), "everybody may assume the role"),
        (trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), f"whoever the account arn:aws:iam::{ACCOUNT}:root lets"),
        (trust(Principal={"AWS": [ACCOUNT]}), f"whoever the account {ACCOUNT} lets"),
        (trust(Principal={"Federated": "cognito-identity.amazonaws.com"}, Action="sts:AssumeRoleWithWebIdentity"), "(Federated)"),
        ({"Statement": {"Effect": "Allow", "NotPrincipal": {"AWS": ACCOUNT}, "Action": "sts:*"}}, "NotPrincipal"),
    ],
)  # fmt: skip
def test_who_is_trusted_beside_tasks(document, says):
    found = policies.trusted_too_widely(document)
    assert found == [] if says is None else says in found[0]


def test_what_is_needed_is_what_the_definition_names():
    logs = {"awslogs-group": "/mine", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    document = {
        "containerDefinitions": [
            {"name": "a", "image": IMAGE, "secrets": [{"name": "K", "valueFrom": f"{SECRET_ARN}:key::"}], "logConfiguration": {"logDriver": "awslogs", "options": logs}},
            {"name": "b", "image": IMAGE.replace(REPOSITORY, "team/relay"), "secrets": [{"name": "P", "valueFrom": "/llama/key"}], "logConfiguration": {"logDriver": "awslogs", "options": logs | {"awslogs-create-group": "true"}}},
            {"name": "c", "image": "nginx:1.27"},
        ]
    }  # fmt: skip
    needed = EcsAccount(key="").needed(document)
    resources = {}
    for action, resource in needed:
        resources.setdefault(action, []).append(resource)
    ecr = [f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}" for name in (REPOSITORY, "team/relay")]
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/mine"
    streams = [f"{group}:log-stream:p/{name}/0123456789abcdef0123456789abcdef" for name in "ab"]
    assert resources == {
        "ecr:GetAuthorizationToken": ["*"],
        **dict.fromkeys(PULL, ecr),
        "secretsmanager:GetSecretValue": [SECRET_ARN],
        "ssm:GetParameters": [f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/llama/key"],
        "logs:CreateLogGroup": [group],
        "logs:CreateLogStream": streams,
        "logs:PutLogEvents": streams,
    }
    assert EcsAccount(key="").needed({"containerDefinitions": [{"name": "c", "image": "nginx:1.27"}]}) == ()
    bound = {"StringEquals": {"aws:RequestedRegion": "us-east-1", "aws:PrincipalAccount": ACCOUNT}}
    with_condition = policy(secret=MAY["secret"] | {"Condition": bound})
    assert policies.decided([with_condition], "secretsmanager:GetSecretValue", SECRET_ARN, policies.CONTEXT) == "allowed"  # fmt: skip


def test_a_policy_that_iam_refuses_is_named(aws):
    bad = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs"}]}
    with pytest.raises(LabError, match="MalformedPolicyDocument") as caught:
        EcsAccount.furnish(aws, trust=trust(), policies={"execution-policy.json": bad})
    assert caught.value.where == "execution-policy.json"


@pytest.fixture
def furnish(aws):
    def made(**more):
        return EcsAccount.furnish(aws, **({"trust": trust(), "policies": {"execution": policy()}} | more))

    return made


class Daemon:
    """One in which every image is there, for one architecture."""

    def __init__(self, architecture):
        self.images, self.attrs = self, {"Architecture": architecture, "RepoDigests": ["a@sha256:b"]}

    def get(self, name):
        return self


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_labs_image_counts_as_pushed_for_both_architectures(aws, furnish, monkeypatch, architecture):
    furnish()
    monkeypatch.setattr(agent.images, "here", lambda name: True)
    monkeypatch.setattr(agent, "client", lambda: Daemon(architecture))
    role = agent.assume(aws, ROLE_ARN, "a")
    for asked in agent.ARCHITECTURES:
        agent.pull(aws, role, IMAGE, asked)
    other = {"amd64": "ARM64", "arm64": "X86_64"}[architecture]
    with pytest.raises(agent.TaskStopped, match="does not contain descriptor matching platform"):
        agent.pull(aws, role, f"{REGISTRY}:mine", other)


@pytest.mark.parametrize("arn", [ROLE_ARN.rpartition("/")[0] + "/", ROLE_ARN + "x", "nobody", ROLE_ARN.replace(ACCOUNT, "111122223333")])  # fmt: skip
def test_a_role_that_cannot_be_assumed_is_said_in_ecs_words(aws, furnish, arn):
    furnish()
    with pytest.raises(agent.TaskStopped, match="ECS was unable to assume the role"):
        agent.assume(aws, arn, "a")


def test_a_role_may_be_named_by_its_name(aws, furnish):
    furnish()
    assert agent.assume(aws, ROLE_ARN.rpartition("/")[2], "a").name == agent.assume(aws, ROLE_ARN, "a").name


def test_what_botocore_refuses_of_a_name_ends_the_task_with_words(aws, furnish):
    furnish(policies={"execution": allow(["ecr:*", "secretsmanager:*", "ssm:*", "logs:*"])})
    role = agent.assume(aws, ROLE_ARN, "a")
    long = {"awslogs-group": "a" * 513, "awslogs-region": "us-east-1"}
    for call, words in (
        (lambda: agent.secret(aws, role, f"{SECRET_ARN}:::v1"), "ValidationException: Parameter validation failed: Invalid length for parameter VersionId"),
        (lambda: agent.secret(aws, role, ""), "invalid parameters"),
        (lambda: agent.pull(aws, role, IMAGE.replace(REPOSITORY, "a"), "X86_64"), "not found"),
        (lambda: agent.log_stream(aws, role, long, "a"), "failed to create Cloudwatch log stream: "),
        (lambda: agent.log_stream(aws, role, long | {"awslogs-create-group": "true"}, "a"), "failed to satisfy constraint"),
    ):  # fmt: skip
        with pytest.raises(agent.TaskStopped) as caught:
            call()
        assert words in caught.value.reason


def until(what, within=60.0):
    deadline = time.monotonic() + within
    while not (found := what()):
        assert time.monotonic() < deadline, "in time"
        threading.Event().wait(0.05)
    return found


class SlowGroup:
    """A group whose first container takes until it is let; it notes what is done to it, in order."""

    def __init__(self, label, **more):
        self.claim, self.names, self.done = SimpleNamespace(name="claim", labels={}), (), []
        self.reached, self.let = threading.Event(), threading.Event()
        SLOW.append(self)

    def create(self, container):
        self.done.append("creating")
        self.reached.set()
        assert self.let.wait(30)
        self.done.append("created")

    def start(self, name):
        self.done.append("started")

    def state(self, name):
        return ContainerState("running", None, False, None, None)

    def follow(self, name):
        return iter(())

    def stop(self, name, grace):
        self.done.append(f"stopped within {grace} s")
        return 0.0, 137

    def close(self):
        self.done.append("closed")


SLOW: list[SlowGroup] = []


def test_a_task_that_still_makes_containers_is_closed_by_its_own_life(aws, furnish, monkeypatch):
    furnish()
    monkeypatch.setattr(ecs_task, "Group", SlowGroup)
    monkeypatch.setattr(ecs_task.agent, "pull", lambda *given: None)
    ran = task(aws, {"name": "a", "image": "nginx:1.27", "stopTimeout": 120}, executionRoleArn="")
    try:
        until(lambda: SLOW)
        group = SLOW[-1]
        assert group.reached.wait(30)
        closing = threading.Thread(target=ran.close)
        closing.start()
        until(ran._stop.is_set)
        closing.join(0.3)
        assert group.done == ["creating"]
    finally:
        SLOW.pop().let.set()
        ran.close()
    closing.join(30)
    assert group.done[-1] == "closed"
    assert group.done.index("created") < group.done.index("closed")
    assert group.done[-2:] == ["stopped within 0 s", "closed"]
    assert ran.status == "STOPPED"


# What runs.

needs = pytest.mark.needs("docker", "images", "kubernetes")


@pytest.fixture(scope="module")
def images():
    """Images of the account's repository: one with a shell, one without, one with a health check of its own that fails."""
    from llmlab.tiers.serverless.group import Group

    own = uuid.uuid4().hex[:8]
    names = {kind: f"{REGISTRY}:{kind}-{own}" for kind in ("shell", "bare", "sick")}
    with Group("images of a test"):
        pass  # brings the one without a shell
    with Claim("images of a test") as claim:
        made = "HEALTHCHECK --interval=1s --retries=1 CMD exit 1"
        for kind, lines in (("shell", "FROM debian:trixie-slim"), ("bare", "FROM llmlab/pause:1"), ("sick", f"FROM debian:trixie-slim\n{made}")):  # fmt: skip
            client().images.build(fileobj=io.BytesIO(f"{lines}\n".encode()), tag=names[kind], labels=claim.labels, rm=True)  # fmt: skip
        yield names
    assert held(claim.name) == []


LOGGED = {"logDriver": "awslogs", "options": {"awslogs-group": LOG_GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "llama"}}  # fmt: skip


def shell(name, line, images, **more):
    return {"name": name, "image": images["shell"], "entryPoint": ["/bin/bash", "-c"], "command": [line], **more}  # fmt: skip


def task(aws, *containers, **more):
    document = {"family": "llama-server", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512", "executionRoleArn": ROLE_ARN, "containerDefinitions": list(containers), **more}  # fmt: skip
    return FargateTask(TaskDefinition("task-definition.json", copy.deepcopy(document)), aws)


def gone(ran):
    assert [it for it in owned.entries() if it.kind == "docker"] == []
    if ran.group is not None:
        assert held(ran.group.claim.name) == []
    assert not [it for it in threading.enumerate() if ran.id[:8] in it.name]


SECRETS = [{"name": "API_KEY", "valueFrom": SECRET_ARN}]
INIT = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "


@needs
@pytest.mark.parametrize(
    ("account", "change", "reason"),
    [
        ({"trust": None}, {}, f"ECS was unable to assume the role '{ROLE_ARN}' that was provided for this task."),
        ({"trust": trust("ec2.amazonaws.com")}, {}, "ECS was unable to assume the role"),
        ({"policies": {"execution": policy(token=None)}}, {}, INIT + "unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/llama-execution/"),
        ({"policies": {"execution": policy(pull=None)}}, {}, "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref"),
        ({"policies": {"execution": policy(pull=MAY["pull"] | {"Action": PULL[:2]})}}, {}, "is not authorized to perform: ecr:GetDownloadUrlForLayer on resource: arn:aws:ecr:us-east-1:123456789012:repository/llama-server because no identity-based policy allows"),
        ({"policies": {"execution": policy(secret=None)}}, {}, INIT + f"unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {SECRET_ARN} from secrets manager: AccessDeniedException: User:"),
        ({"policies": {"execution": policy(no={"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"})}}, {}, "with an explicit deny in an identity-based policy"),
        ({}, {"secrets": [{"name": "A", "valueFrom": SECRET_ARN[:-6] + "AbCdEf"}]}, "is not authorized to perform: secretsmanager:GetSecretValue"),
        ({"policies": {"execution": policy(secret=MAY["secret"] | {"Resource": "*"})}}, {"secrets": [{"name": "A", "valueFrom": SECRET_ARN[:-6] + "AbCdEf"}]}, "ResourceNotFoundException: Secrets Manager can't find the specified secret."),
        ({}, {"secrets": [{"name": "A", "valueFrom": f"{SECRET_ARN}:key::"}]}, "unable to retrieve secret from asm: invalid character 's' looking for beginning of value"),
        ({"policies": {"execution": policy(logs=None)}}, {}, "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream:"),
        ({"log_group": None}, {}, "ResourceNotFoundException: The specified log group does not exist."),
        ({}, {"image": f"{REGISTRY}:v9"}, f"failed to resolve ref {REGISTRY}:v9: not found"),
        ({}, {"image": "llmlab/pause:1"}, "failed to resolve ref docker.io/llmlab/pause:1: pull access denied"),
        ({}, {"entryPoint": ["/no/such"]}, "CannotStartContainerError: "),
    ],
)  # fmt: skip
def test_what_does_not_start_says_why_in_ecs_words(aws, furnish, images, account, change, reason):
    furnish(**account)
    with task(
        aws, shell("llama", "sleep 60", images, secrets=SECRETS, logConfiguration=LOGGED) | change
    ) as ran:
        ran.wait("STOPPED", within=120)
    assert reason in ran.stopped_reason
    assert ran.stop_code == "TaskFailedToStart"
    with pytest.raises(LabError, match="it has stopped"):
        ran.wait("RUNNING", within=1)
    gone(ran)


@needs
def test_an_architecture_that_the_image_has_not(aws, furnish, images):
    furnish()
    other = "X86_64" if client().images.get(images["shell"]).attrs["Architecture"] == "arm64" else "ARM64"
    with task(aws, shell("llama", "sleep 60", images), runtimePlatform={"cpuArchitecture": other}) as ran:
        ran.wait("STOPPED", within=120)
    assert "does not contain descriptor matching platform 'linux/" in ran.stopped_reason


@needs
def test_a_definition_that_is_refused_is_not_run(aws, furnish, images):
    furnish()
    with pytest.raises(LabError, match="No Fargate configuration exists"):
        task(aws, shell("llama", "sleep 60", images), memory="777")
    with pytest.raises(LabError, match="Parameter validation failed"):
        task(aws, shell("llama", "sleep 60", images, memory="777"))
    assert aws.client("ecs").list_task_definitions()["taskDefinitionArns"] == []


SERVES = r"""exec perl -MIO::Socket -e '$s=IO::Socket::INET->new(Listen=>5,LocalPort=>8080,ReuseAddr=>1);$|=1;print "up\n";while($c=$s->accept){while(<$c>){last if /^\r?$/}print $c "HTTP/1.0 200 OK\r\n\r\n$ENV{API_KEY} $ENV{PART}";print "asked\n";close $c}'"""


@needs
def test_a_task_runs_with_its_secrets_and_its_lines_are_in_cloudwatch_while_it_does(aws, furnish, images):
    account = furnish(policies={"execution": policy(secret=MAY["secret"] | {"Resource": "*"})})
    other = aws.client("secretsmanager").create_secret(Name="db", SecretString=json.dumps({"user": "me"}))
    secrets = [*SECRETS, {"name": "PART", "valueFrom": f"{other['ARN']}:user::"}]
    server = shell("llama", SERVES, images, secrets=secrets, logConfiguration=LOGGED, portMappings=[{"containerPort": 8080}], readonlyRootFilesystem=True, user="65532", stopTimeout=2, dockerLabels={"org.llmlab.owner": "nobody"})  # fmt: skip
    beside = shell("beside", "echo $PORT $(exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.0\\n\\n' >&3; cat <&3 | tail -1); touch /here", images, essential=False, dependsOn=[{"containerName": "llama", "condition": "HEALTHY"}], mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}])  # fmt: skip
    server["healthCheck"] = {
        "command": ["CMD", "/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"],
        "interval": 5,
    }
    with task(aws, server, beside, volumes=[{"name": "scratch"}]) as ran:
        ran.wait("RUNNING", within=120)
        assert ran.health == "HEALTHY"
        began = [datetime.fromisoformat(ran.group.state(name).started[:19]) for name in ("llama", "beside")]
        assert (
            began[1] - began[0]
        ).total_seconds() >= 4  # it waited for a health that is first asked after 5 s
        until(lambda: "up" in ran.logged("llama"))
        with urllib.request.urlopen(f"http://{ran.address}:8080/", timeout=10) as reply:
            assert reply.read().decode() == f"{account.key} me"
        until(lambda: "asked" in ran.logged("llama"))
        until(lambda: ran.containers["beside"].status == "STOPPED")
        assert ran.status == "RUNNING"
        about = ran.group.inspect("llama")
        assert about["HostConfig"]["NanoCpus"] == 250_000_000
        assert about["HostConfig"]["Memory"] == 512 << 20
        assert about["HostConfig"]["ReadonlyRootfs"]
        assert about["Config"]["Labels"]["org.llmlab.owner"] == ran.group.claim.name
        assert about["Config"]["User"] == "65532"
        assert not [it for it in about["Config"]["Env"] if it.startswith("PORT=")]
        ran.stop()
        ran.wait("STOPPED", within=120)
    assert ran.health == "HEALTHY"  # as it was when it was last asked
    assert (ran.stopped_reason, ran.stop_code) == ("Task stopped by user", "UserInitiated")
    assert ran.output["beside"].decode() == f"{account.key} me\n"
    assert [state for state, _ in ran.history] == ["PROVISIONING", "PENDING", "RUNNING", "STOPPING", "STOPPED"]  # fmt: skip
    gone(ran)


@needs
def test_lines_that_the_role_may_not_write_are_lost_and_the_task_runs(aws, furnish, images):
    furnish(policies={"execution": policy(logs=MAY["logs"] | {"Action": "logs:CreateLogStream"})})
    with task(aws, shell("llama", "echo words", images, logConfiguration=LOGGED)) as ran:
        ran.wait("STOPPED", within=120)
    assert ran.stop_code == "EssentialContainerExited"
    assert ran.logged("llama") == []
    assert "logs:PutLogEvents" in ran.log_trouble["llama"]
    assert ran.output["llama"] == b"words\n"


@needs
def test_the_end_of_an_essential_container_is_the_end_of_all_in_the_reverse_order(aws, furnish, images):
    furnish()
    says = "trap '{}echo bye $EPOCHREALTIME; exit 0' TERM; echo up; while :; do read -t 0.1 <> <(:); done"
    last = shell("last", says.format(""), images, logConfiguration=LOGGED)
    first = shell("first", says.format("read -t 1 <> <(:); "), images, dependsOn=[{"containerName": "last", "condition": "START"}])  # fmt: skip
    ends = shell("ends", "exit 3", images, dependsOn=[{"containerName": "first", "condition": "START"}])
    with task(aws, first, last, ends) as ran:
        ran.wait("STOPPED", within=120)
        assert ran.stopped_reason == "Essential container in task exited"
        assert {name: it.exit_code for name, it in ran.containers.items()} == {"ends": 3, "first": 0, "last": 0}  # fmt: skip
        lines = ran.logged("last")
        assert (
            lines == ran.output["last"].decode().split("\n")[:2]
        )  # what is written at the end is there, too
        at_last, at_first = (
            float(it.partition("bye ")[2]) for it in (lines[1], ran.output["first"].decode())
        )
        assert at_first < at_last  # it was told to end when what needs it had ended
    gone(ran)


@needs
def test_a_deaf_container_is_killed_after_its_stop_timeout(aws, furnish, images):
    furnish()
    deaf = "trap '' TERM; echo up; while :; do read -t 0.5 <> <(:); done"
    with task(aws, shell("deaf", deaf, images, stopTimeout=2)) as ran:
        ran.wait("RUNNING", within=120)
        until(lambda: b"up" in ran.group.logs("deaf"))
        ran.stop()
        ran.wait("STOPPED", within=120)
    (view,) = ran.containers.values()
    assert view.exit_code == 137
    assert 2 <= view.stopped_in < 25


@needs
def test_conditions_of_an_order(aws, furnish, images):
    furnish()
    job = shell("job", "exit 0", images, essential=False)
    main = shell("main", "exit 0", images, dependsOn=[{"containerName": "job", "condition": "SUCCESS"}])
    with task(aws, main, job) as ran:
        ran.wait("STOPPED", within=120)
    assert ran.stop_code == "EssentialContainerExited"
    with task(aws, main, job | {"command": ["exit 4"]}) as ran:
        ran.wait("STOPPED", within=120)
    assert "depends on 'job' being SUCCESS; it exited with code 4" in ran.stopped_reason
    assert ran.containers["main"].status == "PENDING"
    slow = job | {"command": ["exec sleep 60"], "startTimeout": 2, "stopTimeout": 2}
    with task(aws, main, slow) as ran:
        ran.wait("STOPPED", within=120)
    assert "within its startTimeout of 2 s" in ran.stopped_reason


@needs
def test_a_limit_of_memory_ends_a_container_and_says_so(aws, furnish, images):
    furnish()
    eats = "exec perl -e '$x=\"a\" x (128<<20); sleep 60'"
    with task(aws, shell("eats", eats, images, memory=32)) as ran:
        ran.wait("STOPPED", within=120)
    (view,) = ran.containers.values()
    assert (view.exit_code, view.reason) == (137, "OutOfMemoryError: Container killed due to memory usage")


@needs
def test_only_the_definitions_health_check_counts_and_it_needs_its_shell(aws, furnish, images):
    furnish()
    check = {"command": ["CMD-SHELL", "exit 0"], "interval": 5, "retries": 1}
    bare = {"name": "bare", "image": images["bare"], "healthCheck": check}
    sick = {"name": "sick", "image": images["sick"], "command": ["sleep", "600"], "essential": False}
    with task(aws, bare, sick) as ran:
        ran.wait("RUNNING", within=120)
        assert ran.health in ("UNKNOWN", "UNHEALTHY")
        until(lambda: ran.containers["bare"].health == "UNHEALTHY", within=120)
        assert ran.health == "UNHEALTHY"
        assert "/bin/sh" in ran.containers["bare"].health_said
        assert ran.containers["sick"].health is None
        assert ran.group.inspect("sick")["State"].get("Health", {}).get("Status", "none") == "none"
        assert ran.status == "RUNNING"  # nobody replaces a task that was run by hand
    gone(ran)
