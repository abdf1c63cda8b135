"""What `lab.check()` gives back: the result, and what to do next in this lab and in the course."""

from __future__ import annotations

import html
from typing import Any

from ..checks import Outcome, Result
from ..checks.page import bar, first_to_mend, page, stands_in
from ..plain import plain
from . import progress
from .hints import Hint
from .info import LabInfo, all_labs


class Checked:
    """A result, read: the check to work on first with its hint, or at green the next lab. What a `Result` has, it has too.

    :param result: what the checks said.
    :param info: the lab.
    :param complete: whether all its checks were run.
    """

    def __init__(self, result: Result, info: LabInfo, *, complete: bool) -> None:
        self.result, self.info, self.complete = result, info, complete

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Jupyter and copy look for
            raise AttributeError(name)
        return getattr(self.result, name)

    def __getitem__(self, name: str) -> Outcome:
        return self.result[name]

    @property
    def next(self) -> Outcome | None:
        """The check to work on; None when nothing is left to mend."""
        return first_to_mend(self.result)

    def lines(self) -> list[str]:
        """As plain text: the next check on top, what waits and what passed in a line each."""
        result, first = self.result, self.next
        passed = [outcome.check for outcome in result.outcomes if outcome.status == "passed"]
        waiting = [
            outcome.check for outcome in result.outcomes if outcome.status == "skipped" and outcome.waits
        ]
        out = [
            f"Lab {result.lab}: {result.points:g} of {result.max_points:g} points, "
            f"{bar(len(passed), len(result.outcomes))} checks"
        ]
        if first is not None:
            out += [f"Next: {line}" if n == 0 else line for n, line in enumerate(first.lines())]
            if first.status == "failed":
                out.append(
                    f'    hint:     lab.hint("{first.check}"), or in a shell: llmlab hint {self.info.number} {first.check}'
                )
        for outcome in result.outcomes:
            if outcome is not first and outcome.status != "passed" and outcome.check not in waiting:
                out += outcome.lines()
        if waiting:
            out.append(f"– {len(waiting)} more wait for this: {', '.join(waiting)}")
        if passed:
            out.append(f"✔ {len(passed)} passed: {', '.join(passed)}")
        out += stands_in(result)
        return [*out, *(self._green() if result.passed else []), *([self._course()] if self.complete else [])]

    def _green(self) -> list[str]:
        if not self.complete:
            return ["Go on with the next cell."]
        following = next_lab(self.info)
        can = f"You can now: {'; '.join(self.info.objectives)}."
        if following is None:
            return [can, "That was the last lab there is."]
        return [
            can,
            f"Next lab: {following.number} · {following.title} (labs/{following.name}/{following.notebook.name})",
        ]

    def _course(self) -> str:
        done, total = progress.done(self.info.folder.parent.parent)
        return f"The course: {bar(done, total)} labs done"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first = self.next
        hint = ""
        if first is not None and first.status == "failed":
            call = html.escape(f'lab.hint("{first.check}")')
            hint = f'<div style="margin-left:1.4em"><b>hint</b> <code>{call}</code></div>'
        return page(
            self.result,
            artifacts=self.info.artifacts,
            hint=hint,
            green=self._green_html(),
            below=self._below(),
        )

    def _green_html(self) -> str:
        if not self.complete:
            return '<p style="margin:.4em 0">✔ Go on with the next cell.</p>'
        goals = "".join(f"<li>{plain(goal)}</li>" for goal in self.info.objectives)
        following = next_lab(self.info)
        if following is None:
            link = "That was the last lab there is."
        else:
            address = html.escape(f"../{following.name}/{following.notebook.name}")
            link = f'Next lab: <a href="{address}">{following.number} · {plain(following.title)}</a>'
        return f'<p style="margin:.4em 0">✔ You can now:</p><ul style="margin:0">{goals}</ul><p><b>{link}</b></p>'

    def _below(self) -> str:
        if not self.complete:
            return ""
        return f'<p style="margin:.4em 0"><small>{html.escape(self._course())} · <a href="../index.md">all labs</a></small></p>'


class AllPassed(Hint):
    """What `lab.hint()` says when nothing is left to mend.

    :param info: the lab.
    """

    def __init__(self, info: LabInfo) -> None:
        super().__init__("", [], 0)
        self.info = info

    def lines(self) -> list[str]:
        """One sentence, with the next lab."""
        following = next_lab(self.info)
        return [
            "All checks passed." + (f" Next: {following.number} · {following.title}." if following else "")
        ]


def next_lab(info: LabInfo) -> LabInfo | None:
    """The lab that comes after this one, of those that are there: the one its `lab.toml` names, else the next number."""
    labs = all_labs(info.folder.parent.parent)
    named = [lab for lab in labs if lab.name == info.next]
    later = [lab for lab in labs if lab.number > info.number]
    return next(iter([*named, *later]), None)
