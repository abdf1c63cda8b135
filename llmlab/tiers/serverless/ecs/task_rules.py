"""What Fargate refuses of a task as a whole: its size, its network, its role, and what Fargate has not. Words and sources: see `rules`."""

from __future__ import annotations

import re
from typing import Any

from . import sizes
from .definition import Place
from .rule import Found, containers, given, rule

#: An image of a private ECR: account, region and repository.
ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)/(?P<repository>[^:@]+)"
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
FULL_SECRET = re.compile(
    r"arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:[^:]+-[A-Za-z0-9]{6}(?::[^:]*:[^:]*:[^:]*)?"
)


@rule("network-mode", "seen")
def _network_mode(document: dict[str, Any]) -> Found:
    if document.get("networkMode") != "awsvpc":
        yield "Fargate only supports network mode ‘awsvpc’.", ("networkMode",)


@rule("cpu-and-memory", "doc task-cpu-memory-error; seen; the table: probed in August 2026")
def _sizes(document: dict[str, Any]) -> Found:
    cpu, memory = (sizes.units(document.get(key), key) for key in ("cpu", "memory"))
    for key, number in (("cpu", cpu), ("memory", memory)):
        if not given(document.get(key)):
            yield f"Fargate requires that '{key}' be defined at the task level.", (key,)
        elif number is None:
            yield f"Invalid '{key}' setting for task.", (key,)
    if cpu is not None and memory is not None:
        windows = str((document.get("runtimePlatform") or {}).get("operatingSystemFamily")).startswith("WIN")
        if not sizes.sold(cpu, memory, windows=windows):
            yield (
                f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
                "See the Amazon ECS documentation for the valid values.",
                ("cpu",),
            )


@rule("containers-within-task", "doc ContainerDefinition; seen for cpu and for one container's memory")
def _within(document: dict[str, Any]) -> Found:
    cpu, memory = (sizes.units(document.get(key), key) for key in ("cpu", "memory"))
    parts = list(containers(document))
    if cpu and sum(it.get("cpu") or 0 for it, _ in parts) > cpu:
        yield (
            "The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' value",
            ("containerDefinitions",),
        )
    too_much = [
        (it.get("name"), (*place, "memory"))
        for it, place in parts
        if memory and (it.get("memory") or 0) > memory
    ]
    for name, place in too_much:
        yield f"The 'memory' setting for container '{name}' is greater than for the task", place
    reserved = sum(it.get("memoryReservation") or it.get("memory") or 0 for it, _ in parts)
    if memory and not too_much and reserved > memory:  # these words are ours
        yield (
            f"The containers reserve {reserved} MiB of memory together, the task has {memory}",
            ("containerDefinitions",),
        )
    for it, place in parts:
        if it.get("memory") and it.get("memoryReservation") and it["memory"] < it["memoryReservation"]:
            words = "'memory' must be greater than or equal to 'memoryReservation'"
            yield f"Invalid setting for container '{it.get('name')}'. {words}.", (*place, "memory")


#: Parameters of a container that Fargate, or the network mode awsvpc, has not, and what the service says.
_NOT_IN_CONTAINERS = {
    "disableNetworking": "Disable Networking is not supported on container when networkMode=awsvpc",
    "dnsSearchDomains": "DNS search domains are not supported on container when networkMode=awsvpc",
    "dnsServers": "DNS servers are not supported on container when networkMode=awsvpc",
    "dockerSecurityOptions": "Fargate compatible task definitions do not support dockerSecurityOptions",
    "extraHosts": "Extra hosts are not supported on container when networkMode=awsvpc",
    "hostname": "hostname is not supported on container when networkMode=awsvpc",
    "links": "Links are not supported when networkMode=awsvpc.",
    "privileged": "Fargate requires that the 'privileged' setting be 'false'",
}
#: `tmpfs` is not among them: Fargate has it since January 2026, and botocore's text names no exception.
_NOT_IN_LINUX = ("devices", "sharedMemorySize", "maxSwap", "swappiness")


@rule("not-on-fargate", "doc fargate-tasks-services; seen")
def _forbidden(document: dict[str, Any]) -> Found:
    if given(document.get("ipcMode")):
        yield "Tasks using the Fargate launch type do not support ipcMode.", ("ipcMode",)
    if document.get("pidMode") not in (None, "task"):
        mode = document["pidMode"]
        yield f"Tasks using the Fargate launch type do not support pidMode '{mode}'", ("pidMode",)
    if given(document.get("placementConstraints")):
        words = "Fargate compatible task definitions do not support constraints"
        yield words, ("placementConstraints",)
    if given(document.get("inferenceAccelerators")):
        yield "Unsupported field 'inferenceAccelerators'", ("inferenceAccelerators",)
    for container, place in containers(document):
        for key, words in _NOT_IN_CONTAINERS.items():
            if given(container.get(key)):
                yield words, (*place, key)
        linux = container.get("linuxParameters") or {}
        for key in _NOT_IN_LINUX:
            if given(linux.get(key)):
                words = f"Fargate compatible task definitions do not support {key}"
                yield words, (*place, "linuxParameters", key)
        for number, name in enumerate((linux.get("capabilities") or {}).get("add") or ()):
            if name != "SYS_PTRACE":
                yield f"{name} is not allowed on Fargate.", (*place, "linuxParameters", "capabilities", "add", number)  # fmt: skip
        for number, wanted in enumerate(container.get("resourceRequirements") or ()):
            if wanted["type"] == "GPU":
                words = "Tasks using the Fargate launch type do not support GPU resource requirements"
                yield words, (*place, "resourceRequirements", number)


