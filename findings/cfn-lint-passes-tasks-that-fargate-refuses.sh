#!/usr/bin/env bash
# cfn-lint 1.58.0: of eight task definitions that ECS refuses for Fargate, or that cannot start there, six pass without a word.
#
# Behaviour seen: each template is a task definition for FARGATE with one thing that Fargate does not do. A pair of CPU and memory that is not
# sold (E3047) and a host port other than the container's (E3053) are found. Not found: a GPU, `Privileged`, a stop timeout of 300 s (120 at
# most), a health check each second (5 at least), awslogs and secrets without an execution role, and a secret named without its ARN's
# six characters. By the ECS API reference (ContainerDefinition, HealthCheck, Secret) and the developer guide (Fargate task definition
# differences, task execution IAM role) they are refused at registration, or the task stops before its container starts.
# What to do: register the definition in an account of your own before it is merged, or check these by hand.
# Output seen:
#   as it should be: nothing
#   1 vCPU with 1000 MiB: E3047
#   host port 80 for 8080: E3053
#   a GPU: nothing
#   privileged: nothing
#   five minutes to stop in: nothing
#   a health check each second: nothing
#   no execution role: nothing
#   a secret by its name alone: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q cfn-lint==1.58.0
cat >tasks.py <<'PY'
import copy
import json
import subprocess

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:llama-api-key"
TASK = {
    "Family": "llama-server",
    "NetworkMode": "awsvpc",
    "RequiresCompatibilities": ["FARGATE"],
    "Cpu": "1024",
    "Memory": "2048",
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/llama-execution",
    "ContainerDefinitions": [
        {
            "Name": "llama-server",
            "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama-server:v1.0.0",
            "PortMappings": [{"ContainerPort": 8080}],
            "Secrets": [{"Name": "LLAMA_API_KEY", "ValueFrom": f"{ARN}-AbCdEf"}],
            "HealthCheck": {"Command": ["CMD", "/healthy"], "Interval": 30},
            "LogConfiguration": {
                "LogDriver": "awslogs",
                "Options": {"awslogs-group": "/ecs/llama-server", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"},
            },
        }
    ],
}
CHANGES = {
    "as it should be": lambda task, container: None,
    "1 vCPU with 1000 MiB": lambda task, container: task.update(Memory="1000"),
    "host port 80 for 8080": lambda task, container: container["PortMappings"][0].update(HostPort=80),
    "a GPU": lambda task, container: container.update(ResourceRequirements=[{"Type": "GPU", "Value": "1"}]),
    "privileged": lambda task, container: container.update(Privileged=True),
    "five minutes to stop in": lambda task, container: container.update(StopTimeout=300),
    "a health check each second": lambda task, container: container["HealthCheck"].update(Interval=1),
    "no execution role": lambda task, container: task.pop("ExecutionRoleArn"),
    "a secret by its name alone": lambda task, container: container["Secrets"][0].update(ValueFrom=ARN),
}
for what, change in CHANGES.items():
    task = copy.deepcopy(TASK)
    change(task, task["ContainerDefinitions"][0])
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": task}}}
    with open("task.json", "w") as file:
        json.dump(template, file)
    done = subprocess.run(["env/bin/cfn-lint", "--format", "json", "task.json"], capture_output=True, text=True)
    found = sorted({match["Rule"]["Id"] for match in json.loads(done.stdout or "[]")})
    print(f"{what}: {', '.join(found) or 'nothing'}")
PY
said=$(env/bin/python tasks.py)
echo "$said"
[ "$said" = "$(sed -n 's/^#   //p' <<'EOF'
#   as it should be: nothing
#   1 vCPU with 1000 MiB: E3047
#   host port 80 for 8080: E3053
#   a GPU: nothing
#   privileged: nothing
#   five minutes to stop in: nothing
#   a health check each second: nothing
#   no execution role: nothing
#   a secret by its name alone: nothing
EOF
)" ]
