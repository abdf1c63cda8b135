"""RegisterTaskDefinition: what the command line refuses, what Fargate refuses, and then the account's own API."""

from __future__ import annotations

from ....errors import LabError
from ...aws.endpoint import AwsEndpoint
from . import rules
from .definition import TaskDefinition


def register(definition: TaskDefinition, endpoint: AwsEndpoint) -> str:
    """Register a task definition for Fargate; its ARN.

    :raises LabError: with every line that the command line or Fargate would refuse; when the account is gone, that.
    """
    from botocore.exceptions import ClientError

    if problems := definition.problems():
        raise LabError(
            "Parameter validation failed:\n" + "\n".join(map(str, problems)), where=definition.file
        )
    if refused := rules.refusals(definition.document):
        lines = "\n".join(refusal.said(definition) for refusal in refused)
        raise LabError(
            f"An error occurred (ClientException) when calling the RegisterTaskDefinition operation:\n{lines}",
            where=definition.where(refused[0].place),
        )
    endpoint.check()
    try:
        made = endpoint.client("ecs").register_task_definition(**definition.document)
    except ClientError as error:
        raise LabError(str(error), where=definition.file) from None
    return str(made["taskDefinition"]["taskDefinitionArn"])
