"""No circle of files: whoever reads one can read it from below. Those that stand are listed, and the list only gets shorter."""

from __future__ import annotations

import graphlib

import pytest
from imports import PACKAGE, imported

#: The circles of today (the house's plan says how each goes). A new one is red, and so is one here that is a circle no longer.
STANDING: list[set[str]] = [
    {"lab/lab.py", "lab/panel.py"},
    {"serve/diagnosis.py", "serve/server.py"},
    {
        "tiers/kubernetes/addons/addons.py",
        "tiers/kubernetes/cluster/access.py",
        "tiers/kubernetes/cluster/cluster.py",
    },
    {
        "tiers/kubernetes/gpus/notebook.py",
        "tiers/kubernetes/notebook/cluster.py",
        "tiers/kubernetes/notebook/rollouts.py",
        "tiers/kubernetes/notebook/states.py",
    },
    {"tiers/regions/globe.py", "tiers/regions/routing.py"},
    {"tiers/regions/lost.py", "tiers/regions/notebook.py"},
]


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


def test_no_circle_but_those_that_stand():
    name = {file: " + ".join(sorted(standing)) for standing in STANDING for file in standing}
    folded: dict[str, set[str]] = {}
    for file, others in graph().items():
        mine = name.get(file, file)
        folded.setdefault(mine, set()).update({name.get(other, other) for other in others} - {mine})
    assert not circle(folded)


@pytest.mark.parametrize("standing", STANDING, ids=lambda files: min(files))
def test_what_is_listed_is_one_still(standing):
    """From every file of it one comes back to that file; else take it off the list."""
    edges = {file: others & standing for file, others in graph().items() if file in standing}
    for start in standing:
        seen, waiting = set(), [start]
        while waiting:
            for other in edges[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        assert seen == standing, f"{start} reaches {sorted(seen)} only"
