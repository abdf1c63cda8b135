"""What Fargate's agent does on a task's behalf before its containers start, with the execution role: registry, secrets, images, logs.

Each refusal ends the task with the words that ECS puts into `stoppedReason`; sources: stopped tasks of others in public issues and pages
(`seen` in `rules`), the ECS agent's own code. A repeated call is made once here, and the words say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...aws.endpoint import REGION, AwsEndpoint
from ...docker import images
from ...docker.daemon import client, speaking
from ...kubernetes.programs.images import ELSEWHERE
from . import policies
from .account import ACCOUNT, PULLS, secret_of
from .task_rules import ECR

#: The architectures of a definition, by the names that images have for them.
ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
_PULL = "CannotPullContainerError: pull image manifest has been retried 1 time(s)"
_INIT = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed"
_LOGS = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, "
    "https response error StatusCode: 400, "
)


class TaskStopped(Exception):
    """The task ends: why, in ECS's words, and its stop code."""

    def __init__(self, reason: str, code: str = "TaskFailedToStart") -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


@dataclass(frozen=True, slots=True)
class TaskRole:
    """A role that ECS has assumed: its name, its policies, and who it is then."""

    name: str
    documents: tuple[dict[str, Any], ...]
    session: str
    context: Mapping[str, str]

    def refused(self, action: str, resource: str) -> str | None:
        """None when it may; else the words of the AccessDeniedException."""
        decision = policies.decided(self.documents, action, resource, self.context)
        if decision == "allowed":
            return None
        why = (
            "with an explicit deny in an identity-based policy"
            if decision == "denied"
            else f"because no identity-based policy allows the {action} action"
        )
        user = f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.name}/{self.session}"
        return f"User: {user} is not authorized to perform: {action} on resource: {resource} {why}"


def assume(endpoint: AwsEndpoint, arn: str, session: str) -> TaskRole:
    """Assume a role for a task.

    :param arn: its ARN, or its name.
    :raises TaskStopped: when there is no such role, or it does not trust ECS tasks.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    iam, name = endpoint.client("iam"), arn.rpartition("/")[2]
    context = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{session}",
    }
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except (ClientError, ParamValidationError):
        role = None
    named = role is not None and arn in (role["Arn"], role["RoleName"])
    if not named or not policies.assumable(_plain(role["AssumeRolePolicyDocument"]), context=context):
        raise TaskStopped(
            f"ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the role being passed has"
            " the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
        )
    documents = [
        _plain(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        got = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        documents.append(_plain(got["PolicyVersion"]["Document"]))
    return TaskRole(name, tuple(documents), session, policies.CONTEXT)


def registry(role: TaskRole, image: str) -> None:
    """Log in to the registry of a private image.

    :raises TaskStopped: when the role may not.
    """
    if ECR.match(image) and (why := role.refused("ecr:GetAuthorizationToken", "*")):
        raise TaskStopped(
            f"{_INIT}: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: {why}"
        )


def secret(endpoint: AwsEndpoint, role: TaskRole, value_from: str) -> str:
    """What `valueFrom` names: of Secrets Manager by its ARN, or one key of its JSON; of Systems Manager by its name or ARN.

    :raises TaskStopped: when the role may not read it, it is not there, or has no such key.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    asm = f"{_INIT}: unable to retrieve secret from asm"
    if ":secretsmanager:" not in value_from:
        return _parameter(endpoint, role, value_from)
    parts = value_from.split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), [*parts[7:10], "", "", ""][:3]
    failed = (
        f"{asm}: service call has been retried 1 time(s): failed to fetch secret {arn} from secrets manager"
    )
    asked = {"VersionStage": stage} if stage else {}
    try:
        found = endpoint.client("secretsmanager").get_secret_value(
            SecretId=arn, **asked, **({"VersionId": version} if version else {})
        )
    except (ClientError, ParamValidationError) as error:
        found, why = None, _why(error)
    # a role that may not is not told whether the secret is there
    if refused := role.refused("secretsmanager:GetSecretValue", found["ARN"] if found else arn):
        raise TaskStopped(f"{failed}: AccessDeniedException: {refused}")
    if found is None:
        raise TaskStopped(f"{failed}: {why}")
    text = str(found.get("SecretString", ""))
    return _key(text, key, asm) if key else text


def _why(error: Exception) -> str:
    """A refusal of the API as the agent passes it on; what botocore refuses before it asks is the API's ValidationException."""
    said = getattr(error, "response", {}).get("Error")
    return (
        f"{said['Code']}: {said['Message']}"
        if said
        else f"ValidationException: {' '.join(str(error).split())}"
    )


def _key(text: str, key: str, asm: str) -> str:
    """One key of a secret that is a JSON object."""
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        first = (text.strip() or " ")[0]
        raise TaskStopped(f"{asm}: invalid character '{first}' looking for beginning of value")
    if key not in members:
        raise TaskStopped(f"{asm}: retrieved secret from Secrets Manager did not contain json key {key}")
    value = members[key]
    return value if isinstance(value, str) else json.dumps(value)


