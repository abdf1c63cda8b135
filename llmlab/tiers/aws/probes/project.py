"""A learner's Terraform project in a check: applied to an account of the grader's, read back, mutated, drifted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ....checks.check import Context, DeploymentFailed
from ....checks.fixture import fixture
from .. import blocks, inventory, leftovers, way
from ..account import Account
from ..endpoint import AwsEndpoint
from ..events import Step
from ..inventory import Inventory
from ..terraform import Terraform
from ..way import Way

NAMES = ("domain", "model_bucket", "model", "secret")
LONGEST = 120  # seconds, for the apply


@dataclass
class Stack:
    """What was applied, and what had been in the account before."""

    endpoint: AwsEndpoint
    account: Account
    project: Terraform
    variables: dict[str, Any]
    before: set[str]
    steps: list[Step]
    have: Inventory

    def way(self) -> Way:
        """From the HTTPS listener to the servers.

        :raises DeploymentFailed: where there is none.
        """
        found = way.find(self.have, self.account.domain)
        if found is None:
            raise DeploymentFailed(way.nowhere(self.have, self.account.domain, self.where))
        return found

    def where(self, arn: str) -> str:
        """File and line at which what has this ARN is written; empty where that is not known."""
        return self.project.where(arn)


@fixture(ours=True)
def furnished(ctx: Context) -> Iterator[tuple[AwsEndpoint, Account]]:
    """An AWS of its own, and an account in it whose names are new."""
    word = f"{ctx.random('account').getrandbits(24):06x}"
    with AwsEndpoint() as endpoint:
        yield (
            endpoint,
            Account.furnish(
                endpoint,
                domain=f"llm-{word}.example.com",
                bucket=f"models-{word}",
                secret=f"llama-key-{word}",
            ),
        )


@fixture
def project(ctx: Context) -> Iterator[tuple[Terraform, Account, dict[str, Any]]]:
    """The learner's files beside that account, and the values of their variables."""
    endpoint, account = furnished(ctx)
    values = (account.domain, account.bucket, account.model, account.secret)
    with Terraform(ctx.files, endpoint, say=ctx.say) as found:
        yield found, account, dict(zip(NAMES, values, strict=True)) | {"longest_reply": LONGEST}


@fixture
def planned(ctx: Context) -> dict[str, Any]:
    """A plan for the account as it was furnished."""
    found, _, variables = project(ctx)
    return found.plan(variables, say=ctx.say)


@fixture(ours=True)
def stack(ctx: Context) -> Stack:
    """All of it applied."""
    found, account, variables = project(ctx)
    assert found.endpoint is not None
    before = leftovers.everything(found.endpoint)
    planned(ctx)  # what a program runs is refused before it runs
    with ctx.deploying():
        steps = found.apply(variables, say=ctx.say)
    return Stack(found.endpoint, account, found, variables, before, steps, inventory.read(found.endpoint))


def values(plan: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The planned attributes of every resource of a type, in modules too."""
    return [resource["values"] for resource in resources(plan, kind)]


def resources(plan: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Every planned resource of a type, in modules too: its `type`, `name`, `address` and `values`."""
    return [
        resource
        for resource in _all(plan["planned_values"].get("root_module", {}))
        if blocks.spelt(resource["type"]) == kind and resource["mode"] == "managed"
    ]


def _all(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _all(child)


def written(plan: Mapping[str, Any], kind: str) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    """Where a type is written: the folder of its module, and its configuration (name, expressions with references)."""
    yield from _written(plan["configuration"].get("root_module", {}), kind, PurePosixPath("."))


def _written(
    module: Mapping[str, Any], kind: str, at: PurePosixPath
) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    for resource in module.get("resources", []):
        if blocks.spelt(resource["type"]) == kind and resource["mode"] == "managed":
            yield at, resource
    for call in (module.get("module_calls") or {}).values():
        source = str(call.get("source", ""))
        if source.startswith("."):
            yield from _written(call.get("module", {}), kind, at / source)


#: What a test of the learner's has to notice: a type, what is laid over it, and what that does.
MUTANTS = {
    "session tokens are optional (IMDSv1)": (
        "aws_launch_template",
        'metadata_options {\n    http_tokens = "optional"\n  }',
    ),
    "the load balancer hangs up after 60 s": ("aws_lb", "idle_timeout = 60"),
    "the health check asks for /": ("aws_lb_target_group", 'health_check {\n    path = "/"\n  }'),
}


def mutants(plan: Mapping[str, Any]) -> dict[str, dict[str, str] | None]:
    """For each mutant the override files that make it, by path; None where the stack has no such resource."""
    found: dict[str, dict[str, str] | None] = {}
    for name, (kind, body) in MUTANTS.items():
        files: dict[str, str] = {}
        for folder, resource in written(plan, kind):
            path = str(folder / "llmlab_override.tf")
            files[path] = (
                files.get(path, "") + f'resource "{resource["type"]}" "{resource["name"]}" {{\n  {body}\n}}\n'
            )
        found[name] = files or None
    return found


def references(plan: Mapping[str, Any], kind: str, key: str) -> list[str]:
    """What an argument of a type refers to, as it is written."""
    return [
        word
        for _, resource in written(plan, kind)
        for word in (resource.get("expressions", {}).get(key) or {}).get("references", [])
    ]
