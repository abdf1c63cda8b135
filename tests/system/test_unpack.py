"""Archives: through a filter where Python has one, ours without one elsewhere, and nobody else's."""

from __future__ import annotations

import io
import tarfile

import pytest

from llmlab.errors import Unavailable
from llmlab.system.unpack import unpack


@pytest.fixture
def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("folder/file")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"yes"))
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        yield tar


@pytest.mark.parametrize("filters", [True, False])
def test_an_archive_of_ours_is_unpacked_by_any_python(archive, tmp_path, monkeypatch, filters):
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has no tarfile filters. Bring it: uv python install 3.12")
    unpack(archive, tmp_path)
    assert (tmp_path / "folder" / "file").read_text() == "yes"


def test_anybody_elses_is_not_without_a_filter(archive, tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with pytest.raises(Unavailable, match="filters"):
        unpack(archive, tmp_path, known=False)
    assert not list(tmp_path.iterdir())
