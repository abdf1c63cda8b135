"""Imports go downwards, from floor to floor and from tier to tier; imports inside functions and for types count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from imports import PACKAGE, imported

from llmlab.tier import TIERS

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
        assert not upward(path)


#: What a file of a tier is, by its name or that of its folder; all others are its machinery.
ROLES = {
    "notebook": "notebook",
    "lost": "notebook",
    "offload": "notebook",
    "probes": "probes",
    "claims": "probes",
    "cuda": "probes",
    "figures": "figures",
    "command": "command",
    "tier": "tier",
}
#: The rooms and roles that a role may not know. `figures` and `tier` know nothing but the rooms named in `ONLY`.
NEVER = {
    "probes": {"show", "figures", "notebook", "command"},
    "machinery": {"show", "figures", "checks", "notebook", "probes", "command"},
}
ONLY = {"figures": {"errors", "records", "figures"}, "tier": {"tier"}}


def role(path: Path) -> str:
    if tier(path) is None:
        return room(path)
    names = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts[2:]]
    return next((ROLES[name] for name in names if name in ROLES), "machinery")


@pytest.mark.parametrize(
    "path", [path for path in FILES if tier(path)], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_file_of_a_tier_keeps_to_its_role(path):
    mine = role(path)
    wrong = [
        str(other.relative_to(PACKAGE))
        for other in imported(path)
        if role(other) in NEVER.get(mine, ()) or (mine in ONLY and role(other) not in ONLY[mine])
    ]
    assert not wrong, f"{mine}: {wrong}"


def test_the_tiers_are_those_of_the_registry_and_the_arrows_are_needed():
    folders = {path.parent.name for path in PACKAGE.glob("tiers/*/__init__.py")}
    assert folders == set(TIERS)
    seen = {(own, tier(other)) for path in FILES if (own := tier(path)) for other in imported(path)}
    for name, others in BELOW.items():
        assert others <= {there for here, there in seen if here == name}, f"{name} does not use {others}"


def test_every_package_says_what_lives_in_it():
    for path in PACKAGE.rglob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert text.count(".") >= 2, f"{path}: two sentences, what lives here and what does not"
