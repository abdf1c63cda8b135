"""The learner's answers: what `lab.answer(...)` kept, and what the notebook's answer cells say.

Both count, the newer one first, so that a notebook that is only copied or handed in says as much as one that was run.
A cell is read as literals, never executed.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from ..course.progress import read_json
from .cells import cells_of
from .entry import Refused

MAX_NOTEBOOK = 32 << 20  # bytes


def from_notebook(path: Path) -> dict[str, Any]:
    """Keyword arguments of every `lab.answer(...)` in the cells tagged `answer`; those that are no literals are left out.

    Where a tool has lost all tags (Colab), in every code cell.
    """
    try:
        if path.stat().st_size > MAX_NOTEBOOK:
            return {}
        cells, _ = cells_of(path.read_bytes())
    except (OSError, Refused):
        return {}
    found: dict[str, Any] = {}
    for cell in [cell for cell in cells if cell.answer] or cells:
        if cell.cell_type == "code":
            found |= from_source(cell.text)
    return found


def from_source(source: str) -> dict[str, Any]:
    """Keyword arguments of every `lab.answer(...)` in one cell that are literals."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "answer":
            for keyword in node.keywords:
                try:
                    value = ast.literal_eval(keyword.value)
                except (ValueError, RecursionError, MemoryError):
                    continue
                if keyword.arg and value is not None:
                    found[keyword.arg] = value
    return found


def asked(source: str, *, filled: bool = False) -> set[str]:
    """Names of the keyword arguments of every `lab.answer(...)` in one cell, with whatever value; `filled`: not None."""
    lines = (line if line.lstrip()[:1] not in ("%", "!") else "" for line in source.splitlines())
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        keyword.arg
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "answer"
        for keyword in call.keywords
        if keyword.arg
        and not (filled and isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
    }


def answers(kept: Path, *notebooks: Path) -> dict[str, Any]:
    """All answers; where several files have one, that of the file written last."""
    given = [(kept, read_json(kept)), *((notebook, from_notebook(notebook)) for notebook in notebooks)]
    given = [(path, found) for path, found in given if found]
    given.sort(key=lambda pair: pair[0].stat().st_mtime_ns)
    merged: dict[str, Any] = {}
    for _, found in given:
        merged |= found
    return merged
