"""What the role of an instance may do: its policies, asked with moto's own evaluation of IAM policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .endpoint import AwsEndpoint


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
    from moto.iam.access_control import IAMPolicy, PermissionResult

    said = [IAMPolicy(json.dumps(document)).is_action_permitted(action, resource) for document in documents]
    return PermissionResult.DENIED not in said and PermissionResult.PERMITTED in said


def _plain(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document) if isinstance(document, str) else document
    return found