#: What a parameter may say. Sources: doc API_RuntimePlatform, API_RegisterTaskDefinition.
_ARCHITECTURES = ("X86_64", "ARM64")
_COMPATIBILITIES = ("EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES")


@rule("secret-names", "seen")
def _secret_names(document: dict[str, Any]) -> Found:
    for container, place in containers(document):
        taken = {it.get("name") for it in container.get("environment") or ()}
        for number, secret in enumerate(container.get("secrets") or ()):
            if secret["name"] in taken:
                words = (
                    "The secret name must be unique and not shared with any new or existing environment variables"
                    f" set on the container, such as '{secret['name']}'."
                )
                yield words, (*place, "secrets", number, "name")
            taken.add(secret["name"])


@rule("values", "doc API_RuntimePlatform, API_RegisterTaskDefinition", ours=True)
def _values(document: dict[str, Any]) -> Found:
    platform = document.get("runtimePlatform") or {}
    architecture, system = platform.get("cpuArchitecture"), platform.get("operatingSystemFamily")
    if architecture not in (None, *_ARCHITECTURES):
        words = f"cpuArchitecture is one of {', '.join(_ARCHITECTURES)}, not '{architecture}'"
        yield words, ("runtimePlatform", "cpuArchitecture")
    if system not in (None, "LINUX") and not str(system).startswith("WINDOWS_SERVER_"):
        words = f"operatingSystemFamily is LINUX or one of WINDOWS_SERVER_…, not '{system}'"
        yield words, ("runtimePlatform", "operatingSystemFamily")
    for number, name in enumerate(document.get("requiresCompatibilities") or ()):
        if name not in _COMPATIBILITIES:
            yield f"Invalid compatibility: {name}", ("requiresCompatibilities", number)


@rule("volumes", "doc fargate-tasks-services; seen")
def _volumes(document: dict[str, Any]) -> Found:
    known = set()
    for number, volume in enumerate(document.get("volumes") or ()):
        known.add(volume.get("name"))
        place: Place = ("volumes", number)
        if not _NAME.fullmatch(volume.get("name") or ""):
            yield f"Invalid volume name '{volume.get('name')}'.", (*place, "name")
        if given((volume.get("host") or {}).get("sourcePath")):
            words = "Fargate compatible task definitions do not support sourcePath"
            yield words, (*place, "host", "sourcePath")
        if volume.get("dockerVolumeConfiguration") is not None:
            words = "Fargate compatible task definitions do not support dockerVolumeConfiguration"
            yield words, (*place, "dockerVolumeConfiguration")
    for container, place in containers(document):
        for number, mount in enumerate(container.get("mountPoints") or ()):
            if mount.get("sourceVolume") not in known:
                words = f"Unknown volume '{mount.get('sourceVolume')}'."
                yield words, (*place, "mountPoints", number)


@rule("mount-points", "doc API_MountPoint", ours=True)
def _mounts(document: dict[str, Any]) -> Found:
    for container, place in containers(document):
        for number, mount in enumerate(container.get("mountPoints") or ()):
            if not mount.get("containerPath"):
                words = f"A mount point of container '{container.get('name')}' has no containerPath"
                yield words, (*place, "mountPoints", number)


@rule("ephemeral-storage", "seen: probed in August 2026; 20 GiB come without it")
def _storage(document: dict[str, Any]) -> Found:
    size = (document.get("ephemeralStorage") or {}).get("sizeInGiB")
    if size is not None and not 21 <= size <= 200:
        bound = "least 21" if size < 21 else "most 200"
        yield f"EphemeralStorage size should be at {bound}", ("ephemeralStorage", "sizeInGiB")


@rule("execution-role", "seen; doc task_execution_IAM_role")
def _role(document: dict[str, Any]) -> Found:
    """What is done on the task's behalf before it runs needs a role to do it with."""
    if given(document.get("executionRoleArn")):
        return
    for container, place in containers(document):
        logs = container.get("logConfiguration") or {}
        support = "Fargate requires task definition to have execution role ARN to support"
        if ECR.match(container.get("image") or ""):
            yield f"{support} ECR images.", (*place, "image")
        if logs.get("logDriver") == "awslogs":
            yield f"{support} log driver awslogs.", (*place, "logConfiguration")
        if given(container.get("secrets")) or given(logs.get("secretOptions")):
            words = (
                "When you are specifying container secrets, you must also specify a value for"
                " 'executionRoleArn'."
            )
            yield words, (*place, "secrets")


@rule("secret-arn", "doc API_Secret: the full ARN; the ECS agent's words for one it cannot read", ours=True)
def _secrets(document: dict[str, Any]) -> Found:
    """A Secrets Manager ARN without its six characters names no one secret; anything else is a parameter of Systems Manager."""
    for container, place in containers(document):
        for number, secret in enumerate(container.get("secrets") or ()):
            wanted = secret["valueFrom"]
            if ":secretsmanager:" in wanted and not FULL_SECRET.fullmatch(wanted):
                words = (
                    f"'{wanted}' is not the full ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-6RANDOM,"
                    " or that with :json-key:version-stage:version-id"
                )
                yield words, (*place, "secrets", number, "valueFrom")
