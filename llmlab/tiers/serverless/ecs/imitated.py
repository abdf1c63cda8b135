"""What stands in for Fargate, and what of a real task is not there."""

from __future__ import annotations

#: As a verdict says it.
STANDS_IN = (
    "Docker containers that share one network, run on Fargate's terms, in an account of moto's:"
    " no packet reaches AWS, nothing is billed"
)
#: One sentence each.
NOT_IMITATED = (
    "There is no network interface of the task's own: no subnet, no security group and no public address decide what reaches it.",
    "The task's cores and memory bound each container that says less, not all of them together; a machine gives no more cores than it has.",
    "The writable layer is not bounded: ephemeralStorage is checked and not enforced.",
    "Nothing is pulled: an image that is in the local daemon counts as pushed, and a start takes none of Fargate's minutes.",
    "The lab's own image counts as pushed for X86_64 and for ARM64: it is made for the machine that it is on, whatever runtimePlatform"
    " says.",
    "A container finds no credentials of the task role, no metadata endpoint and no ECS variables.",
    "Nobody asks whether the caller may pass the roles (iam:PassRole); resource policies and permission boundaries are not evaluated.",
    "There is no cluster and no service: describe-tasks knows nothing of it, an unhealthy task is not replaced, no load balancer asks it.",
    "Of a container, these are taken and not done: restartPolicy, volumesFrom, systemControls, environmentFiles, versionConsistency,"
    " FireLens, splunk, and the options of awslogs beyond group, region, prefix and create-group.",
    "Of a task, these are taken and not done: pidMode, proxyConfiguration, fault injection, and what lies on EFS (the volume is empty).",
    "Windows containers cannot be run here.",
)
