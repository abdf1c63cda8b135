from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from llmlab import models

_spec = importlib.util.spec_from_file_location("served", Path(__file__).with_name("served.py"))
_served = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_served)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Synthetic models in a cache of this session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {name: models.get(name).path for name in ("tiny", "20m")}


@pytest.fixture
def tiny(written):
    return written["tiny"]


@pytest.fixture
def middling(written):
    """Slow enough that a long answer is still under way when a signal arrives."""
    return written["20m"]


@pytest.fixture
def serve():
    """Start servers (see served.py); each is ended with the test."""
    started = []

    def start(*args, **kwargs):
        started.append(_served.Served(*args, **kwargs))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(autouse=True)
def _no_engine_chosen(monkeypatch, nothing_taken):
    """These tests are about the choosing."""
    monkeypatch.delenv("LLMLAB_ENGINE", raising=False)
