"""The version stands in one place, the changelog ends at it, and each change to come is a file that towncrier takes."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import llmlab

COURSE = Path(__file__).parents[1]
CHANGES = [path for path in sorted((COURSE / "changes").iterdir()) if path.name != "README.md"]


def test_the_version_is_the_packages_and_the_changelogs():
    assert version("llmlab") == llmlab.__version__
    newest = re.search(r"^## (\S+)", (COURSE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == llmlab.__version__


@pytest.mark.parametrize("path", CHANGES, ids=lambda path: path.name)
def test_a_change_is_of_a_known_kind_and_short(path):
    settings = tomllib.loads((COURSE / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in settings["type"]}
    assert re.fullmatch(rf"[\w-]+\.({'|'.join(sorted(kinds))})\.md", path.name)
    assert 20 <= len(path.read_text().strip()) <= 600
