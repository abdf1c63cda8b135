"""What moto 5.2 answers otherwise than AWS, so that a right stack would be red or a wrong one green; mended in the endpoint's process only.

Each gap says what AWS does, and its test (`tests/tiers/aws/test_gaps.py`) shows the difference without the mending.
When moto closes one, its test says so, and the function goes.
"""

from __future__ import annotations

import datetime
import inspect
import json
import threading
import uuid
from typing import Any


def mend() -> None:
    """Mend all of them."""
    for gap in GAPS:
        gap()


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
        kept = [
            specification for specification in asked if specification.get("ResourceType") != "launch-template"
        ]
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
            for service in found:
                if (zones := self._get_param("availabilityZoneRebalancing")) is not None:
                    service.availability_zone_rebalancing = zones
                if (grace := self._get_param("healthCheckGracePeriodSeconds")) is not None:
                    service.health_check_grace_period_seconds = grace
            return reply

        return answer

    for verb, name in (("create_service", "serviceName"), ("update_service", "service")):
        given = getattr(EC2ContainerServiceResponse, verb)
        setattr(EC2ContainerServiceResponse, verb, keeping(given, name))


def creating_twice() -> None:
    """Whoever asks again for the same load balancer, target group or listener gets the one that is there.

    (API reference: "this operation is idempotent"; with other settings it is refused.) moto refuses the same target group, and
    makes a second load balancer of the same name and a second listener on the same port. The provider asks again whenever a
    reply is late, so that a right stack would end in "already exists" on a busy machine.
    """
    from moto.elbv2 import exceptions
    from moto.elbv2.models import ELBv2Backend

    one_at_a_time = threading.RLock()  # the second request may come while the first is being answered

    def twice(name: str, there: Any, refuse: Any) -> None:
        made = getattr(ELBv2Backend, name)
        signature = inspect.signature(made)

        def create(self: Any, *args: Any, **more: Any) -> Any:
            bound = signature.bind(self, *args, **more)
            bound.apply_defaults()
            given = {key: value for key, value in bound.arguments.items() if key != "self"}
            asked = json.dumps(given, sort_keys=True, default=str)
            with one_at_a_time:
                for resource in there(self, given):
                    if getattr(resource, "as_asked_for", None) == asked:
                        return resource
                    raise refuse()
                new = made(self, *args, **more)
                new.as_asked_for = asked
                return new

        setattr(ELBv2Backend, name, create)

    def changed(name: str, kept: Any) -> None:
        modify = getattr(ELBv2Backend, name)

        def forget(self: Any, arn: str, *args: Any, **more: Any) -> Any:
            with one_at_a_time:
                for resource in kept(self):
                    if resource.arn == arn:
                        resource.as_asked_for = None  # its settings are no longer those
                return modify(self, arn, *args, **more)

        setattr(ELBv2Backend, name, forget)

    def listeners(self: Any) -> list[Any]:
        return [
            listener for balancer in self.load_balancers.values() for listener in balancer.listeners.values()
        ]

    twice(
        "create_load_balancer",
        lambda self, given: [
            balancer for balancer in self.load_balancers.values() if balancer.name == given["name"]
        ],
        exceptions.DuplicateLoadBalancerName,
    )
    twice(
        "create_target_group",
        lambda self, given: [group for group in self.target_groups.values() if group.name == given["name"]],
        exceptions.DuplicateTargetGroupName,
    )
    twice(
        "create_listener",
        lambda self, given: [
            listener
            for listener in listeners(self)
            if listener.load_balancer_arn == given["load_balancer_arn"]
            and str(listener.port) == str(given["port"])
        ],
        exceptions.DuplicateListenerError,
    )
    changed("modify_target_group", lambda self: self.target_groups.values())
    changed("modify_listener", listeners)


