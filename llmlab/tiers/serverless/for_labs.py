"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from ..aws.endpoint import AwsEndpoint
from . import cloud_run
from .aci.admission import NOT_IMITATED as ACI_NOT_IMITATED
from .aci.admission import STANDS_IN as ACI_STANDS_IN
from .aci.az import with_az
from .aci.group import ContainerGroup
from .aci.images import reference
from .aci.remarks import remarks
from .aci.script import Creation, Script
from .aci.script import read as read_script
from .ecs import policies
from .ecs.account import EcsAccount
from .ecs.definition import TaskDefinition
from .ecs.definition import read as read_task
from .ecs.imitated import NOT_IMITATED as ECS_NOT_IMITATED
from .ecs.imitated import STANDS_IN as ECS_STANDS_IN
from .ecs.ports import ports
from .ecs.task import FargateTask
from .given import ACI_IMAGE, ECS_IMAGE, RUN_IMAGE, acr, in_docker, key_secret, variables
from .starts import first_of

__all__ = [
    "ACI_IMAGE",
    "ACI_NOT_IMITATED",
    "ACI_STANDS_IN",
    "ECS_IMAGE",
    "ECS_NOT_IMITATED",
    "ECS_STANDS_IN",
    "RUN_IMAGE",
    "AwsEndpoint",
    "ContainerGroup",
    "Creation",
    "EcsAccount",
    "FargateTask",
    "Script",
    "TaskDefinition",
    "acr",
    "cloud_run",
    "first_of",
    "in_docker",
    "key_secret",
    "policies",
    "ports",
    "read_script",
    "read_task",
    "reference",
    "remarks",
    "variables",
    "with_az",
]
