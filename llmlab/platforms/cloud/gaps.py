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


def tracking_policies() -> None:
    """A scaling policy is enabled, and one that tracks a target has no predictive part (moto says neither)."""
    from moto.autoscaling.models import FakeScalingPolicy

    setattr(FakeScalingPolicy, "enabled", True)  # noqa: B010
    given = FakeScalingPolicy.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        given(self, *args, **more)
        self.predictive_scaling_configuration = self.predictive_scaling_configuration or None

    setattr(FakeScalingPolicy, "__init__", init)  # noqa: B010


def what_a_service_was_asked_for() -> None:
    """An ECS service keeps its grace period and how it spreads over zones (moto forgets both)."""
    from moto.ecs.models import Service
    from moto.ecs.responses import EC2ContainerServiceResponse

    setattr(Service, "availability_zone_rebalancing", "DISABLED")  # noqa: B010
    setattr(Service, "health_check_grace_period_seconds", None)  # noqa: B010

    def keeping(given: Any, name: str) -> Any:
        def answer(self: Any) -> Any:
            reply = given(self)
            found, _ = self.ecs_backend.describe_services(
                self._get_param("cluster", "default"), [self._get_param(name)]
            )
            for one in found:
                if (zones := self._get_param("availabilityZoneRebalancing")) is not None:
                    one.availability_zone_rebalancing = zones
                if (grace := self._get_param("healthCheckGracePeriodSeconds")) is not None:
                    one.health_check_grace_period_seconds = grace
            return reply

        return answer

    for verb, name in (("create_service", "serviceName"), ("update_service", "service")):
        given = getattr(EC2ContainerServiceResponse, verb)
        setattr(EC2ContainerServiceResponse, verb, keeping(given, name))


GAPS = (rule_descriptions, tags_of_a_launch_template, tracking_policies, what_a_service_was_asked_for)