def _parameter(endpoint: AwsEndpoint, role: TaskRole, value_from: str) -> str:
    from botocore.exceptions import ClientError, ParamValidationError

    _, arn = secret_of(value_from)
    name = arn.partition(":parameter/")[2]
    failed = f"{_INIT}: unable to retrieve secrets from ssm: service call has been retried 1 time(s)"
    if refused := role.refused("ssm:GetParameters", arn):
        raise TaskStopped(f"{failed}: AccessDeniedException: {refused}")
    for candidate in (f"/{name}", name):
        try:
            got = endpoint.client("ssm").get_parameter(Name=candidate, WithDecryption=True)
            return str(got["Parameter"]["Value"])
        except (ClientError, ParamValidationError):
            continue
    raise TaskStopped(f"{failed}: invalid parameters: {value_from}")


def pull(endpoint: AwsEndpoint, role: TaskRole | None, image: str, architecture: str) -> None:
    """See that an image can be had: it is in the daemon, the role may pull it, and it is for that architecture.

    The lab's own image is made for the machine that it is on, and counts as pushed for both architectures.

    :param architecture: as a task definition names it.
    :raises TaskStopped: when not.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    private = ECR.match(image)
    if private and role is not None:
        arn = f"arn:aws:ecr:{private['region']}:{private['account']}:repository/{private['repository']}"
        for action in PULLS:
            if refused := role.refused(action, arn):
                raise TaskStopped(
                    f"{_PULL}: failed to resolve ref {image}: pull access denied, repository does not exist or may require "
                    f"authorization: authorization failed: denied: {refused}"
                )
        try:
            endpoint.client("ecr").describe_repositories(repositoryNames=[private["repository"]])
            there = private["account"] == ACCOUNT and private["region"] == REGION
        except (ClientError, ParamValidationError):
            there = False
        if not there or not images.here(_tagged(image)):
            raise TaskStopped(f"{_PULL}: failed to resolve ref {_tagged(image)}: not found")
    elif not images.here(_tagged(image)) or not _published(image):
        raise TaskStopped(
            f"{_PULL}: failed to resolve ref {_full(image)}: pull access denied, repository does not exist or may require "
            "authorization: server message: insufficient_scope: authorization failed"
        )
    if _tagged(image) in ELSEWHERE:
        return
    with speaking():
        about = client().images.get(_tagged(image)).attrs
    wanted = ARCHITECTURES.get(architecture, architecture)
    if about["Architecture"] != wanted:
        raise TaskStopped(f"{_PULL}: image Manifest does not contain descriptor matching platform 'linux/{wanted}'")  # fmt: skip


def log_stream(endpoint: AwsEndpoint, role: TaskRole, options: Mapping[str, str], stream: str) -> str | None:
    """Make a container's log stream; gives why nothing can be written into it (None: it can be).

    :raises TaskStopped: when the role may not make one, or the group is not there.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    group, region = options["awslogs-group"], options["awslogs-region"]
    arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"
    logs = endpoint.client("logs")
    if options.get("awslogs-create-group", "").lower() == "true":
        if refused := role.refused("logs:CreateLogGroup", arn):
            raise TaskStopped(
                f"ResourceInitializationError: failed to validate logger args: AccessDeniedException: {refused}"
            )
        try:
            logs.create_log_group(logGroupName=group)
        except (ClientError, ParamValidationError) as error:
            if "ResourceAlreadyExistsException" not in (why := _why(error)):
                raise TaskStopped(
                    f"ResourceInitializationError: failed to validate logger args: {why}"
                ) from None
    if refused := role.refused("logs:CreateLogStream", f"{arn}:log-stream:{stream}"):
        raise TaskStopped(f"{_LOGS}api error AccessDeniedException: {refused} : exit status 1")
    try:
        if region != REGION:
            raise TaskStopped(f"{_LOGS}ResourceNotFoundException: The specified log group does not exist. : exit status 1")  # fmt: skip
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    except (ClientError, ParamValidationError) as error:
        raise TaskStopped(f"{_LOGS}{_why(error)} : exit status 1") from None
    return role.refused("logs:PutLogEvents", f"{arn}:log-stream:{stream}")


def _tagged(image: str) -> str:
    """With the tag that is meant where there is none."""
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def _full(image: str) -> str:
    """With the registry that is meant where there is none."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first):
        return _tagged(image)
    return _tagged(f"docker.io/{image if slash else f'library/{image}'}")


def _published(image: str) -> bool:
    """Whether others can pull what the daemon has: it was pulled, or the course knows that it can be."""
    with speaking():
        about = client().images.get(_tagged(image)).attrs
    if about.get("RepoDigests"):
        return True
    return any(it.pull and it.name == _tagged(image) for it in images.CATALOGUE)


def _plain(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    return found
