#!/usr/bin/env bash
# moto 5.2.5: an Auto Scaling group cannot start from any launch template version but the first, if that one has user data.
#
# Behaviour seen: `create_launch_template` decodes the base64 user data that EC2 wants, `create_launch_template_version` keeps it as it
# came. A group of version "1" starts its instances; one of version "2" with the very same data ends in an AssertionError inside moto
# (no AWS error at all: through its server it is an HTTP 500). Terraform's `latest_version` leads there with the first change.
# Valid on AWS: both versions hold the same base64 text.
# What to do: decode the user data in `LaunchTemplate.create_version` (as llmlab does in the process of its own endpoint).
# Output seen:
#   version 1: 1 instance
#   version 2: AssertionError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q 'moto[ec2,autoscaling]==5.2.5' boto3==1.44.8
cat >versions.py <<'PY'
import boto3
from moto import mock_aws

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
DATA = {"ImageId": "ami-12c6146b", "InstanceType": "m7i.large", "UserData": "IyEvYmluL3NoCg=="}  # "#!/bin/sh"
with mock_aws():
    ec2, groups = boto3.client("ec2", **KEYS), boto3.client("autoscaling", **KEYS)
    zone = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_launch_template(LaunchTemplateName="llama", LaunchTemplateData=DATA)
    ec2.create_launch_template_version(LaunchTemplateName="llama", LaunchTemplateData=DATA)
    for version in ("1", "2"):
        try:
            groups.create_auto_scaling_group(
                AutoScalingGroupName=version, MinSize=1, MaxSize=1, VPCZoneIdentifier=zone,
                LaunchTemplate={"LaunchTemplateName": "llama", "Version": version},
            )
            (made,) = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[version])["AutoScalingGroups"]
            print(f"version {version}: {len(made['Instances'])} instance")
        except AssertionError:
            print(f"version {version}: AssertionError")
PY
said=$(env/bin/python versions.py)
echo "$said"
[ "$said" = $'version 1: 1 instance\nversion 2: AssertionError' ]
