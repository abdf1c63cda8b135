"""What differs between a course's sources and its notebooks: nothing, or the gate is closed."""

# mypy: allow-untyped-calls
# (nbformat is only partly annotated)

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..course.info import read_info
from ..errors import LabError
from .build import kept_outputs, learner, solution
from .lint import Drift, lint
from .minutes import FAIR, minutes
from .source import Source, read, sources


def check(course: Path, labs: Sequence[str] | None = None) -> list[Drift]:
    """Everything that keeps the notebooks from being what their sources say; empty when all is well.

    Compares text, tags, ids, metadata and the presence of compared outputs; applies the house rules (`lint`).
    Nothing is executed: whether a stored output is right is nbval's to say.
    """
    out = []
    if labs is None:
        for folder in sorted((course / "labs").glob("*/lab.toml")):
            path = course / "solutions" / folder.parent.name / "lab.py"
            if not path.exists():
                out.append(Drift("this lab has no source", str(path)))
    for path in sources(course, labs):
        try:
            source = read(path)
            outputs = kept_outputs(source)
            built = {source.learner_path: learner(source), source.solution_path: solution(source, outputs)}
        except LabError as error:
            out.append(Drift(error.what + (f" ({error.fix})" if error.fix else ""), error.where or str(path)))
            continue
        for target, text in built.items():
            out += _differences(source, target, text)
        out += [
            Drift(
                f"compare cell {cell.id!r} has no stored output: llmlab author build {source.number}",
                source.where(cell),
            )
            for cell in source.cells
            if "compare" in cell.tags and cell.id not in outputs
        ]
        out += [*lint(source), *_minutes(course, source)]
    return out


def _minutes(course: Path, source: Source) -> list[Drift]:
    """A lab that says it takes less than its steps do."""
    try:
        info = read_info(source.learner_path.parent)
    except LabError:  # whoever opens the lab is told
        return []
    needed = minutes(course, info, source)
    if info.minutes >= FAIR * needed.total:
        return []
    what = f"minutes = {info.minutes}, but its steps take {needed} minutes"
    return [Drift(what, str(info.folder / "lab.toml"))]


def _differences(source: Source, target: Path, text: str) -> list[Drift]:
    import nbformat

    where = str(target)
    if not target.exists():
        return [Drift("not built", where)]
    if target.read_bytes() == text.encode():
        return []
    try:
        found: Any = nbformat.read(target, as_version=nbformat.NO_CONVERT)
        have = {cell["id"]: cell for cell in found.cells}
    except (
        Exception
    ) as error:  # nbformat and json raise many kinds; each means the file is no notebook of ours
        return [Drift(f"not a notebook with cell ids: {str(error).splitlines()[0]}", where)]
    want = {cell.id: cell for cell in nbformat.reads(text, as_version=4).cells}
    lines = {cell.id: cell.line for cell in source.cells}
    out = [
        Drift(f"cell {name!r} is missing (line {lines[name]} of the source)", where)
        for name in want
        if name not in have
    ]
    out += [Drift(f"cell {name!r} is not in the source", where) for name in have if name not in want]
    if not out and list(have) != list(want):
        out.append(Drift("the cells are in another order", where))
    for name in (n for n in want if n in have):
        new, old = want[name], have[name]
        at = f"cell {name!r} (line {lines[name]} of the source)"
        if (old.cell_type, old.source) != (new.cell_type, new.source):
            out.append(Drift(f"{at} has another text", where))
        if old.metadata != new.metadata:
            out.append(Drift(f"{at} has other tags or metadata", where))
        if old.get("outputs", []) != new.get("outputs", []):
            out.append(Drift(f"{at} holds an output", where))
        elif old.get("execution_count") != new.get("execution_count"):
            out.append(Drift(f"{at} holds an execution count", where))
    if found.metadata != nbformat.reads(text, as_version=4).metadata:
        out.append(Drift("the notebook's metadata differ", where))
    return out or [Drift("its bytes differ (formatting)", where)]
