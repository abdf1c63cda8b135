"""A worker as a notebook handles it: what it threw is said where it was asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from llmlab.course.info import find_lab
from llmlab.tiers.edge.notebook import LiveEdge

COURSE = Path(__file__).resolve().parents[3]
THROWS = """export default {
  async fetch(request) {
    if (request.url.endsWith("/v1/completions")) { const x = undefined; return x.y; }
    return new Response("well");
  },
};
"""


@pytest.mark.needs("process", "edge")
def test_an_exception_of_the_worker_is_said_below_the_500(tmp_path):
    info = find_lab("12", COURSE)
    (tmp_path / "worker.capnp").write_text((info.solution / "worker.capnp").read_text())
    (tmp_path / "worker.js").write_text(THROWS)
    edge = LiveEdge(SimpleNamespace(files=tmp_path, opened=[], info=info, seed=0))
    try:
        for _ in range(2):  # each time its own
            said = edge.ask("DE").lines
            assert said[0].startswith("HTTP 500")
            assert said[1:] == [
                "asked: nobody",
                "the worker's log: TypeError: Cannot read properties of undefined (reading 'y')",
            ]
        (tmp_path / "worker.js").write_text(THROWS.replace("return x.y;", "return new Response('well');"))
        assert len(edge.ask("DE").lines) == 2
    finally:
        edge.close()
