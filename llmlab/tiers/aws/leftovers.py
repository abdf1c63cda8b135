"""What is in an account: to tell afterwards what an apply left behind."""

from __future__ import annotations

from .endpoint import Endpoint
from .inventory import read


def live(endpoint: Endpoint, before: set[str]) -> list[str]:
    """What is there now and was not before: kind and name of each. Terminated instances and closed rules count as gone."""
    return sorted(everything(endpoint) - before)


def everything(endpoint: Endpoint) -> set[str]:
    """Kind and name of all that costs money, opens a door or gives a right."""
    ec2, iam = endpoint.client("ec2"), endpoint.client("iam")
    have = read(endpoint)
    found = {f"load balancer {one.name}" for one in have.balancers}
    found |= {f"target group {one.name}" for one in have.target_groups}
    found |= {f"auto scaling group {one.name}" for one in have.fleets}
    found |= {f"instance {one['InstanceId']}" for one in have.instances}
    found |= {
        f"launch template {one['LaunchTemplateName']}"
        for one in ec2.describe_launch_templates()["LaunchTemplates"]
    }
    found |= {
        f"security group {one['GroupName']}" for one in ec2.describe_security_groups()["SecurityGroups"]
    }
    found |= {f"address {one['PublicIp']}" for one in ec2.describe_addresses()["Addresses"]}
    found |= {
        f"NAT gateway {one['NatGatewayId']}"
        for one in ec2.describe_nat_gateways()["NatGateways"]
        if one["State"] != "deleted"
    }
    found |= {f"VPC {one['VpcId']}" for one in ec2.describe_vpcs()["Vpcs"]}
    found |= {
        f"role {one['RoleName']}"
        for one in iam.list_roles()["Roles"]
        if not one["Path"].startswith("/aws-service-role/")
    }
    found |= {
        f"instance profile {one['InstanceProfileName']}"
        for one in iam.list_instance_profiles()["InstanceProfiles"]
    }
    found |= {f"policy {one['PolicyName']}" for one in iam.list_policies(Scope="Local")["Policies"]}
    found |= {f"bucket {one['Name']}" for one in endpoint.client("s3").list_buckets()["Buckets"]}
    found |= {
        f"secret {one['Name']}" for one in endpoint.client("secretsmanager").list_secrets()["SecretList"]
    }
    found |= {
        f"certificate {one['CertificateArn']}"
        for one in endpoint.client("acm").list_certificates()["CertificateSummaryList"]
    }
    groups = endpoint.client("logs").describe_log_groups()["logGroups"]
    return found | {f"log group {one['logGroupName']}" for one in groups}
