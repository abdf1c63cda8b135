"""A lab in miniature for the grader's tests: one server, two answers, seconds instead of minutes."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from llmlab.course.info import LabInfo, read_info

LAB_TOML = """
title = "Two slots"
minutes = 5
objectives = ["count slots"]
needs = ["process"]
artifacts = ["server.toml"]
points = 6

[late]
grace = 10
per_day = 0.1
at_most = 0.5

[grade]
notebook = 40
answer = 4
checks = 40
ready = 4
memory = "700M"
disk = "64M"
processes = 120
"""

CHECKS = '''
from llmlab.checks import Context, Verdict, check, failed, passed


@check(title="It starts", points=1)
def starts(ctx: Context) -> Verdict:
    """Deploy it afresh."""
    server = ctx.server()
    return passed(expected="/health answers 200", observed=f"ready after {server.seconds_to_ready:.2f} s", look=server.command)


@check(title="It works on two requests at once", points=2, needs=("starts",))
def slots(ctx: Context) -> Verdict:
    """Ask /props."""
    found = ctx.server().props()["total_slots"]
    verdict = passed if found == 2 else failed
    return verdict(expected="2 slots", observed=f"{found} slots", look="curl -s .../props", hidden=f"drawn: {ctx.random('x').random()}")


@check(title="You know how many slots there are", points=2, needs=("starts",))
def answer(ctx: Context) -> Verdict:
    """The learner's answer beside what runs."""
    found, said = ctx.server().props()["total_slots"], ctx.answers.get("slots")
    verdict = passed if said == found and not isinstance(said, bool) else failed
    return verdict(expected=f"lab.answer(slots={found})", observed=f"your answer is {said!r}")


@check(title="You have a word for it", points=1)
def word(ctx: Context) -> Verdict:
    """Free text."""
    said = ctx.answers.get("word")
    return (passed if said == "slot" else failed)(expected="lab.answer(word='slot')", observed=f"your answer is {said!r}")
'''

HINTS = "".join(
    f"## {name}\n\n1. A nudge for {name}.\n2. Where to look.\n3. Nearly it.\n\n"
    for name in ("starts", "slots", "answer", "word")
)

GOOD = 'model = "tiny"\n\n[flags]\nparallel = 2\nctx-size = 512\nthreads = 1\n'
#: What the learner's two answer cells say when all is well.
RIGHT = {"answer-slots": "lab.answer(slots=2)", "answer-word": "lab.answer(word='slot')"}


def notebook(**cells: str):
    """The lab's notebook; keywords (dashes as underscores) replace cells."""
    replaced = {name.replace("_", "-"): source for name, source in cells.items()}

    def code(name: str, source: str, *tags: str):
        return new_code_cell(replaced.get(name, source), id=name, metadata={"tags": list(tags)})

    made = new_notebook(
        cells=[
            new_markdown_cell("# Two slots", id="title"),
            code("parameters", "submission = None\nseed = 0", "parameters"),
            code(
                "lab",
                "from llmlab import Lab\nlab = Lab.here('90-tiny', submission=submission, seed=seed)\nlab",
            ),
            code("serve", "server = lab.serve('server.toml')\nserver.props()['total_slots']"),
            code("answer-slots", "lab.answer(slots=None)", "answer"),
            code("answer-word", "lab.answer(word=None)", "answer"),
            code("check", "lab.check()"),
            code("stop", "lab.stop()"),
        ],
        metadata={
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        },
    )
    made.nbformat_minor = 5
    return made


def make(course: Path) -> LabInfo:
    """Write the lab below `course/labs`."""
    folder = course / "labs" / "90-tiny"
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_text(LAB_TOML)
    (folder / "checks.py").write_text(CHECKS)
    (folder / "hints.md").write_text(HINTS)
    (folder / "server.toml").write_text(GOOD.replace("parallel = 2", "parallel = 1"))
    (folder / "lab.ipynb").write_text(nbformat.writes(notebook()))
    return read_info(folder)


def hand_in(folder: Path, *, server: str | None = GOOD, raw: str | None = None, **cells: str) -> Path:
    """One learner's folder: `server.toml`, and `lab.ipynb` with these cells (or `raw` text instead of it)."""
    folder.mkdir(parents=True)
    if server is not None:
        (folder / "server.toml").write_text(server)
    said = {name.replace("-", "_"): source for name, source in RIGHT.items()} | cells
    (folder / "lab.ipynb").write_text(nbformat.writes(notebook(**said)) if raw is None else raw)
    return folder


def document(**cells: str) -> dict:
    """The learner's notebook as plain JSON, to be damaged."""
    said = {name.replace("-", "_"): source for name, source in RIGHT.items()} | cells
    return json.loads(nbformat.writes(notebook(**said)))
