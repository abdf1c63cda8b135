"""What Fargate refuses, one row a rule: the words it must say, and a legal neighbour that must pass. And the definitions of strangers."""

from __future__ import annotations

import copy
import json

import pytest

from llmlab.errors import LabError
from llmlab.tiers.serverless.ecs import definition, registration, rules
from llmlab.tiers.serverless.ecs.ports import ports

ROLE = "arn:aws:iam::123456789012:role/llama-execution"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama-server:v1.0.0"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:llama-api-key-AbCdEf"
LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/llama-server", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "llama"}}  # fmt: skip
TASK = {
    "family": "llama-server",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "1024",
    "memory": "4096",
    "executionRoleArn": ROLE,
    "containerDefinitions": [
        {"name": "llama-server", "image": ECR, "portMappings": [{"containerPort": 8080}], "secrets": [{"name": "KEY", "valueFrom": SECRET}], "logConfiguration": LOGS},
        {"name": "relay", "image": ECR, "essential": False, "portMappings": [{"containerPort": 9000}]},
    ],
}  # fmt: skip
ONE, TWO = ("containerDefinitions", 0), ("containerDefinitions", 1)
GONE = object()


def changed(*changes):
    """The task with values put at places (or taken away)."""
    made = copy.deepcopy(TASK)
    for place, value in changes:
        at = made
        for part in place[:-1]:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
        if value is GONE:
            del at[place[-1]]
        else:
            at[place[-1]] = value
    return made


def said(document) -> list[str]:
    return [f"{refusal.rule.name}: {refusal.words}" for refusal in rules.refusals(document)]


def health(**more):
    return {"command": ["CMD", "/usr/local/bin/llama-server", "--version"], **more}


def linux(**more):
    return ((*ONE, "linuxParameters"), more)


