"""Imports go downwards, from floor to floor and from tier to tier; imports inside functions and for types count too."""

from __future__ import annotations

import ast

import pytest
from imports import COURSE, PACKAGE, imported
from rooms import BELOW, FILES, out_of_role, room, tier, upward

from llmlab.tier import TIERS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    if room(path) not in ("__init__", "__main__"):
        assert not upward(path)


@pytest.mark.parametrize(
    "path", [path for path in FILES if tier(path)], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_file_of_a_tier_keeps_to_its_role(path):
    assert not out_of_role(path)


CHECKS = sorted((COURSE / "labs").glob("*/*.py"))
MOST = 300  # lines of a file of checks: a lab with more has parts


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_labs_checks_know_of_a_tier_what_it_has_for_labs(path):
    behind = [other for other in imported(path) if other.is_relative_to(PACKAGE) and tier(other)]
    assert [str(other) for other in behind if other.name != "for_labs.py"] == []


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_of_checks_is_no_longer_than_can_be_read(path):
    assert len(path.read_bytes().splitlines()) <= MOST


@pytest.mark.parametrize("lab", sorted({path.parent for path in CHECKS}), ids=lambda lab: lab.name)
def test_every_part_of_a_labs_checks_is_reached_from_checks_py(lab):
    reached, waiting = set(), [lab / "checks.py"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting += [other for other in imported(path) if other.parent == lab and other not in reached]
    assert reached == set(lab.glob("*.py"))


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