def targets_that_nobody_asks() -> None:
    """A target is `unused` until a listener forwards to its group (moto calls it healthy at once).

    A group that waits for healthy targets (`min_elb_capacity`) before the listener may be made waits for ever, on AWS too.
    """
    from moto.elbv2.models import ELBv2Backend, FakeHealthStatus

    described = ELBv2Backend.describe_target_health

    def describe_target_health(self: Any, target_group_arn: str, targets: Any) -> Any:
        found = described(self, target_group_arn, targets)
        if self._any_listener_using(target_group_arn):
            return found
        why = "Target group is not configured to receive traffic from the load balancer"
        return [
            FakeHealthStatus(
                health.instance_id, health.port, health.health_check_port, "unused", "Target.NotInUse", why
            )
            if health.status == "healthy"
            else health
            for health in found
        ]

    setattr(ELBv2Backend, "describe_target_health", describe_target_health)  # noqa: B010


def instance_refreshes() -> None:
    """A changed template of a group with an `instance_refresh` replaces what runs; it is done at once (moto knows no such call)."""
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def start_instance_refresh(self: Any) -> Any:
        backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
        group = backend.autoscaling_groups[name]
        old = [state.instance.id for state in group.instance_states]
        if old:
            backend.elbv2_backend.notify_terminate_instances(old)
            backend.ec2_backend.terminate_instances(old)
        group.instance_states = []
        group.set_desired_capacity(group.desired_capacity)
        done = getattr(group, "refreshes", [])
        now = datetime.datetime.now(datetime.UTC)
        done.insert(
            0,
            {
                "InstanceRefreshId": str(uuid.uuid4()),
                "AutoScalingGroupName": name,
                "Status": "Successful",
                "PercentageComplete": 100,
                "StartTime": now,
                "EndTime": now,
            },
        )
        group.refreshes = done
        return ActionResult({"InstanceRefreshId": done[0]["InstanceRefreshId"]})

    def describe_instance_refreshes(self: Any) -> Any:
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        asked = self._get_param("InstanceRefreshIds", [])
        found = getattr(group, "refreshes", [])
        return ActionResult(
            {
                "InstanceRefreshes": [
                    refresh for refresh in found if not asked or refresh["InstanceRefreshId"] in asked
                ]
            }
        )

    setattr(AutoScalingResponse, "start_instance_refresh", start_instance_refresh)  # noqa: B010
    setattr(AutoScalingResponse, "describe_instance_refreshes", describe_instance_refreshes)  # noqa: B010


def replacements_become_targets() -> None:
    """What an Auto Scaling group starts in place of a terminated instance is registered with its target groups, and what ended is gone
    from them (moto does neither where the instance was terminated by hand and no longer asks for the group's targets).
    """
    from moto.autoscaling.models import AutoScalingBackend

    notified = AutoScalingBackend.notify_terminate_instances

    def notify_terminate_instances(self: Any, instance_ids: list[str]) -> None:
        ended = set(instance_ids)
        concerned = [
            name
            for name, group in self.autoscaling_groups.items()
            if ended & {state.instance.id for state in group.instance_states}
        ]
        notified(self, instance_ids)
        for name in concerned:
            self.elbv2_backend.notify_terminate_instances(instance_ids)
            self.update_attached_target_groups(name)

    setattr(AutoScalingBackend, "notify_terminate_instances", notify_terminate_instances)  # noqa: B010


def user_data_of_a_second_version() -> None:
    """A second version of a launch template can be launched (moto fails at its user data, and the provider asks for minutes)."""
    from moto.ec2.models.launch_templates import LaunchTemplate
    from moto.ec2.utils import parse_user_data

    made = LaunchTemplate.create_version

    def create_version(self: Any, data: dict[str, Any], description: str) -> Any:
        if isinstance(data.get("UserData"), (str, bytes)):  # as the request gave it
            data = data | {"UserData": parse_user_data(data["UserData"])}
        return made(self, data, description)

    setattr(LaunchTemplate, "create_version", create_version)  # noqa: B010


GAPS = (
    rule_descriptions,
    tags_of_a_launch_template,
    tracking_policies,
    what_a_service_was_asked_for,
    creating_twice,
    targets_that_nobody_asks,
    instance_refreshes,
    replacements_become_targets,
    user_data_of_a_second_version,
)
