"""What follows from objects that were created: who reaches whom, who may do what, the door, the graph. Made with boto3."""

from __future__ import annotations

import json

import pytest

from llmlab.errors import LabError
from llmlab.tiers.aws import inventory, leftovers, reach, resources, rights
from llmlab.tiers.aws.account import Account
from llmlab.tiers.aws.door import door
from llmlab.tiers.aws.events import Diagnostic
from llmlab.tiers.aws.inventory import AutoScalingGroup, Inventory, Listener, LoadBalancer, Rule, TargetGroup
from llmlab.tiers.aws.probes.first_boot import asked

BALANCER = LoadBalancer(
    "lb", "lb", False, ("sg-door",), ("a", "b"), {"idle_timeout.timeout_seconds": "77"}, (), {}
)
FLEET = AutoScalingGroup("f", ("a", "b"), 2, 2, 2, (), (), {"SecurityGroupIds": ["sg-server"]}, "ELB")
HTTPS = Rule("sg-door", False, "tcp", 443, 443, "0.0.0.0/0")
OUT = Rule("sg-door", True, "tcp", 8080, 8080, peer="sg-server")
IN = Rule("sg-server", False, "tcp", 8080, 8080, peer="sg-door")
GOOD = {
    (reach.INTERNET, reach.DOOR): "443",
    (reach.NEIGHBOUR, reach.DOOR): "443",
    (reach.DOOR, reach.SERVER): "8080",
}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ([], {}),
        ([Rule("sg-server", False, "tcp", 22, 22, "0.0.0.0/0")], {(reach.INTERNET, reach.SERVER): "22", (reach.NEIGHBOUR, reach.SERVER): "22"}),
        ([Rule("sg-server", False, "-1", None, None, "172.31.0.0/16")], {(reach.NEIGHBOUR, reach.SERVER): "all"}),
        ([Rule("sg-server", False, "udp", 53, 53, "0.0.0.0/0")], {}),
        ([Rule("sg-server", False, "tcp", 8000, 8100, "10.0.0.0/8")], {}),
        ([Rule("sg-door", True, "tcp", 9000, 9010, peer="sg-server"), Rule("sg-server", False, "tcp", 9005, 9020, peer="sg-door")], {(reach.DOOR, reach.SERVER): "8080, 9005-9010"}),
        ([Rule("sg-door", False, "tcp", 444, 450, "::/0")], {(reach.INTERNET, reach.DOOR): "443-450"}),
    ],
    ids=["good", "ssh-from-everywhere", "all-from-the-network", "udp-is-no-tcp", "a-network-that-is-not-this", "both-ends", "ipv6"],
)  # fmt: skip
def test_who_reaches_whom(change, differs):
    have = Inventory(rules=[HTTPS, OUT, IN, *change], network="172.31.0.0/16")
    seen = {
        (cell.source, cell.to): cell.words() for cell in reach.matrix(have, BALANCER, FLEET) if cell.spans
    }
    assert seen == GOOD | differs


def test_without_a_way_out_of_the_door_nothing_is_reached():
    have = Inventory(rules=[HTTPS, IN], network="172.31.0.0/16")
    assert {(cell.source, cell.to): cell.words() for cell in reach.matrix(have, BALANCER, FLEET)}[
        reach.DOOR, reach.SERVER
    ] == "none"


