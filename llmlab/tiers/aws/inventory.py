"""What was created, read back from the endpoint: load balancers with their listeners and targets, launch templates, groups, roles."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass, field
from typing import Any

from .endpoint import AwsEndpoint

Tags = dict[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One opening of a security group: a protocol, a range of ports (None: all), and who is on the other side."""

    group: str
    egress: bool
    protocol: str
    low: int | None
    high: int | None
    cidr: str | None = None
    peer: str | None = None  # a security group

    def words(self) -> str:
        """`tcp 443 from 0.0.0.0/0`."""
        ports = (
            "all ports"
            if self.low in (None, -1)
            else f"{self.low}" + (f" to {self.high}" if self.high != self.low else "")
        )
        protocol = "any protocol" if self.protocol == "-1" else f"{self.protocol} {ports}"
        return f"{protocol} {'to' if self.egress else 'from'} {self.cidr or self.peer}"


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of a load balancer, and what it does with a request."""

    arn: str
    port: int
    protocol: str
    certificates: tuple[str, ...]
    actions: tuple[dict[str, Any], ...]  # of the default rule
    rules: tuple[dict[str, Any], ...]  # the others, by priority


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Where a listener forwards to: its port, how it asks for health, who is registered."""

    arn: str
    name: str
    port: int
    protocol: str
    health: dict[str, Any]  # path, matcher, interval, timeout, healthy, unhealthy
    attributes: dict[str, str]
    targets: tuple[str, ...]  # instance ids


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """An application load balancer."""

    arn: str
    name: str
    internal: bool
    groups: tuple[str, ...]
    zones: tuple[str, ...]
    attributes: dict[str, str]
    listeners: tuple[Listener, ...]
    tags: Tags


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """An Auto Scaling group, and what it launches: the data of its launch template at the version that it names."""

    name: str
    zones: tuple[str, ...]
    least: int
    most: int
    wanted: int
    target_groups: tuple[str, ...]
    instances: tuple[str, ...]
    template: dict[str, Any]
    health_check: str

    @property
    def user_data(self) -> str:
        """The script that each instance runs at its first boot."""
        with contextlib.suppress(ValueError):
            return base64.b64decode(self.template.get("UserData") or "").decode(errors="replace")
        return str(self.template.get("UserData"))

    @property
    def groups(self) -> tuple[str, ...]:
        """Security groups of its instances."""
        found = list(self.template.get("SecurityGroupIds") or [])
        for interface in self.template.get("NetworkInterfaces") or []:
            found += interface.get("Groups") or []
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of it."""

    balancers: list[LoadBalancer] = field(default_factory=list)
    target_groups: list[TargetGroup] = field(default_factory=list)
    fleets: list[AutoScalingGroup] = field(default_factory=list)
    instances: list[dict[str, Any]] = field(default_factory=list)  # those that are not terminated
    rules: list[Rule] = field(default_factory=list)
    network: str = ""  # of the VPC, as CIDR


def read(endpoint: AwsEndpoint) -> Inventory:
    """Ask the endpoint for everything.

    :raises LabError: when it is gone.
    """
    endpoint.check()
    ec2, elb, asg = (endpoint.client(name) for name in ("ec2", "elbv2", "autoscaling"))
    subnets = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in ec2.describe_subnets()["Subnets"]}
    vpcs = ec2.describe_vpcs()["Vpcs"]
    return Inventory(
        balancers=[_balancer(elb, balancer) for balancer in elb.describe_load_balancers()["LoadBalancers"]],
        target_groups=[_target_group(elb, group) for group in elb.describe_target_groups()["TargetGroups"]],
        fleets=[
            _fleet(ec2, group, subnets) for group in asg.describe_auto_scaling_groups()["AutoScalingGroups"]
        ],
        instances=[
            instance
            for many in ec2.describe_instances()["Reservations"]
            for instance in many["Instances"]
            if instance["State"]["Name"] not in ("terminated", "shutting-down")
        ],
        rules=[_rule(rule) for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]],
        network=next(
            (vpc["CidrBlock"] for vpc in vpcs if vpc.get("IsDefault")), vpcs[0]["CidrBlock"] if vpcs else ""
        ),
    )


def _rule(rule: dict[str, Any]) -> Rule:
    ports = (rule.get("FromPort"), rule.get("ToPort"))
    low, high = (None, None) if rule["IpProtocol"] == "-1" or ports[0] in (None, -1) else ports
    peer = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    return Rule(
        rule["GroupId"],
        rule["IsEgress"],
        rule["IpProtocol"],
        low,
        high,
        rule.get("CidrIpv4") or rule.get("CidrIpv6"),
        peer,
    )


def _balancer(elb: Any, balancer: dict[str, Any]) -> LoadBalancer:
    arn = balancer["LoadBalancerArn"]
    listeners = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    tags = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    return LoadBalancer(
        arn=arn,
        name=balancer["LoadBalancerName"],
        internal=balancer.get("Scheme") == "internal",
        groups=tuple(balancer.get("SecurityGroups") or ()),
        zones=tuple(zone["ZoneName"] for zone in balancer["AvailabilityZones"]),
        attributes=_attributes(elb.describe_load_balancer_attributes(LoadBalancerArn=arn)),
        listeners=tuple(_listener(elb, it) for it in listeners),
        tags={it["Key"]: it["Value"] for it in tags},
    )


def _listener(elb: Any, listener: dict[str, Any]) -> Listener:
    rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    return Listener(
        arn=listener["ListenerArn"],
        port=listener["Port"],
        protocol=listener["Protocol"],
        certificates=tuple(it["CertificateArn"] for it in listener.get("Certificates") or ()),
        actions=tuple(listener["DefaultActions"]),
        rules=tuple(it for it in rules if not it.get("IsDefault")),
    )


def _target_group(elb: Any, group: dict[str, Any]) -> TargetGroup:
    arn = group["TargetGroupArn"]
    health = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return TargetGroup(
        arn=arn,
        name=group["TargetGroupName"],
        port=group.get("Port", 0),
        protocol=group.get("Protocol", ""),
        health={
            "path": group.get("HealthCheckPath", "/"),
            "matcher": (group.get("Matcher") or {}).get("HttpCode", "200"),
            "port": group.get("HealthCheckPort", "traffic-port"),
            "interval": group.get("HealthCheckIntervalSeconds", 30),
            "timeout": group.get("HealthCheckTimeoutSeconds", 5),
            "healthy": group.get("HealthyThresholdCount", 5),
            "unhealthy": group.get("UnhealthyThresholdCount", 2),
        },
        attributes=_attributes(elb.describe_target_group_attributes(TargetGroupArn=arn)),
        targets=tuple(it["Target"]["Id"] for it in health),
    )


def _fleet(ec2: Any, group: dict[str, Any], subnets: dict[str, str]) -> AutoScalingGroup:
    named = [it for it in group.get("VPCZoneIdentifier", "").split(",") if it]
    zones = [subnets[it] for it in named if it in subnets] or group.get("AvailabilityZones") or []
    mixed = ((group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}).get(
        "LaunchTemplateSpecification"
    )
    which = group.get("LaunchTemplate") or mixed
    data: dict[str, Any] = {}
    if which:
        found = ec2.describe_launch_template_versions(
            LaunchTemplateId=which["LaunchTemplateId"], Versions=[str(which.get("Version") or "$Default")]
        )["LaunchTemplateVersions"]
        data = found[0]["LaunchTemplateData"] if found else {}
    return AutoScalingGroup(
        name=group["AutoScalingGroupName"],
        zones=tuple(sorted(set(zones))),
        least=group["MinSize"],
        most=group["MaxSize"],
        wanted=group["DesiredCapacity"],
        target_groups=tuple(group.get("TargetGroupARNs") or ()),
        instances=tuple(it["InstanceId"] for it in group.get("Instances") or ()),
        template=data,
        health_check=group.get("HealthCheckType", "EC2"),
    )


def _attributes(reply: dict[str, Any]) -> dict[str, str]:
    return {attribute["Key"]: attribute["Value"] for attribute in reply["Attributes"]}
