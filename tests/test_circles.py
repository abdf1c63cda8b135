"""No circle of files: whoever reads one can read it from below."""

from __future__ import annotations

import graphlib

import pytest
from imports import PACKAGE, imported


def graph() -> dict[str, set[str]]:
    """File → the files that it imports."""
    files = [path for path in PACKAGE.rglob("*.py") if "template" not in path.parts]
    return {
        str(path.relative_to(PACKAGE)): {str(other.relative_to(PACKAGE)) for other in imported(path)}
        for path in files
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle, or nothing."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_circle():
    assert not circle(graph())


@pytest.mark.parametrize("back", ["system/paths.py", "tiers/edge/worker.py"])
def test_one_would_be_seen(back):
    """Whatever the edge's notebook rests on, an import back to it is a circle."""
    edges = graph()
    edges[back].add("tiers/edge/notebook.py")
    assert set(circle(edges)) >= {back, "tiers/edge/notebook.py"}
