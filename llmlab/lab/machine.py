"""What this machine can do: tables a notebook shows."""

from __future__ import annotations

from ..show.shown import Shown


class Quotas:
    """What can hold a process to a quota here. `cpus`: the quotas a sweep can use (None: no quota)."""

    def __init__(self) -> None:
        from ..machine import cpus_allowed
        from ..serve.limits import available

        self.limiters = available()  # what can hold a process to a quota here
        self.cpus: list[float | None] = []  # the quotas that a sweep can use; None: no quota
        if "fractional-cpus" in self.limiters:
            self.cpus.append(0.5)
        if "whole-cpus" in self.limiters:
            self.cpus.append(1.0)
        if cpus_allowed() > 1 or not self.cpus:
            self.cpus.append(None)

    def __repr__(self) -> str:
        lines = [
            f"{what.replace('-', ' ')}: {self.limiters.get(what, 'nothing on this machine')}"
            for what in ("fractional-cpus", "whole-cpus", "memory")
        ]
        shown = ", ".join("no quota" if quota is None else f"{quota:g} CPUs" for quota in self.cpus)
        return "\n".join([*lines, f"a sweep here measures: {shown}"])


def describe_machine() -> Shown:
    """The doctor's report for a notebook."""
    from .. import doctor

    report = doctor.report()
    rows = [
        (f"{'✔' if need['met'] else '–'} {need['name']}", need["detail"], "" if need["met"] else need["mend"])
        for need in report["needs"]
    ]
    machine = report["machine"]
    note = f"{machine['line']}, {machine['system']}, profile {machine['profile']}"
    return Shown(rows, [note], ("need", "found", "to bring it"))
