"""Where things are kept: several shared caches, and files that are replaced whole."""

from __future__ import annotations

import os
import stat

import pytest

from llmlab.system.paths import cached, replace_file


def test_the_first_cache_that_has_it_wins(tmp_path, monkeypatch):
    own, class_, school = (tmp_path / name for name in ("own", "class", "school"))
    monkeypatch.setenv("LLMLAB_CACHE", str(own))
    monkeypatch.setenv("LLMLAB_SHARED_CACHE", f"{class_}{os.pathsep}{school}")
    assert cached("models/a") is None
    for root in (school, class_, own):
        replace_file(root / "models" / "a", b"x")
        assert cached("models/a") == root / "models" / "a"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    replace_file(path, b"old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in path.parent.iterdir()] == ["file"]
