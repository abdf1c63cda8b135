"""A local AWS for the tests of one session, emptied before each."""

from __future__ import annotations

import pytest

from llmlab.tiers.aws.endpoint import AwsEndpoint


@pytest.fixture(scope="session")
def _aws():
    with AwsEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def aws(_aws):
    """An empty account."""
    _aws.reset()
    return _aws
