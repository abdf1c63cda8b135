"""The account in which a task runs: what others put there before it comes, and what of it a task needs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import LabError
from ....system.local_client import local_client
from ...aws.endpoint import REGION, AwsEndpoint
from .task_rules import ECR

ACCOUNT = "123456789012"
ROLE, REPOSITORY, LOG_GROUP = "llama-execution", "llama-server", "/ecs/llama-server"
SECRET, FOREIGN_SECRET = "llama-api-key", "billing-database"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:v1.0.0"
_SEED = 11  # of the stand-in's random numbers: the six characters of the secret's ARN come from it
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRET}-CJXDCG"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
#: What pulls an image. Source: ECS guide, task_execution_IAM_role.
PULLS = ("ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True, slots=True)
class EcsAccount:
    """What is in it, by the names that a task definition uses, and what only the lab knows: the key."""

    key: str  # what the secret holds
    secret: str = SECRET_ARN  # its ARN
    role: str = ROLE_ARN  # the execution role's ARN
    image: str = IMAGE  # in the account's registry
    log_group: str = LOG_GROUP  # its name
    foreign: str = ""  # ARN of a secret of another team's

    @classmethod
    def furnish(
        cls,
        endpoint: AwsEndpoint,
        *,
        trust: Mapping[str, Any] | None,
        policies: Mapping[str, Mapping[str, Any]],
        log_group: str | None = LOG_GROUP,
    ) -> EcsAccount:
        """Fill an empty account.

        :param trust: who may assume the execution role; None: there is no such role.
        :param policies: what it may do, by the names of its inline policies.
        :param log_group: None: nobody made one.
        :raises LabError: when IAM refuses a document, with its words; the name of the policy is where.
        """
        endpoint.check()
        key = "sk-" + secrets.token_urlsafe(18)
        arn = _secret(endpoint, SECRET, key, seed=_SEED)
        if arn != SECRET_ARN:  # another moto draws other characters
            raise LabError(f"The secret is {arn} here, and the lab's files say {SECRET_ARN}.")
        foreign = _secret(endpoint, FOREIGN_SECRET, "not yours", seed=secrets.randbits(32))
        endpoint.client("ecr").create_repository(repositoryName=REPOSITORY)
        if log_group:
            endpoint.client("logs").create_log_group(logGroupName=log_group)
        if trust is not None:
            _role(endpoint, trust, policies)
        return cls(key, log_group=log_group or LOG_GROUP, foreign=foreign)

    def needed(self, document: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Actions and resources without which ECS cannot pull a definition's images, read its secrets and write its logs.

        Of what it names, each once: a log stream is `prefix/container/task`, a pull is three actions on the repository. None, where it
        names nothing of an account's.

        :param document: a task definition that was registered.
        """
        return tuple(dict.fromkeys(_needed(document)))

    def beyond(self) -> Sequence[tuple[str, str]]:
        """Actions and resources that this task's execution role does not need: for `policies.excess`.

        `ecr:GetAuthorizationToken` knows no resource but `*`, and is not among them.
        """
        mine = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{self.log_group}"
        others = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/billing"
        other = f"{others}:log-stream:a/b/c"
        foreign = (self.foreign, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:payroll-Pq7rSt")
        repository, billing = (
            f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}" for name in (REPOSITORY, "billing")
        )
        return (
            *(
                (f"secretsmanager:{action}", arn)
                for action in ("GetSecretValue", "PutSecretValue", "UpdateSecret", "DeleteSecret")
                for arn in foreign
                if arn
            ),
            ("secretsmanager:PutSecretValue", self.secret),
            ("secretsmanager:DeleteSecret", self.secret),
            ("secretsmanager:ListSecrets", "*"),
            ("logs:CreateLogStream", other),
            ("logs:PutLogEvents", other),
            ("logs:GetLogEvents", f"{mine}:log-stream:a/b/c"),
            ("logs:DeleteLogGroup", mine),
            ("logs:DeleteLogGroup", f"{mine}:log-stream:"),
            ("logs:DeleteLogGroup", others),
            ("logs:GetLogEvents", other),
            ("ecr:BatchGetImage", billing),
            ("ecr:GetDownloadUrlForLayer", billing),
            ("ecr:PutImage", repository),
            ("ecr:BatchDeleteImage", repository),
            ("ecr:DeleteRepository", repository),
            ("ecr:PutImage", billing),
            ("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/billing"),
            ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/billing"),
            ("ssm:SendCommand", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0"),
            ("kms:ScheduleKeyDeletion", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{_NO_KEY}"),
            ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{_NO_KEY}"),
            ("s3:GetObject", "arn:aws:s3:::llmlab-models-of-another-team/20m.gguf"),
            ("iam:PassRole", self.role),
            ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/mallory"),
            ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/administrator"),
            ("ecs:RunTask", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{REPOSITORY}:1"),
            ("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0"),
        )


def _needed(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for container in document.get("containerDefinitions") or ():
        if image := ECR.match(container.get("image") or ""):
            yield "ecr:GetAuthorizationToken", "*"
            if image["account"] == ACCOUNT:
                arn = f"arn:aws:ecr:{image['region']}:{ACCOUNT}:repository/{image['repository']}"
                yield from ((action, arn) for action in PULLS)
        logs = container.get("logConfiguration") or {}
        for wanted in (*(container.get("secrets") or ()), *(logs.get("secretOptions") or ())):
            yield secret_of(wanted["valueFrom"])
        if logs.get("logDriver") == "awslogs":
            options = logs.get("options") or {}
            group = f"arn:aws:logs:{options['awslogs-region']}:{ACCOUNT}:log-group:{options['awslogs-group']}"
            if options.get("awslogs-create-group", "").lower() == "true":
                yield "logs:CreateLogGroup", group
            stream = f"{group}:log-stream:{options['awslogs-stream-prefix']}/{container['name']}/{_TASK}"
            yield "logs:CreateLogStream", stream
            yield "logs:PutLogEvents", stream


def secret_of(value_from: str) -> tuple[str, str]:
    """The action that reads what `valueFrom` names, and its resource: a secret's ARN, or that of a parameter of Systems Manager."""
    if ":secretsmanager:" in value_from:
        return "secretsmanager:GetSecretValue", ":".join(value_from.split(":")[:7])
    name = value_from.partition(":parameter/")[2] or value_from.lstrip("/")
    return "ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}"


_TASK = "0123456789abcdef0123456789abcdef"  # any task's id
_NO_KEY = "11111111-2222-3333-4444-555555555555"


def _secret(endpoint: AwsEndpoint, name: str, value: str, *, seed: int) -> str:
    with local_client() as client:
        client.post(f"{endpoint.url}/moto-api/seed", params={"a": seed}).raise_for_status()
    made = endpoint.client("secretsmanager").create_secret(Name=name, SecretString=value)
    return str(made["ARN"])


def _role(endpoint: AwsEndpoint, trust: Mapping[str, Any], policies: Mapping[str, Mapping[str, Any]]) -> None:
    from botocore.exceptions import ClientError

    iam, at = endpoint.client("iam"), "its trust policy"
    try:
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
        for at, document in policies.items():
            iam.put_role_policy(RoleName=ROLE, PolicyName=at, PolicyDocument=json.dumps(document))
    except ClientError as error:
        raise LabError(f"IAM refuses a policy of the role {ROLE}: {error}", where=at) from None
