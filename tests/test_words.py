"""The names in the code: what a loop goes over has a noun of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _trees(*folders: str, where: str = "") -> Iterator[tuple[str, ast.Module]]:
    """The files below some folders; `where` their text has something like this."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if re.search(where, text):
                yield path.relative_to(ROOT).as_posix(), ast.parse(text)


def _bound(node: ast.AST) -> Iterator[ast.Name | ast.arg]:
    """The names that a loop, a comprehension or a lambda binds."""
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield from (name for name in ast.walk(node.target) if isinstance(name, ast.Name))
    elif isinstance(node, ast.Lambda):
        yield from (name for name in ast.walk(node.args) if isinstance(name, ast.arg))


def test_loop_variables_are_nouns():
    found = [
        f"{path}:{name.lineno}"
        for path, tree in _trees(
            "llmlab", "labs", "solutions", "tests", "docs", where=r"\b(for|lambda)\b[^:]*\bone\b"
        )
        for node in ast.walk(tree)
        for name in _bound(node)
        if "one" in (getattr(name, "id", None), getattr(name, "arg", None))
    ]
    assert found == [], f"a loop variable is a noun, not `one`: {', '.join(found)}"


def test_class_names_are_unique():
    where: dict[str, list[str]] = {}
    for path, tree in _trees("llmlab", where=r"(?m)^ *class "):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    twice = {name: places for name, places in where.items() if len(places) > 1}
    assert twice == {}, "two classes of one name: call the less central one something else"