AFTER = [{"containerName": "relay", "condition": "HEALTHY"}]
# rule, words, what is refused, the legal neighbour
ROWS = [
    ("network-mode", "Fargate only supports network mode ‘awsvpc’.", [(("networkMode",), "bridge")], [(("networkMode",), "awsvpc")]),
    ("network-mode", "‘awsvpc’", [(("networkMode",), GONE)], []),
    ("cpu-and-memory", "Fargate requires that 'cpu' be defined at the task level.", [(("cpu",), GONE)], [(("cpu",), "1 vCPU")]),
    ("cpu-and-memory", "Fargate requires that 'memory' be defined", [(("memory",), GONE)], [(("memory",), "4GB")]),
    ("cpu-and-memory", "Invalid 'cpu' setting for task.", [(("cpu",), "one")], [(("cpu",), "1vcpu")]),
    ("cpu-and-memory", "No Fargate configuration exists for given values: 1024 CPU, 1024 memory", [(("memory",), "1024")], [(("memory",), "2048")]),
    ("cpu-and-memory", "No Fargate configuration", [(("memory",), "2560")], [(("memory",), "3072")]),
    ("cpu-and-memory", "No Fargate configuration", [(("cpu",), "4096"), (("memory",), "31744")], [(("cpu",), "4096"), (("memory",), "30720")]),
    ("cpu-and-memory", "No Fargate configuration", [(("cpu",), "8192"), (("memory",), "18432")], [(("cpu",), "8192"), (("memory",), "20480")]),
    ("cpu-and-memory", "No Fargate configuration", [(("cpu",), ".5 vCPU"), (("memory",), "0.5 GB")], [(("cpu",), ".25 vCPU"), (("memory",), "0.5 GB")]),
    ("cpu-and-memory", "No Fargate configuration", [(("cpu",), "512"), (("runtimePlatform",), {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"})], [(("runtimePlatform",), {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"})]),
    ("containers-within-task", "sum of all container 'cpu' values", [((*ONE, "cpu"), 1000), ((*TWO, "cpu"), 100)], [((*ONE, "cpu"), 1000), ((*TWO, "cpu"), 24)]),
    ("containers-within-task", "'memory' setting for container 'relay' is greater than for the task", [((*TWO, "memory"), 4097)], [((*TWO, "memory"), 4096)]),
    ("containers-within-task", "reserve 5120 MiB of memory together", [((*ONE, "memory"), 4096), ((*TWO, "memory"), 1024)], [((*ONE, "memory"), 4096), ((*ONE, "memoryReservation"), 1024), ((*TWO, "memory"), 1024)]),
    ("containers-within-task", "'memory' must be greater than or equal to 'memoryReservation'", [((*ONE, "memory"), 64), ((*ONE, "memoryReservation"), 128)], [((*ONE, "memory"), 128), ((*ONE, "memoryReservation"), 128)]),
    ("ports", "the host ports and container ports in port mappings must match.", [((*ONE, "portMappings", 0, "hostPort"), 80)], [((*ONE, "portMappings", 0, "hostPort"), 8080)]),
    ("ports", "container port is used multiple times in task: 8080/tcp", [((*TWO, "portMappings", 0, "containerPort"), 8080)], [((*TWO, "portMappings", 0), {"containerPort": 8080, "protocol": "udp"})]),
    ("ports", "Container port must be between 1 and 65535.", [((*TWO, "portMappings", 0, "containerPort"), 0)], [((*TWO, "portMappings", 0), {"containerPortRange": "9000-9010"})]),
    ("ports", "used multiple times in task: 8080/tcp", [((*TWO, "portMappings", 0), {"containerPortRange": "8000-8100"})], [((*TWO, "portMappings", 0), {"containerPortRange": "8081-8100"})]),
    ("not-on-fargate", "privileged' setting be 'false'", [((*ONE, "privileged"), True)], [((*ONE, "privileged"), False)]),
    ("not-on-fargate", "Links are not supported", [((*ONE, "links"), ["relay"])], [((*ONE, "links"), [])]),
    ("not-on-fargate", "Disable Networking is not supported", [((*ONE, "disableNetworking"), True)], [((*ONE, "disableNetworking"), False)]),
    ("not-on-fargate", "DNS servers are not supported", [((*ONE, "dnsServers"), ["1.1.1.1"])], [((*ONE, "dnsServers"), [])]),
    ("not-on-fargate", "DNS search domains are not supported", [((*ONE, "dnsSearchDomains"), ["a"])], [((*ONE, "dnsSearchDomains"), [])]),
    ("not-on-fargate", "do not support dockerSecurityOptions", [((*ONE, "dockerSecurityOptions"), ["no-new-privileges"])], [((*ONE, "dockerSecurityOptions"), [])]),
    ("not-on-fargate", "Extra hosts are not supported", [((*ONE, "extraHosts"), [{"hostname": "a", "ipAddress": "10.0.0.1"}])], [((*ONE, "extraHosts"), [])]),
    ("not-on-fargate", "hostname is not supported", [((*ONE, "hostname"), "llama")], [((*ONE, "user"), "65532")]),
    ("not-on-fargate", "do not support ipcMode", [(("ipcMode",), "task")], [(("pidMode",), "task")]),
    ("not-on-fargate", "do not support pidMode 'host'", [(("pidMode",), "host")], [(("pidMode",), "task")]),
    ("not-on-fargate", "do not support constraints", [(("placementConstraints",), [{"type": "memberOf", "expression": "a == b"}])], [(("placementConstraints",), [])]),
    ("not-on-fargate", "do not support devices", [linux(devices=[{"hostPath": "/dev/nvidia0"}])], [linux(initProcessEnabled=True)]),
    ("not-on-fargate", "do not support sharedMemorySize", [linux(sharedMemorySize=64)], [linux(tmpfs=[{"containerPath": "/tmp", "size": 64}])]),
    ("not-on-fargate", "do not support maxSwap", [linux(maxSwap=0)], [linux(capabilities={"drop": ["ALL"]})]),
    ("not-on-fargate", "do not support swappiness", [linux(swappiness=10)], [linux()]),
    ("not-on-fargate", "SYS_ADMIN is not allowed on Fargate.", [linux(capabilities={"add": ["SYS_PTRACE", "SYS_ADMIN"]})], [linux(capabilities={"add": ["SYS_PTRACE"]})]),
    ("not-on-fargate", "do not support GPU resource requirements", [((*ONE, "resourceRequirements"), [{"type": "GPU", "value": "1"}])], [((*ONE, "resourceRequirements"), [])]),
    ("logs", "json-file is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]", [((*TWO, "logConfiguration"), {"logDriver": "json-file"})], [((*TWO, "logConfiguration"), {"logDriver": "splunk", "options": {"splunk-url": "https://example.com"}})]),
    ("logs", "a firelens configuration object must be specified", [((*ONE, "logConfiguration"), {"logDriver": "awsfirelens"})], [((*ONE, "logConfiguration"), {"logDriver": "awsfirelens"}), ((*TWO, "firelensConfiguration"), {"type": "fluentbit"})]),
    ("logs", "does not support FirelensConfiguration config file from 's3'", [((*TWO, "firelensConfiguration"), {"type": "fluentbit", "options": {"config-file-type": "s3", "config-file-value": "arn:aws:s3:::a/b"}})], [((*TWO, "firelensConfiguration"), {"type": "fluentbit", "options": {"config-file-type": "file", "config-file-value": "/extra.conf"}})]),
    ("volumes", "Invalid volume name 'a/b'.", [(("volumes",), [{"name": "a/b"}])], [(("volumes",), [{"name": "a_b"}])]),
    ("logs", "Log driver awslogs requires options: awslogs-region", [((*ONE, "logConfiguration", "options"), {"awslogs-group": "a", "awslogs-stream-prefix": "b"})], [((*TWO, "logConfiguration"), LOGS)]),
    ("logs", "to include awslogs-stream-prefix", [((*ONE, "logConfiguration", "options"), {"awslogs-group": "a", "awslogs-region": "us-east-1"})], []),
    ("stop-timeout", "stop timeout of less than 120 seconds", [((*ONE, "stopTimeout"), 121)], [((*ONE, "stopTimeout"), 120)]),
    ("stop-timeout", "must be at least 2 seconds", [((*ONE, "stopTimeout"), 1)], [((*ONE, "stopTimeout"), 2)]),
    ("ephemeral-storage", "EphemeralStorage size should be at least 21", [(("ephemeralStorage",), {"sizeInGiB": 20})], [(("ephemeralStorage",), {"sizeInGiB": 21})]),
    ("ephemeral-storage", "EphemeralStorage size should be at most 200", [(("ephemeralStorage",), {"sizeInGiB": 201})], [(("ephemeralStorage",), {"sizeInGiB": 200})]),
    ("health-check", "begins with CMD or CMD-SHELL", [((*ONE, "healthCheck"), {"command": ["curl", "localhost"]})], [((*ONE, "healthCheck"), {"command": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]})]),
    ("health-check", "interval is from 5 to 300, not 4", [((*ONE, "healthCheck"), health(interval=4))], [((*ONE, "healthCheck"), health(interval=5))]),
    ("health-check", "timeout is from 2 to 60, not 61", [((*ONE, "healthCheck"), health(timeout=61))], [((*ONE, "healthCheck"), health(timeout=60))]),
    ("health-check", "retries is from 1 to 10, not 0", [((*ONE, "healthCheck"), health(retries=0))], [((*ONE, "healthCheck"), health(retries=10))]),
    ("health-check", "startPeriod is from 0 to 300, not 301", [((*ONE, "healthCheck"), health(startPeriod=301))], [((*ONE, "healthCheck"), health(startPeriod=0))]),
    ("execution-role", "execution role ARN to support ECR images.", [(("executionRoleArn",), GONE)], [(("executionRoleArn",), GONE), ((*ONE, "image"), "public.ecr.aws/a/b:1"), ((*TWO, "image"), "nginx:1.27"), ((*ONE, "secrets"), []), ((*ONE, "logConfiguration"), GONE)]),
    ("execution-role", "to support log driver awslogs.", [(("executionRoleArn",), GONE)], []),
    ("execution-role", "you must also specify a value for 'executionRoleArn'", [(("executionRoleArn",), GONE)], []),
    ("secret-arn", "is not the full ARN of a secret", [((*ONE, "secrets", 0, "valueFrom"), SECRET[:-7])], [((*ONE, "secrets", 0, "valueFrom"), f"{SECRET}:key::")]),
    ("secret-arn", "is not the full ARN of a secret", [((*ONE, "secrets", 0, "valueFrom"), f"{SECRET}:key")], [((*ONE, "secrets", 0, "valueFrom"), "/llama/key")]),
    ("secret-names", "must be unique and not shared with any new or existing environment variables", [((*ONE, "environment"), [{"name": "KEY", "value": "a"}])], [((*ONE, "environment"), [{"name": "OTHER", "value": "a"}])]),
    ("volumes", "do not support sourcePath", [(("volumes",), [{"name": "models", "host": {"sourcePath": "/srv"}}])], [(("volumes",), [{"name": "models", "host": {}}])]),
    ("volumes", "do not support dockerVolumeConfiguration", [(("volumes",), [{"name": "models", "dockerVolumeConfiguration": {"scope": "task"}}])], [(("volumes",), [{"name": "models", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}])]),
    ("volumes", "Unknown volume 'models'.", [((*ONE, "mountPoints"), [{"sourceVolume": "models", "containerPath": "/m"}])], [(("volumes",), [{"name": "models"}]), ((*ONE, "mountPoints"), [{"sourceVolume": "models", "containerPath": "/m"}])]),
    ("mount-points", "A mount point of container 'llama-server' has no containerPath", [(("volumes",), [{"name": "models"}]), ((*ONE, "mountPoints"), [{"sourceVolume": "models"}])], [(("volumes",), [{"name": "models"}]), ((*ONE, "mountPoints"), [{"sourceVolume": "models", "containerPath": "/m"}])]),
    ("depends-on", "Cannot depend on container 'nobody'", [((*ONE, "dependsOn"), [{"containerName": "nobody", "condition": "START"}])], [((*ONE, "dependsOn"), [{"containerName": "relay", "condition": "START"}])]),
    ("depends-on", "must have health check configured", [((*ONE, "dependsOn"), AFTER)], [((*ONE, "dependsOn"), AFTER), ((*TWO, "healthCheck"), health())]),
    ("depends-on", "cannot be an essential container", [((*TWO, "dependsOn"), [{"containerName": "llama-server", "condition": "SUCCESS"}])], [((*ONE, "dependsOn"), [{"containerName": "relay", "condition": "SUCCESS"}])]),
    ("depends-on", "contains a cycle", [((*ONE, "dependsOn"), [{"containerName": "relay", "condition": "START"}]), ((*TWO, "dependsOn"), [{"containerName": "llama-server", "condition": "START"}])], []),
    ("containers", "doesn't have any essential container", [((*ONE, "essential"), False)], [((*ONE, "essential"), True)]),
    ("containers", "Container names must be unique", [((*TWO, "name"), "llama-server")], [((*TWO, "name"), "llama_server")]),
    ("containers", "Container list cannot be empty.", [(("containerDefinitions",), [])], []),
    ("containers", "Family contains invalid characters.", [(("family",), "llama server")], [(("family",), "llama_server-1")]),
    ("values", "cpuArchitecture is one of X86_64, ARM64, not 'amd64'", [(("runtimePlatform",), {"cpuArchitecture": "amd64"})], [(("runtimePlatform",), {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"})]),
    ("launch-type", "Task definition does not support launch_type FARGATE.", [(("requiresCompatibilities",), ["EC2"]), (("networkMode",), "bridge")], [(("requiresCompatibilities",), ["EC2", "FARGATE"])]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "words", "wrong", "legal"), ROWS, ids=[f"{number}-{row[0]}" for number, row in enumerate(ROWS)]
)
def test_what_is_refused_and_its_neighbour(rule, words, wrong, legal):
    found = said(changed(*wrong))
    assert any(it.startswith(f"{rule}: ") and words in it for it in found), found
    assert said(changed(*legal)) == []


def test_every_rule_has_a_row_and_a_source():
    assert {it.name for it in rules.RULES} == {row[0] for row in ROWS} - {"launch-type"}
    assert all(it.source for it in rules.RULES)


def test_neither_latest_nor_no_tag_is_refused():
    assert said(changed(((*ONE, "image"), ECR.replace(":v1.0.0", ":latest")))) == []
    assert said(changed(((*ONE, "image"), ECR.replace(":v1.0.0", "")))) == []


def test_the_ports_of_a_task_are_all_that_tcp_has_in_their_order():
    mappings = [{"containerPortRange": "8080-8082"}, {"containerPort": 53, "protocol": "udp"}, {"containerPort": 8081}, {"containerPort": 80, "protocol": "tcp"}, {}]  # fmt: skip
    document = changed(((*ONE, "portMappings"), mappings), ((*TWO, "portMappings"), None))
    assert ports(document) == [8080, 8081, 8082, 80]
    junk = [
        {"containerPort": None},
        {"containerPortRange": "9-8"},
        {"containerPort": 0},
        {"containerPortRange": ""},
    ]
    assert ports(changed(((*ONE, "portMappings"), junk))) == [9000]
    assert [ports(it) for it in STRANGERS.values()] == [[8080, 9000], [], [80], [80], [2000, 4317, 4318]]
    assert ports({}) == []


FIRELENS = {
    "family": "firelens-example",
    "taskRoleArn": "arn:aws:iam::123456789012:role/ecs_task_iam_role",
    "executionRoleArn": "arn:aws:iam::123456789012:role/ecs_task_execution_role",
    "containerDefinitions": [
        {
            "essential": True,
            "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
            "name": "log_router",
            "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}},
            "logConfiguration": LOGS,
            "memoryReservation": 50,
            "user": "0",
        },
        {
            "essential": True,
            "image": "public.ecr.aws/docker/library/httpd:latest",
            "name": "app",
            "dependsOn": [{"containerName": "log_router", "condition": "START"}],
            "logConfiguration": {"logDriver": "awsfirelens", "options": {"Name": "cloudwatch", "region": "us-west-2", "log_group_name": "a"}, "secretOptions": []},
            "memoryReservation": 100,
        },
    ],
    "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
}  # fmt: skip
SAMPLE = {
    "family": "sample-fargate",
    "networkMode": "awsvpc",
    "containerDefinitions": [
        {
            "name": "fargate-app",
            "image": "public.ecr.aws/docker/library/httpd:latest",
            "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp", "name": "http", "appProtocol": "http"}],
            "essential": True,
            "entryPoint": ["sh", "-c"],
            "command": ['/bin/sh -c "echo hello > /usr/local/apache2/htdocs/index.html && httpd-foreground"'],
            "dockerLabels": {"com.example.team": "web"},
            "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}],
            "mountPoints": [{"sourceVolume": "efs", "containerPath": "/data", "readOnly": False}, {"sourceVolume": "scratch", "containerPath": "/scratch"}],
            "volumesFrom": [], "links": [], "dnsServers": [], "extraHosts": [], "privileged": False, "cpu": 0,
            "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
            "environmentFiles": [{"value": "arn:aws:s3:::bucket/app.env", "type": "s3"}],
            "repositoryCredentials": {"credentialsParameter": SECRET}, "interactive": False, "pseudoTerminal": True,
        },
        {"name": "xray", "image": "public.ecr.aws/xray/aws-xray-daemon:3.x", "cpu": 32, "memoryReservation": 256, "essential": False, "portMappings": [{"containerPort": 2000, "protocol": "udp"}]},
    ],
    "volumes": [
        {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1234", "transitEncryption": "ENABLED", "authorizationConfig": {"accessPointId": "fsap-1234", "iam": "ENABLED"}}},
        {"name": "scratch", "host": {}},
    ],
    "taskRoleArn": "arn:aws:iam::123456789012:role/task", "executionRoleArn": ROLE,
    "requiresCompatibilities": ["FARGATE"], "cpu": "1 vCPU", "memory": "2 GB",
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "ephemeralStorage": {"sizeInGiB": 100}, "pidMode": "task", "placementConstraints": [], "tags": [{"key": "team", "value": "web"}],
    "proxyConfiguration": {"type": "APPMESH", "containerName": "xray", "properties": [{"name": "AppPorts", "value": "80"}]},
}  # fmt: skip
WINDOWS = {
    "family": "windows-simple-iis",
    "containerDefinitions": [
        {"name": "windows_sample_app", "image": "mcr.microsoft.com/windows/servercore/iis", "essential": True, "portMappings": [{"protocol": "tcp", "containerPort": 80}], "command": ["New-Item -Path C:\\inetpub\\wwwroot\\index.html"], "entryPoint": ["powershell", "-Command"]},
    ],
    "memory": "4096", "cpu": "2048", "networkMode": "awsvpc", "executionRoleArn": ROLE,
    "runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2019_CORE"}, "requiresCompatibilities": ["FARGATE"],
}  # fmt: skip
SIDECARS = {
    "family": "sidecars", "networkMode": "awsvpc", "cpu": "2048", "memory": "4GB", "executionRoleArn": ROLE,
    "requiresCompatibilities": ["EC2", "FARGATE"], "enableFaultInjection": True,
    "containerDefinitions": [
        {
            "name": "app", "image": "nginx:1.27@sha256:" + "0" * 64, "essential": True,
            "dependsOn": [{"containerName": "envoy", "condition": "HEALTHY"}, {"containerName": "migrate", "condition": "SUCCESS"}],
            "logConfiguration": {"logDriver": "awslogs", "options": {**LOGS["options"], "awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "25m"}},
            "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "tmpfs": [{"containerPath": "/tmp", "size": 256, "mountOptions": ["noexec"]}]},
            "mountPoints": [{"sourceVolume": "ebs", "containerPath": "/data"}], "stopTimeout": 120, "versionConsistency": "disabled",
        },
        {
            "name": "envoy", "image": "public.ecr.aws/appmesh/aws-appmesh-envoy:v1.29.6.0-prod", "essential": True, "user": "1337",
            "ulimits": [{"name": "nofile", "hardLimit": 15000, "softLimit": 15000}], "memoryReservation": 500, "startTimeout": 120,
            "healthCheck": {"command": ["CMD-SHELL", "curl -s http://localhost:9901/server_info | grep state | grep -q LIVE"], "startPeriod": 10, "interval": 5, "timeout": 2, "retries": 3},
        },
        {"name": "migrate", "image": "nginx:1.27", "essential": False, "command": ["true"]},
        {"name": "otel", "image": "public.ecr.aws/aws-observability/aws-otel-collector:latest", "command": ["--config=/etc/ecs/ecs-default-config.yaml"], "secrets": [{"name": "AOT_CONFIG_CONTENT", "valueFrom": "otel-collector-config"}], "portMappings": [{"containerPort": 2000, "protocol": "udp"}, {"containerPort": 2000, "protocol": "tcp"}, {"containerPortRange": "4317-4318", "protocol": "tcp"}]},
    ],
    "volumes": [{"name": "ebs", "configuredAtLaunch": True}],
}  # fmt: skip
STRANGERS = {"ours": TASK, "firelens": FIRELENS, "sample": SAMPLE, "windows": WINDOWS, "sidecars": SIDECARS}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_works_for_strangers_is_taken(tmp_path, aws, name):
    path = tmp_path / "task-definition.json"
    path.write_text(json.dumps(STRANGERS[name], indent="\t"))
    read = definition.read(path)
    assert read.problems() == []
    assert said(read.document) == []
    assert registration.register(read, aws).endswith(f"task-definition/{read.document['family']}:1")


# `at`: what stands on the line that is named
@pytest.mark.parametrize(
    ("before", "after", "at", "says"),
    [
        ('"family"', '// ours\n  "family"', "// ours", "JSON has no comments"),
        ('"networkMode": "awsvpc",', '"networkMode": "awsvpc"', "requiresCompatibilities", "Expecting ',' delimiter"),
        ("  ]\n}", "  ],\n}", "  ],", "one too many"),
        ('"cpu": "1024"', '"cpu": 1024', '"cpu": 1024', "Invalid type for parameter cpu, value: 1024, type: <class 'int'>"),
        ('"containerPort": 9000', '"containerPort": "9000"', '"9000"', "parameter containerDefinitions[1].portMappings[0].containerPort, value: 9000, type: <class 'str'>"),
        ('"essential": false', '"esential": false', 'esential":', 'Unknown parameter in containerDefinitions[1]: "esential"'),
        ('"essential": false', '"essential": "false"', '"false"', "parameter containerDefinitions[1].essential"),
        ('"family": "llama-server",', "", "{", 'Missing required parameter in input: "family"'),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line(tmp_path, before, after, at, says):
    path = tmp_path / "task-definition.json"
    text = json.dumps(TASK, indent=2)
    assert before in text
    path.write_text(text.replace(before, after, 1))
    lines = path.read_text().splitlines()
    line = 1 + next(
        number for number, it in enumerate(lines) if at in it and (at != "  ]," or lines[number + 1] == "}")
    )
    found = problems(path)
    assert any(it.startswith(f"task-definition.json:{line}: ") and says in it for it in found), found


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '"a"', "[" * 100_000, '{"containerDefinitions": 3, "family": "a"}']
)
def test_whatever_else_it_holds_is_a_sentence(tmp_path, text):
    path = tmp_path / "task-definition.json"
    path.write_text(text)
    assert problems(path)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1" * 5000, "a number of too many digits"),
        ("-" + "1" * 5000, "a number of too many digits"),
        ("[" * 2000 + "]" * 2000, "nested too deeply"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested too deeply"),
    ],
)
def test_numbers_and_nesting_without_end_name_their_line(tmp_path, value, says):
    path = tmp_path / "task-definition.json"
    family = "2" * 6000
    path.write_text(f'{{\n"family": "{family}",\n"cpu": {value},\n"containerDefinitions": []}}')
    with pytest.raises(LabError, match=says) as caught:
        definition.read(path).problems()
    assert caught.value.where == "task-definition.json:3"


def problems(path) -> list[str]:
    try:
        return [str(problem) for problem in definition.read(path).problems()]
    except LabError as error:
        return [f"{error.where}: {error.what}"]


def test_a_refusal_names_the_line_of_what_it_refuses(tmp_path):
    path = tmp_path / "task-definition.json"
    path.write_text(json.dumps(changed(((*ONE, "portMappings", 0, "hostPort"), 80)), indent=2))
    read = definition.read(path)
    (one,) = rules.refusals(read.document)
    number = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "hostPort" in line)
    assert one.said(read).startswith(f"task-definition.json:{number}: When networkMode=awsvpc")
