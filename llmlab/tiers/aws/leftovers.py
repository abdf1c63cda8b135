"""What is in an account: to tell afterwards what an apply left behind."""

from __future__ import annotations

from .endpoint import AwsEndpoint
from .inventory import read


def live(endpoint: AwsEndpoint, before: set[str]) -> list[str]:
    """What is there now and was not before: kind and name of each. Terminated instances and closed rules count as gone."""
    return sorted(everything(endpoint) - before)


def everything(endpoint: AwsEndpoint) -> set[str]:
    """Kind and name of all that costs money, opens a door or gives a right."""
    ec2, iam = endpoint.client("ec2"), endpoint.client("iam")
    have = read(endpoint)
    found = {f"load balancer {balancer.name}" for balancer in have.balancers}
    found |= {f"target group {group.name}" for group in have.target_groups}
    found |= {f"auto scaling group {fleet.name}" for fleet in have.fleets}
    found |= {f"instance {instance['InstanceId']}" for instance in have.instances}
    found |= {
        f"launch template {template['LaunchTemplateName']}"
        for template in ec2.describe_launch_templates()["LaunchTemplates"]
    }
    found |= {
        f"security group {group['GroupName']}" for group in ec2.describe_security_groups()["SecurityGroups"]
    }
    found |= {f"address {address['PublicIp']}" for address in ec2.describe_addresses()["Addresses"]}
    found |= {
        f"NAT gateway {gateway['NatGatewayId']}"
        for gateway in ec2.describe_nat_gateways()["NatGateways"]
        if gateway["State"] != "deleted"
    }
    found |= {f"VPC {vpc['VpcId']}" for vpc in ec2.describe_vpcs()["Vpcs"]}
    found |= {
        f"role {role['RoleName']}"
        for role in iam.list_roles()["Roles"]
        if not role["Path"].startswith("/aws-service-role/")
    }
    found |= {
        f"instance profile {profile['InstanceProfileName']}"
        for profile in iam.list_instance_profiles()["InstanceProfiles"]
    }
    found |= {f"policy {policy['PolicyName']}" for policy in iam.list_policies(Scope="Local")["Policies"]}
    found |= {f"bucket {bucket['Name']}" for bucket in endpoint.client("s3").list_buckets()["Buckets"]}
    found |= {
        f"secret {secret['Name']}"
        for secret in endpoint.client("secretsmanager").list_secrets()["SecretList"]
    }
    found |= {
        f"certificate {certificate['CertificateArn']}"
        for certificate in endpoint.client("acm").list_certificates()["CertificateSummaryList"]
    }
    groups = endpoint.client("logs").describe_log_groups()["logGroups"]
    return found | {f"log group {group['logGroupName']}" for group in groups}
