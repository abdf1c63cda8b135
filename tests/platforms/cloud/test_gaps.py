"""moto beside AWS: each gap with and without its mending, as boto3 and a second plan see it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmlab.platforms.cloud import Terraform

# A plain moto, in a process of its own: what it says today. When it says what AWS says, the mending can go.
PLAIN = """
import boto3, sys
from moto import mock_aws
with mock_aws():
    ec2 = boto3.client("ec2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    {act}
"""
RULE = """
    made = [ec2.create_security_group(GroupName=one, Description=one)["GroupId"] for one in ("a", "b")]
    ec2.authorize_security_group_ingress(GroupId=made[0], IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1,
        "UserIdGroupPairs": [{"GroupId": made[1], "Description": "from b"}]}])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": made[:1]}])["SecurityGroupRules"]
    sys.exit(0 if any(one.get("Description") == "from b" for one in rules) else 3)
"""
TEMPLATE = """
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData={"InstanceType": "m7i.large"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}])
    data = ec2.describe_launch_template_versions(LaunchTemplateName="one")["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    sys.exit(0 if not data.get("TagSpecifications") else 3)
"""


@pytest.mark.parametrize("act", [RULE, TEMPLATE], ids=["rule-descriptions", "tags-of-a-launch-template"])
@pytest.mark.parametrize("mended", [True, False], ids=["mended", "plain"])
def test_what_moto_answers(act, mended):
    first = "from llmlab.platforms.cloud.gaps import mend; mend()\n" if mended else ""
    done = subprocess.run(
        [sys.executable, "-c", first + PLAIN.replace("{act}", act)], capture_output=True, text=True
    )
    assert done.returncode == (0 if mended else 3), (
        done.stderr[-1500:] or "moto has closed this gap: take the mending out"
    )


@pytest.mark.needs("terraform")
def test_a_second_plan_is_empty_where_the_gaps_were(aws, stack):
    folder = stack(
        """
resource "aws_security_group" "a" {
  name = "a"
}

resource "aws_security_group" "b" {
  name = "b"
}

resource "aws_vpc_security_group_ingress_rule" "from_b" {
  security_group_id            = aws_security_group.a.id
  referenced_security_group_id = aws_security_group.b.id
  description                  = "from b"
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_launch_template" "t" {
  name          = "one"
  instance_type = "m7i.large"
  tags          = { Project = "x" }
}
"""
    )
    with Terraform(folder, aws) as project:
        assert {one.address for one in project.apply()} >= {"aws_launch_template.t"}
        assert project.changes() == []
