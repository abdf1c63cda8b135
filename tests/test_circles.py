"""No circle of files: whoever reads one can read it from below."""

from __future__ import annotations

import pytest
from rooms import circle, graph


def test_no_circle():
    assert not circle(graph())


@pytest.mark.parametrize("back", ["system/paths.py", "tiers/edge/worker.py"])
def test_one_would_be_seen(back):
    """Whatever the edge's notebook rests on, an import back to it is a circle."""
    edges = graph()
    edges[back].add("tiers/edge/notebook.py")
    assert set(circle(edges)) >= {back, "tiers/edge/notebook.py"}
