"""The fixture that all tests of tiers may ask for."""

from __future__ import annotations

import pytest
from dockyard import Relay


@pytest.fixture
def relay(tmp_path, monkeypatch):
    """The daemon behind a socket that can be cut; DOCKER_HOST leads there."""
    one = Relay(str(tmp_path / "docker.sock"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{one.path}")
    yield one
    one.cut()
