"""moto beside AWS: each gap with and without its mending, as boto3 and a second plan see it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

from llmlab.tiers.aws.terraform import Terraform

# moto in a process of its own, mended or plain: what each request ended with, the account empty before each. When plain moto says what
# AWS says, the mending can go.
ASKED = """
import json, sys, textwrap, traceback
if sys.argv[1] == "mended":
    from llmlab.tiers.aws.gaps import mend
    mend()
import boto3
from moto import mock_aws
boto3 = boto3.Session()  # it reads the descriptions of AWS' services once
ended = {}
for name, act in json.load(sys.stdin).items():
    with mock_aws():
        ec2 = boto3.client("ec2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        try:
            exec(textwrap.dedent(act), {"boto3": boto3, "sys": sys, "ec2": ec2})
        except SystemExit as end:
            ended[name] = [end.code, ""]
        except Exception:
            ended[name] = [1, traceback.format_exc()]
json.dump(ended, sys.stdout)
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
POLICY = """
    asg = boto3.client("autoscaling", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "m7i.large"})
    zone = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    asg.create_auto_scaling_group(AutoScalingGroupName="g", MinSize=0, MaxSize=1, VPCZoneIdentifier=zone, LaunchTemplate={"LaunchTemplateName": "one"})
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
    asg.put_scaling_policy(AutoScalingGroupName="g", PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=metric)
    (one,) = asg.describe_policies()["ScalingPolicies"]
    sys.exit(0 if one.get("Enabled") and "PredictiveScalingConfiguration" not in one else 3)
"""
SERVICE = """
    ecs = boto3.client("ecs", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    ecs.create_cluster(clusterName="c")
    ecs.register_task_definition(family="t", containerDefinitions=[{"name": "a", "image": "a", "memory": 64}])
    ecs.create_service(cluster="c", serviceName="s", taskDefinition="t", desiredCount=0, availabilityZoneRebalancing="ENABLED", healthCheckGracePeriodSeconds=60)
    (one,) = ecs.describe_services(cluster="c", services=["s"])["services"]
    sys.exit(0 if (one.get("availabilityZoneRebalancing"), one.get("healthCheckGracePeriodSeconds")) == ("ENABLED", 60) else 3)
"""

# The same request twice, as the provider sends it whose first reply was late; then another one of the same name.
BALANCER = """
    elb = boto3.client("elbv2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    def tried(make, **given):
        try:
            reply = make(**given)
        except elb.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        (one,) = next(value for key, value in reply.items() if key != "ResponseMetadata")
        return next(one[key] for key in ("ListenerArn", "TargetGroupArn", "LoadBalancerArn") if key in one)
    lb = elb.create_load_balancer(Name="first", Subnets=subnets[:2])["LoadBalancers"][0]["LoadBalancerArn"]
    tg = elb.create_target_group(Name="first", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
"""
TWICE_BALANCER = (
    BALANCER
    + """
    twice = [tried(elb.create_load_balancer, Name="n", Subnets=subnets[:2]) for _ in range(2)]
    other = tried(elb.create_load_balancer, Name="n", Subnets=subnets[2:4])
    sys.exit(0 if twice[0] == twice[1] and other == "DuplicateLoadBalancerName" and len(elb.describe_load_balancers()["LoadBalancers"]) == 2 else 3)
"""
)
TWICE_GROUP = (
    BALANCER
    + """
    same = dict(Name="n", Protocol="HTTP", Port=80, VpcId=vpc, HealthCheckPath="/health")
    twice = [tried(elb.create_target_group, **same) for _ in range(2)]
    other = tried(elb.create_target_group, **same | {"Port": 81})
    if twice[0] == twice[1]:
        elb.modify_target_group(TargetGroupArn=twice[0], HealthCheckPath="/by-hand")
        other += tried(elb.create_target_group, **same)
    sys.exit(0 if twice[0] == twice[1] and other == "DuplicateTargetGroupName" * 2 else 3)
"""
)
TWICE_LISTENER = (
    BALANCER
    + """
    same = dict(LoadBalancerArn=lb, Port=80, Protocol="HTTP", DefaultActions=[{"Type": "forward", "TargetGroupArn": tg}])
    twice = [tried(elb.create_listener, **same) for _ in range(2)]
    refusal = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    other = tried(elb.create_listener, **same | {"DefaultActions": refusal})
    sys.exit(0 if twice[0] == twice[1] and other == "DuplicateListener" and len(elb.describe_listeners(LoadBalancerArn=lb)["Listeners"]) == 1 else 3)
"""
)
UNUSED = (
    BALANCER
    + """
    machine = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    elb.register_targets(TargetGroupArn=tg, Targets=[{"Id": machine}])
    def health():
        return elb.describe_target_health(TargetGroupArn=tg)["TargetHealthDescriptions"][0]["TargetHealth"]["State"]
    before = health()
    refusal = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listener = elb.create_listener(LoadBalancerArn=lb, Port=80, Protocol="HTTP", DefaultActions=refusal)["Listeners"][0]["ListenerArn"]
    closed = health()
    elb.create_rule(ListenerArn=listener, Priority=1, Conditions=[{"Field": "path-pattern", "Values": ["*"]}], Actions=[{"Type": "forward", "TargetGroupArn": tg}])
    sys.exit(0 if (before, closed, health()) == ("unused", "unused", "healthy") else 3)
"""
)

# A group of two instances with a target group, and who runs and is a target now.
GROUP = """
    asg = boto3.client("autoscaling", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    elb = boto3.client("elbv2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    tg = elb.create_target_group(Name="first", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "m7i.large"})
    zone = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    asg.create_auto_scaling_group(AutoScalingGroupName="g", MinSize=2, MaxSize=2, VPCZoneIdentifier=zone, LaunchTemplate={"LaunchTemplateName": "one"}, TargetGroupARNs=[tg])
    def machines():
        (group,) = asg.describe_auto_scaling_groups()["AutoScalingGroups"]
        asked = {one["Target"]["Id"] for one in elb.describe_target_health(TargetGroupArn=tg)["TargetHealthDescriptions"]}
        return {one["InstanceId"] for one in group["Instances"]}, asked
"""
REFRESH = (
    GROUP
    + """
    before, _ = machines()
    try:
        begun = asg.start_instance_refresh(AutoScalingGroupName="g")["InstanceRefreshId"]
    except Exception:
        sys.exit(3)
    (one,) = asg.describe_instance_refreshes(AutoScalingGroupName="g", InstanceRefreshIds=[begun])["InstanceRefreshes"]
    after, asked = machines()
    sys.exit(0 if one["Status"] == "Successful" and len(after) == 2 and not after & before and asked == after else 4)
"""
)

REPLACED = (
    GROUP
    + """
    (gone, _), _ = map(sorted, machines())
    ec2.terminate_instances(InstanceIds=[gone])
    runs, asked = machines()
    sys.exit(0 if len(runs) == 2 and gone not in runs and asked == runs else 3)
"""
)

SECOND_VERSION = """
    asg = boto3.client("autoscaling", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    data = {"ImageId": "ami-12c6146b", "InstanceType": "m7i.large", "UserData": "IyEvYmluL3NoCg=="}
    ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData=data)
    ec2.create_launch_template_version(LaunchTemplateName="one", LaunchTemplateData=data)
    zone = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    try:
        asg.create_auto_scaling_group(AutoScalingGroupName="g", MinSize=1, MaxSize=2, VPCZoneIdentifier=zone, LaunchTemplate={"LaunchTemplateName": "one", "Version": "2"})
    except AssertionError:
        sys.exit(3)
    kept = ec2.describe_launch_template_versions(LaunchTemplateName="one", Versions=["2"])["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
    sys.exit(0 if kept == data["UserData"] else 4)
"""


ACTS = {
    "rule-descriptions": RULE,
    "tags-of-a-launch-template": TEMPLATE,
    "tracking-policies": POLICY,
    "what-a-service-was-asked-for": SERVICE,
    "a-load-balancer-twice": TWICE_BALANCER,
    "a-target-group-twice": TWICE_GROUP,
    "a-listener-twice": TWICE_LISTENER,
    "targets-that-nobody-asks": UNUSED,
    "instance-refreshes": REFRESH,
    "replacements-become-targets": REPLACED,
    "a-second-version": SECOND_VERSION,
}


@functools.cache
def ended(moto: str) -> dict[str, tuple[int, str]]:
    """Name of an act → its exit code (0: what AWS says, 3: what plain moto says) and its traceback."""
    line = [sys.executable, "-c", ASKED, moto]
    done = subprocess.run(line, input=json.dumps(ACTS), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("moto", ["mended", "plain"])
def test_what_moto_answers(act, moto):
    code, trouble = ended(moto)[act]
    assert code == (0 if moto == "mended" else 3), (
        trouble[-1500:] or "moto has closed this gap: take the mending out"
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

data "aws_subnets" "all" {
}

resource "aws_launch_template" "u" {
  name          = "two"
  image_id      = "ami-12c6146b"
  instance_type = "m7i.large"
}

resource "aws_autoscaling_group" "g" {
  name                = "g"
  min_size            = 0
  max_size            = 2
  desired_capacity    = 0
  vpc_zone_identifier = data.aws_subnets.all.ids

  launch_template {
    id = aws_launch_template.u.id
  }
}

resource "aws_autoscaling_policy" "p" {
  name                   = "p"
  autoscaling_group_name = aws_autoscaling_group.g.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = 50

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_ecs_cluster" "c" {
  name = "c"
}

resource "aws_ecs_task_definition" "t" {
  family                   = "t"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  container_definitions    = jsonencode([{ name = "a", image = "a", essential = true }])
}

resource "aws_ecs_service" "s" {
  name            = "s"
  cluster         = aws_ecs_cluster.c.id
  task_definition = aws_ecs_task_definition.t.arn
  desired_count   = 0
  launch_type     = "FARGATE"

  availability_zone_rebalancing     = "ENABLED"
  health_check_grace_period_seconds = 60

  network_configuration {
    subnets = slice(data.aws_subnets.all.ids, 0, 1)
  }
}
"""
    )
    with Terraform(folder, aws) as project:
        assert {step.address for step in project.apply()} >= {"aws_launch_template.t"}
        assert project.changes() == []


@pytest.mark.needs("terraform")
def test_a_changed_template_replaces_what_runs_and_a_second_plan_is_empty(aws, stack):
    """With plain moto the provider asks again for many minutes: it knows no StartInstanceRefresh."""
    text = """
data "aws_subnets" "all" {
}

resource "aws_launch_template" "t" {
  name          = "ttt"
  image_id      = "ami-12c6146b"
  instance_type = "m7i.large"
}

resource "aws_autoscaling_group" "g" {
  name                      = "g"
  min_size                  = 1
  max_size                  = 2
  vpc_zone_identifier       = data.aws_subnets.all.ids
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.t.id
    version = aws_launch_template.t.latest_version
  }

  instance_refresh {
    strategy = "Rolling"
  }
}
"""
    asg = aws.client("autoscaling")
    folder = stack(text)
    with Terraform(folder, aws) as project:
        project.apply()
        (before,) = asg.describe_auto_scaling_groups()["AutoScalingGroups"]
        stack(text.replace("m7i.large", "m7i.xlarge"))
        project.refresh()
        project.apply()
        (after,) = asg.describe_auto_scaling_groups()["AutoScalingGroups"]
        assert project.changes() == []
    assert [instance["InstanceType"] for instance in after["Instances"]] == ["m7i.xlarge"]
    assert before["Instances"][0]["InstanceId"] != after["Instances"][0]["InstanceId"]
