#!/usr/bin/env bash
# moto 5.2.5: a load balancer takes two listeners on one port; AWS answers DuplicateListener.
#
# Behaviour seen: `create_listener` looks for a listener of the same port among the keys of a dictionary whose keys are ARNs, so its own
# check never finds one. A plan that is right in every test applies against AWS only once: the second listener is refused there.
# By the API's reference: "DuplicateListener: A listener with the specified port already exists."
# What to do: compare the ports of the listeners that the balancer has, before the call.
# Output seen:
#   first: HTTP 200
#   second: HTTP 200
#   listeners on port 80: 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q 'moto[ec2,elbv2]==5.2.5' boto3==1.44.8
cat >listeners.py <<'PY'
import boto3
from moto import mock_aws

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
with mock_aws():
    ec2, balancers = boto3.client("ec2", **KEYS), boto3.client("elbv2", **KEYS)
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    (balancer,) = balancers.create_load_balancer(Name="b", Subnets=subnets)["LoadBalancers"]
    for which, status in (("first", "404"), ("second", "403")):
        reply = balancers.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status}}],
        )
        print(f"{which}: HTTP {reply['ResponseMetadata']['HTTPStatusCode']}")
    found = balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    print(f"listeners on port 80: {sum(listener['Port'] == 80 for listener in found)}")
PY
said=$(env/bin/python listeners.py)
echo "$said"
[ "$said" = $'first: HTTP 200\nsecond: HTTP 200\nlisteners on port 80: 2' ]
