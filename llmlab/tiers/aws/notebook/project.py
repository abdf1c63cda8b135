"""A Terraform project as a notebook handles it: `infra = lab.terraform()`, `infra.quick()`, `infra.apply()`, `infra.reach().plot()`.

What Terraform refuses is shown, not raised, so that the cells after it still run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ....course import journal
from ....errors import LabError
from ....plain import plain
from ....records.schema import Cell
from ....show.bars import steps_bar
from ....show.bench import alone
from ....show.face import Face
from ....show.kept import keep
from ....show.shown import Drawn, Said, Shown, shown
from .. import blocks, figures, inventory, leftovers, reach, resources, rights, way
from ..account import Account
from ..endpoint import AwsEndpoint
from ..events import Step
from ..inventory import Inventory
from ..probes.door import Front
from ..probes.first_boot import Booted, FirstBoot, family
from ..probes.project import mutants
from ..terraform import Terraform
from ..way import Way
from .door import LiveFront
from .tables import billed, listed, permitted

if TYPE_CHECKING:
    from ....show.bench import Bench
    from .longest import Longest

#: What `infra.quick()` runs, and what a cell of a table says of it.
QUICK = ("fmt", "validate", "test", "plan")


class LiveInfra(Face, what="The local AWS", again="infra = lab.terraform()", works=["longest", "cost"]):
    """Terraform beside a local AWS, whose account holds a certificate, a bucket and a secret. It ends with `lab.stop()` and the kernel.

    :raises LabError: when neither Terraform nor OpenTofu is here, or the AWS provider is not.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveInfra)
        self.lab = lab  # whose files are applied
        with steps_bar("step") as say:
            say("starting a local AWS")
            self.endpoint = AwsEndpoint()  # the local AWS
            try:
                self.account = Account.furnish(self.endpoint)  # what lies in it, by name
                #: The learner's files, and the tool.
                self.project = Terraform(lab.files, self.endpoint, say=say)
                self.before = leftovers.everything(self.endpoint)  # what was in the account before
            except BaseException:
                self.endpoint.close()
                raise
        self.machine: FirstBoot | None = None  # what `boot()` has booted
        self.live: LiveFront | None = None  # what `front()` has opened

    # -- in seconds, without the cloud -----------------------------------------------------------------

    @shown
    def validate(self) -> Said:
        """`terraform validate` of the files as they are now."""
        self.project.refresh()
        return Said(
            [str(problem) for problem in self.project.validate()] or ["Success! The configuration is valid."]
        )

    @shown
    def graph(self) -> Drawn:
        """What refers to what, and what nobody declared."""
        self.project.refresh()
        objections = self.project.validate()
        found = resources.graph(self.project.graph(), objections)
        rows: list[list[Cell]] = [[node, "", int(node in found.missing)] for node in found.nodes]
        rows += [[edge, to, int(to in found.missing)] for edge, to in found.edges]
        table, _ = keep(
            self.lab,
            "resources",
            {"from": "address", "to": "address it refers to", "missing": "not declared"},
            rows,
        )
        lines = [f"{len(found.nodes)} resources, {len(found.edges)} references"]
        return Drawn(
            table,
            figures.resources,
            lines + [f"not declared: {name}" for name in found.missing],
            {"not declared": len(found.missing)},
        )

    @shown
    def quick(self) -> Shown:
        """Format, validate, your tests, a plan: the loop to repeat while you write. The seconds each took stand beside it."""
        self.project.refresh()
        steps: dict[str, Callable[[], str]] = {
            "fmt": lambda: self._ugly() or "as it should be",
            "validate": lambda: "; ".join(map(str, self.project.validate()[:3])) or "no objection",
            "test": self._tested,
            "plan": lambda: f"{len(self.project.changes())} resources to change",
        }
        rows, began = [], time.monotonic()
        with steps_bar("step") as say:
            for name in QUICK:
                say(f"terraform {name}")
                at = time.monotonic()
                try:
                    said = steps[name]()
                except LabError as error:
                    said = error.what
                rows.append((name, said, f"{time.monotonic() - at:.1f} s"))
        return Shown(rows, [f"{time.monotonic() - began:.0f} s in all"], ("terraform", "", "took"))

    def _ugly(self) -> str:
        found = self.project.unformatted()
        return f"would change {', '.join(found)}" if found else ""

    def _tested(self) -> str:
        found = self.project.test()
        words = [f"{name.partition(': ')[2]}: {run}" for name, run in found.runs.items()]
        return "; ".join(words + [str(error) for error in found.errors[:2]]) or "there is no test"

    @shown
    def mutants(self) -> Shown:
        """Your tests, on three stacks in which one thing is broken: whether they notice."""
        self.project.refresh()
        rows = []
        with steps_bar("stack") as say:
            for name, files in mutants(self.project.plan()).items():
                say(name)
                found = self.project.test(files) if files else None
                rows.append(
                    (
                        name,
                        "no such resource" if found is None else "noticed" if found.caught else "not noticed",
                        "",
                    )
                )
        return Shown(rows, [], ("broken", "your tests", ""))

    # -- against the local AWS -------------------------------------------------------------------------

    @shown
    def apply(self, **variables: Any) -> Drawn:
        """`terraform apply`: how long each resource took."""
        self.project.refresh()
        with steps_bar("resource") as say:
            steps = [step for step in self.project.apply(variables, say=say) if step.action != "read"]
        rows: list[list[Cell]] = [[step.address, step.action, step.begin, step.end] for step in steps]
        table, _ = keep(
            self.lab, "apply", {"address": "resource", "action": "what", "from": "s", "to": "s"}, rows
        )
        last = max((step.end or 0 for step in steps), default=0)
        return Drawn(
            table,
            figures.applying,
            [f"{len(steps)} resources in {last:.0f} s", *self.project.state()],
            {"slowest": slowest(steps)},
        )

    @shown
    def replan(self, **variables: Any) -> Said:
        """Another plan: empty when what is there is what is written."""
        self.project.refresh()
        with steps_bar("step"):
            left = self.project.changes(variables)
        return Said(
            [f"would change {address}" for address in left]
            or ["No changes. Your infrastructure matches the configuration."]
        )

    def _way(self) -> tuple[Inventory, Way]:
        have = inventory.read(self.endpoint)
        found = way.find(have, self.account.domain)
        if found is None:
            said = way.nowhere(have, self.account.domain, self.project.where)
            raise LabError(
                f"There is no way from an HTTPS listener to an Auto Scaling group yet: {said}.",
                fix="infra.have() shows what there is",
            )
        return have, found

    @shown
    def have(self) -> Shown:
        """What was created, read back: listeners with their rules, target groups, groups of instances; and what does not arrive."""
        have = inventory.read(self.endpoint)
        found = way.find(have, self.account.domain)
        notes = [
            f"does not arrive: {lost.words(self.project.where)}" for lost in (found.lost if found else ())
        ]
        return Shown(listed(have), notes, ("what", "name", ""))

    @shown
    def reach(self) -> Drawn:
        """Who reaches whom at which ports."""
        have, found = self._way()
        rows: list[list[Cell]] = [
            [cell.source, cell.to, cell.words(), int(reach.meant(cell, found.balancer, found.group.port))]
            for cell in reach.matrix(have, found.balancer, found.fleet)
        ]
        table, _ = keep(
            self.lab,
            "reachability",
            {"source": "who", "to": "whom", "ports": "TCP ports", "meant": "as it should be"},
            rows,
        )
        return Drawn(
            table,
            figures.reachability,
            [f"{row[0]} → {row[1]}: {row[2]}{'' if row[3] else '  ✗'}" for row in rows],
        )

    @shown
    def rights(self) -> Shown:
        """What the role of an instance may do, from its policies."""
        fleet = self._way()[1].fleet
        documents = rights.policies(self.endpoint, fleet.template.get("IamInstanceProfile"))
        if documents is None:
            raise LabError("The instances have no profile with a role: they may do nothing.")
        return Shown(permitted(documents), [], ("", "action", "on"))

    @shown
    def bill(self) -> Shown:
        """What an hour of it would cost on AWS, by a dated table."""
        return billed(inventory.read(self.endpoint))

    # -- and then used ---------------------------------------------------------------------------------

    @shown
    def boot(self) -> Shown:
        """The user data of the launch template, run twice on a machine of ours: what it called, and what the second run changed."""
        seen = self._boot()
        rows = [("first run", " ".join(call)[:150], "") for call in seen.calls[0]]
        rows += [
            ("second run", " ".join(call)[:150], "")
            for call in (seen.calls[1] if len(seen.calls) > 1 else ())
        ]
        notes = []
        for name, run in (("first", seen.first), ("second", seen.second)):
            if run is not None and run.problem is not None:
                notes += [f"The {name} run failed:", *run.problem.lines()]
        changed = [*seen.changed, *(f"{address} fetched again" for address in seen.again)]
        if seen.second is not None:
            notes.append("the second run changed " + (", ".join(changed) if changed else "nothing"))
        return Shown(rows, notes, ("", "call", ""))

    def _boot(self) -> Booted:
        from ...docker.images import ensure

        fleet = self._way()[1].fleet
        if self.machine is not None:
            self.machine.close()
        with steps_bar("step") as say:
            ensure(self.lab.info.images.get("docker", ()), say=say)
            say("booting a machine")
            self.machine = FirstBoot(
                self.account, family=family(self.endpoint, fleet.template.get("ImageId"))
            )
            say("running the user data, twice")
            return self.machine.run(fleet.user_data)

    @shown
    def front(self) -> LiveFront:
        """The door, as HAProxy would be it, in front of what the user data starts."""
        have, found = self._way()
        seen = self._boot()
        if seen.first.problem is not None:
            raise seen.first.problem
        if not seen.containers or self.machine is None:
            raise LabError(
                "The user data started no container.",
                where="user-data.sh",
                fix="infra.boot() shows what it called",
            )
        if self.live is not None:
            self.live.close()
        self.live = LiveFront(
            Front(have, found.balancer, self.account, self.machine, seen.containers[0]),
            found.listener.port,
            self.account,
        )
        return self.live

    def longest(self, tokens: int = 2048) -> Longest:
        """How long the longest reply takes with every slot busy, measured on a server here."""
        from .longest import longest

        return longest(self.lab, tokens)

    @shown
    def cost(self, measured: Longest) -> Drawn:
        """Dollars for a million tokens by machine and by how busy it is."""
        from .longest import cost

        table, lines = cost(self.lab, measured)
        return Drawn(table, figures.per_million, lines)

    @shown
    def by_hand(self) -> Said:
        """What somebody changes at three in the morning: the health check, and port 22. Then a plan."""
        found = self._way()[1]
        self.endpoint.client("elbv2").modify_target_group(
            TargetGroupArn=found.group.arn, HealthCheckPath="/by-hand"
        )
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.endpoint.client("ec2").authorize_security_group_ingress(
            GroupId=found.fleet.groups[0], IpPermissions=[rule]
        )
        with steps_bar("step"):
            left = self.project.changes()
        changed = {"the health check": "aws_lb_target_group", "port 22": "aws_security_group"}
        seen = [what for what, kind in changed.items() if any(_kind(address) == kind for address in left)]
        journal.note(
            self.lab.files,
            "incident",
            done="changed by hand: the health check, port 22",
            observed=f"the plan shows {' and '.join(seen) or 'nothing'}",
        )
        return Said(
            [
                "changed by hand: the health check's path; port 22 of the servers, open to everybody",
                "the plan:",
            ]
            + ([f"  would change {address}" for address in left] or ["  No changes."]),
            {"the plan shows": " and ".join(seen) or "nothing"},
        )

    @shown
    def destroy(self) -> Said:
        """`terraform destroy`, and what is left."""
        with steps_bar("resource") as say:
            self.project.destroy(say=say)
        left = leftovers.live(self.endpoint, self.before)
        return Said([f"left: {name}" for name in left] or ["nothing is left that was not there before"])

    def close(self) -> None:
        """End it; may be called twice."""
        for resource in (self.live, self.machine, self.project, self.endpoint):
            if resource is not None:
                resource.close()

    def _lines(self) -> list[str]:
        return [
            f"{self.project.version()} with the AWS provider, against a local AWS on {self.endpoint.url}",
            "emulated: moto stands in for AWS; no packet flows, and nothing is billed",
            f"the account holds a certificate for {self.account.domain}, the bucket {self.account.bucket} with {self.account.model}, "
            f"the secret {self.account.secret}",
        ]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "".join(f"<p>{plain(line)}</p>" for line in self._lines())


def slowest(steps: Sequence[Step]) -> str | None:
    """The type of the resource that took longest, e.g. `aws_lb`; None where nothing was done."""
    found = max(steps, key=lambda step: (step.end or step.begin) - step.begin, default=None)
    return None if found is None else _kind(found.address)


def _kind(address: str) -> str:
    """The type of a resource by its address: `aws_lb` of `module.door.aws_lb.server[0]`."""
    return blocks.spelt(re.sub(r"\[[^]]*\]", "", address).split(".")[-2])
