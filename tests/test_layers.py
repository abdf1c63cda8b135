"""Imports go downwards, from floor to floor and from tier to tier; imports inside functions and for types count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from imports import PACKAGE, imported

# Lowest first; those on one line are peers that know no other.
FLOORS = [
    ["errors", "say"],
    ["tier"],
    ["system"],
    ["engine", "models", "records"],
    ["machine"],
    ["serve"],
    ["load"],
    ["doctor"],
    ["checks"],
    ["course"],
    ["submissions"],
    ["figures"],
    ["show"],
    ["tiers"],
    ["lab"],
    ["grade", "authoring"],
    ["cli"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
#: Below each tier, those that it may use; what these may use, it may too.
BELOW: dict[str, set[str]] = {
    "compose": {"docker"},
    "systemd": {"docker"},
    "aws": {"compose", "systemd"},
    "edge": {"regions"},
}
#: What looks upwards still; the list only gets shorter.
STANDING: dict[str, set[str]] = {}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if "template" not in path.parts)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tier(path: Path) -> str | None:
    """The tier that a file belongs to."""
    parts = path.relative_to(PACKAGE).parts
    return parts[1] if parts[0] == "tiers" and len(parts) > 2 else None


def below(name: str) -> set[str]:
    return {it for other in BELOW.get(name, set()) for it in (other, *below(other))}


def upward(path: Path) -> set[str]:
    """What a file imports that it should not know."""
    mine, own = room(path), tier(path)
    found = set()
    for other in imported(path):
        there, its = room(other), tier(other)
        if there == "__init__":  # the version
            continue
        fine = its in (None, own, *below(own)) if own and there == "tiers" else there == mine
        if not fine and FLOOR[there] >= FLOOR[mine]:
            found.add(str(other.relative_to(PACKAGE)))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    if room(path) not in ("__init__", "__main__"):
        wrong = upward(path) - STANDING.get(str(path.relative_to(PACKAGE)), set())
        assert not wrong, wrong


def test_what_stands_still_stands():
    found = {str(path.relative_to(PACKAGE)): upward(path) for path in FILES if room(path) in FLOOR}
    assert {file: others for file, others in found.items() if others} == STANDING


def test_every_package_says_what_lives_in_it():
    for path in PACKAGE.rglob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert text.count(".") >= 2, f"{path}: two sentences, what lives here and what does not"
