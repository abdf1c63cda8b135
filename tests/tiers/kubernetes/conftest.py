"""One cluster of each driver for the tests of a module: bringing one up takes longer than most of them."""

from __future__ import annotations

import pytest

from llmlab.tiers.kubernetes.drivers.local import Local
from llmlab.tiers.kubernetes.drivers.simulated import Simulated


@pytest.fixture(scope="module")
def local():
    with Local() as cluster:
        cluster.up()
        yield cluster


@pytest.fixture(scope="module")
def simulated():
    with Simulated() as cluster:
        cluster.up()
        yield cluster