@pytest.mark.parametrize(
    ("statements", "read", "write"),
    [
        ([{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/m"}], True, False),
        ([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], True, True),
        ([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}], True, False),
        ([{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::other/*"}], False, False),
        ([{"Effect": "Allow", "Action": "s3:???Object", "Resource": "arn:aws:s3:::?/?"}], True, True),
    ],
    ids=["exact", "wide", "denied", "another-bucket", "question-marks"],
)  # fmt: skip
def test_what_a_role_may_do(aws, statements, read, write):
    iam = aws.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(
        RoleName="r",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    iam.create_instance_profile(InstanceProfileName="i")
    iam.add_role_to_instance_profile(InstanceProfileName="i", RoleName="r")
    documents = rights.policies(aws, {"Name": "i"})
    assert rights.allowed(documents, "s3:GetObject", "arn:aws:s3:::b/m") == read
    assert rights.allowed(documents, "s3:PutObject", "arn:aws:s3:::b/m") == write
    assert rights.policies(aws, {"Name": "nobody"}) is None


def test_what_is_left_is_what_was_not_there_before(aws):
    Account.furnish(aws)
    before = leftovers.everything(aws)
    assert leftovers.live(aws, before) == []
    aws.client("ec2").create_security_group(GroupName="mine", Description="x")
    aws.client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    left = leftovers.live(aws, before)
    assert "security group mine" in left
    assert len(left) == 2
    (machine,) = inventory.read(aws).instances
    aws.client("ec2").terminate_instances(InstanceIds=[machine["InstanceId"]])
    assert leftovers.live(aws, before) == ["security group mine"]


def test_the_door_is_written_from_listeners_rules_and_targets():
    health = {
        "path": "/health",
        "matcher": "200-299",
        "port": "traffic-port",
        "interval": 9,
        "timeout": 5,
        "healthy": 3,
        "unhealthy": 4,
    }
    group = TargetGroup(
        "arn",
        "llama",
        8080,
        "HTTP",
        health,
        {"load_balancing.algorithm.type": "least_outstanding_requests"},
        ("i-1", "i-2"),
    )
    forward = {"Type": "forward", "TargetGroupArn": "arn"}
    rule = {
        "Priority": "5",
        "Conditions": [{"Field": "path-pattern", "Values": ["/metrics*"]}],
        "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}],
    }
    redirect = {
        "Type": "redirect",
        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
    }
    listeners = (
        Listener("l", 443, "HTTPS", (), (forward,), (rule,)),
        Listener("m", 80, "HTTP", (), (redirect,), ()),
    )
    balancer = LoadBalancer("lb", "lb", False, (), (), {"idle_timeout.timeout_seconds": "77"}, listeners, {})
    have = Inventory([balancer], [group])
    made = door(have, balancer, {8080: 9090}.get, ["i-1", "i-2"])
    assert made.targets == {"llama": ("i-1", "i-2")}
    for line in (
        "timeout server 77s", "bind :10443 ssl", "http-check expect status 200-299", "option httpchk GET /health", "balance leastconn",
        "server i-2 i-2:9090 inter 9s rise 3 fall 4", "redirect location https://%[req.hdr(host),field(1,:)]%[pathq] code 301", "path -m reg '^/metrics.*$'", "return status 403",
    ):  # fmt: skip
        assert line in made.config, made.config
    with pytest.raises(LabError, match="no listener"):
        door(have, BALANCER, int, [])


def test_docker_run_is_taken_apart():
    words = [
        "-d",
        "--name",
        "x",
        "--gpus=all",
        "-p",
        "127.0.0.1:80:8080/tcp",
        "-v",
        "/a:/b:ro",
        "-e",
        "K=V",
        "--restart",
        "always",
        "image:1",
        "-m",
        "/b/m",
        "-p",
        "3",
    ]
    one = asked("x", words)
    assert (one.image, one.command, one.ports, one.mounts, one.env) == (
        "image:1",
        ("-m", "/b/m", "-p", "3"),
        ((80, 8080),),
        (("/a", "/b"),),
        {"K": "V"},
    )
    assert (one.behind(80), one.behind(8080)) == (8080, 1)
    assert asked("x", ["--network=host", "image:1"]).behind(8080) == 8080
    with pytest.raises(LabError, match="names no image"):
        asked("x", ["-d"])
    with pytest.raises(LabError, match="no port"):
        asked("x", ["-p", "http:web", "image"])


def test_the_graph_holds_what_nobody_declared():
    dot = 'digraph G {\n  "aws_lb.a" [label="aws_lb.a"];\n  "aws_lb.a" -> "aws_subnet.b";\n}\n'
    said = Diagnostic(
        "error",
        "Reference to undeclared resource",
        'A data resource "aws_vpc" "main" has not been declared in the root module.',
        "main.tf:3",
        'resource "aws_lb" "a"',
    )
    found = resources.graph(dot, [said])
    assert found.missing == ("data.aws_vpc.main",)
    assert ("aws_lb.a", "data.aws_vpc.main") in found.edges
    assert ("aws_lb.a", "aws_subnet.b") in found.edges
