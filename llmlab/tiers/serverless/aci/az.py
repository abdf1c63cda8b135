"""The program `az` itself, where it is on PATH: asked what it refuses of a script, nobody logged in."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from ..validators import AzCommands, Problem
from .script import Script


def with_az(script: Script) -> tuple[Problem, ...]:
    """The script's problems and what `az` itself refuses of it, where it is on PATH: its word is taken for a line that both refuse.

    It is given the words as a shell would fill them in, nobody logged in; nothing is asked of Azure.
    """
    az = AzCommands()
    if az.lacks():
        return script.problems
    rows: dict[int, str] = {}
    for line in script.az:
        if any(word.unknown for word in line.words):
            continue  # az would take what only a run could tell for a value
        rows[int(line.where.rpartition(":")[2])] = shlex.join(
            " ".join(word.split("\n")) for word in line.words
        )
    if not rows:
        return script.problems
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / script.az[0].where.rpartition(":")[0]
        filled.write_text("".join(f"{rows.get(number, '')}\n" for number in range(1, max(rows) + 1)))
        said = az.problems(filled)
    lines = {problem.where for problem in said}
    return (*said, *(problem for problem in script.problems if problem.where not in lines))
