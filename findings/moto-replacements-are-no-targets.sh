#!/usr/bin/env bash
# moto 5.2.5: an instance that an Auto Scaling group starts in place of a terminated one never becomes a target of the group's target group.
#
# Behaviour seen: a group of two instances with a target group registers both. When one is terminated (`terminate_instances`), the group
# starts another at once, and `describe_target_health` goes on with the survivor alone: the new instance gets no traffic. On AWS the group
# registers what it starts, whenever that is. (`notify_terminate_instances` updates classic load balancers and no target groups.)
# What to do: call `update_attached_target_groups` there (as llmlab does in the process of its own endpoint).
# Output seen:
#   before: 2 instances, 2 of them targets
#   after a termination: 2 instances, 1 of them targets
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q 'moto[ec2,autoscaling,elbv2]==5.2.5' boto3==1.44.8
cat >replaced.py <<'PY'
import boto3
from moto import mock_aws

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
with mock_aws():
    ec2, groups, balancers = (boto3.client(name, **KEYS) for name in ("ec2", "autoscaling", "elbv2"))
    vpc, zone = ec2.describe_vpcs()["Vpcs"][0]["VpcId"], ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = balancers.create_target_group(Name="llama", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
    ec2.create_launch_template(
        LaunchTemplateName="llama", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "m7i.large"}
    )
    groups.create_auto_scaling_group(
        AutoScalingGroupName="llama", MinSize=2, MaxSize=2, VPCZoneIdentifier=zone,
        LaunchTemplate={"LaunchTemplateName": "llama"}, TargetGroupARNs=[made],
    )

    def look(when):
        (group,) = groups.describe_auto_scaling_groups()["AutoScalingGroups"]
        runs = {instance["InstanceId"] for instance in group["Instances"]}
        health = balancers.describe_target_health(TargetGroupArn=made)["TargetHealthDescriptions"]
        targets = {row["Target"]["Id"] for row in health} & runs
        print(f"{when}: {len(runs)} instances, {len(targets)} of them targets")
        return runs

    runs = look("before")
    ec2.terminate_instances(InstanceIds=[min(runs)])
    look("after a termination")
PY
said=$(env/bin/python replaced.py)
echo "$said"
[ "$said" = $'before: 2 instances, 2 of them targets\nafter a termination: 2 instances, 1 of them targets' ]
