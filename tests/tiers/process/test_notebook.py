"""A server as a notebook handles it."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.load import closed
from llmlab.serve import Server, Spec
from llmlab.tiers.process.notebook import LiveServer

pytestmark = pytest.mark.needs("process")


def test_it_says_how_it_is_measures_plans_and_stops(tmp_path):
    server = Server(Spec(flags={"ctx-size": 512, "parallel": 2, "threads": 1}, device="cuda"), port=0)
    live = LiveServer(server, records=tmp_path, profile="binder", lab="00-start-here", seed=1)
    assert live.status() == "○ llama-server stopped"
    live.note = "Port 8080 is taken by nginx."
    with live:
        live.start()
        assert live.status().startswith(f"● llama-server {server.engine.version}")
        assert "2 slots" in live.status()
        assert server.url in live.status()
        measured = live.measure([closed(1, requests=2, max_tokens=2, warmup=0)], quiet=True)
        assert [len(run.samples) for run in measured.runs] == [2]
        assert measured.path.parent == tmp_path
        assert live.notes()[0] == "Port 8080 is taken by nginx."
        # on a machine without a GPU the file asked for what is not there
        assert server.device.used == "cuda" or "no CUDA device" in live.notes()[1]
        assert repr(live).splitlines()[1:] == live.notes()
    assert live.status() == "○ llama-server stopped"
    live.stop()  # once more
    with pytest.raises(LabError, match="not running") as caught:
        live.measure([closed(1, requests=1)], quiet=True)
    assert "lab.serve" in caught.value.fix
