"""What moto 5.2 answers otherwise than AWS, so that a second plan would not be empty; mended in the endpoint's process only.

Each gap says what AWS does, and its test (`tests/platforms/cloud/test_gaps.py`) shows the difference without the mending.
When moto closes one, its test says so, and the function goes.
"""

from __future__ import annotations

from typing import Any


def mend() -> None:
    """Mend all of them."""
    for one in GAPS:
        one()


def rule_descriptions() -> None:
    """A rule that names a security group keeps its description (moto looks for it only where an address range is)."""
    from moto.ec2.models.security_groups import SecurityGroupRule

    def description(self: Any) -> str | None:
        return self.ip_range.get("Description") or (self.source_group or {}).get("Description")

    setattr(SecurityGroupRule, "description", property(description))  # noqa: B010


def tags_of_a_launch_template() -> None:
    """Tags of the template itself are no part of what it launches (moto lists them among its data as well)."""
    from moto.ec2.models.launch_templates import LaunchTemplateBackend

    made = LaunchTemplateBackend.create_launch_template

    def create_launch_template(
        self: Any, name: str, description: str, template_data: dict[str, Any], tag_spec: dict[str, Any]
    ) -> Any:
        asked = template_data.pop("TagSpecifications", [])
        kept = [one for one in asked if one.get("ResourceType") != "launch-template"]
        if kept:
            template_data["TagSpecifications"] = kept
        return made(self, name, description, template_data, tag_spec)

    setattr(LaunchTemplateBackend, "create_launch_template", create_launch_template)  # noqa: B010


GAPS = (rule_descriptions, tags_of_a_launch_template)
