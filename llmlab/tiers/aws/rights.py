"""What the role of an instance may do, by its policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .endpoint import REGION, AwsEndpoint
from .evaluation import decided

#: What conditions are held against.
CONTEXT = {"aws:RequestedRegion": REGION, "aws:SecureTransport": "true"}


def policies(endpoint: AwsEndpoint, profile: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """The policy documents of an instance profile's role, inline and attached; None when there is no such profile or role."""
    if not profile:
        return None
    iam = endpoint.client("iam")
    for candidate in iam.list_instance_profiles()["InstanceProfiles"]:
        if candidate["Arn"] == profile.get("Arn") or candidate["InstanceProfileName"] == profile.get("Name"):
            found: list[dict[str, Any]] = []
            for role in candidate["Roles"]:
                name = role["RoleName"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                    found.append(
                        _plain(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
                    )
                for it in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                    version = iam.get_policy(PolicyArn=it["PolicyArn"])["Policy"]["DefaultVersionId"]
                    got = iam.get_policy_version(PolicyArn=it["PolicyArn"], VersionId=version)
                    found.append(_plain(got["PolicyVersion"]["Document"]))
            return found if candidate["Roles"] else None
    return None


def allowed(documents: Sequence[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether these policies together permit an action on a resource; a denial wins."""
    return decided(documents, action, resource, CONTEXT) == "allowed"


def _plain(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    return found
