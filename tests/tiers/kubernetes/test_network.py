"""The cable between the host and a cluster: whose it is counts, not what it is called."""

from __future__ import annotations

import os
import subprocess

import pytest

from llmlab.tiers.kubernetes.drivers import network

pytestmark = pytest.mark.needs("root")


def there(name: str) -> bool:
    return subprocess.run(["ip", "link", "show", name], capture_output=True).returncode == 0


@pytest.fixture
def cable():
    name = f"t{os.getpid()}"
    made = subprocess.run(["ip", "link", "add", name, "type", "veth"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(
            f"no cables can be made here: {made.stderr.strip()}. Bring it: run as root, outside of a container"
        )
    yield name
    subprocess.run(["ip", "link", "delete", name], capture_output=True)


def test_a_cable_that_another_cluster_has_by_now_stays(cable):
    subprocess.run(["ip", "link", "set", "dev", cable, "alias", "llmlab-another"], check=True)
    network.unplug(cable, "llmlab-mine")
    assert there(cable)
    network.unplug(cable, "llmlab-another")
    assert not there(cable)


def test_one_that_is_gone_is_no_trouble(cable):
    network.unplug("llmlab-none", "llmlab-mine")
    assert there(cable)
