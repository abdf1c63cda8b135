"""A local AWS for the tests of one module, emptied before each, and small stacks."""

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


@pytest.fixture
def stack(tmp_path):
    """Write a stack: `stack(main="...", **{"tests/a.tftest.hcl": "..."})` gives its folder."""

    def write(main: str, **files: str):
        folder = tmp_path / "stack"
        for name, text in {
            "main.tf": 'provider "aws" {\n  region = "us-east-1"\n}\n\n' + main,
            **files,
        }.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return write
