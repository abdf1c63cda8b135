"""Models by name and by path: the same bytes everywhere, whole or refused, written once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import gguf
import numpy as np
import pytest

from llmlab import models
from llmlab.errors import LabError
from llmlab.models import gguf_file, known


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMLAB_SHARED_CACHE", raising=False)
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["tiny", "20m", "200m"])
def test_the_bytes_are_the_same_on_every_machine(name):
    entry = next(entry for entry in models.catalogue() if entry.name == name)
    assert not entry.cached
    said = []
    model = models.get(name, say=said.append)
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == entry.sha256 == model.sha256
    assert model.bytes == model.path.stat().st_size == entry.bytes
    header = gguf_file.read(model.path)
    assert header.parameters == model.parameters == entry.parameters
    assert header.architecture == "llama"
    assert header.context >= (8192 if name == "tiny" else 32768)
    assert said[-1].endswith("100 %")
    assert next(entry for entry in models.catalogue() if entry.name == name).cached


def test_a_cached_model_is_neither_written_nor_hashed_again(monkeypatch):
    path = models.get("tiny").path
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(known, "sha256_of", lambda _: pytest.fail("hashed again"))
    assert models.get("tiny").path.stat().st_mtime_ns == before


def test_a_changed_file_in_the_cache_is_noticed():
    path = models.get("tiny").path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(LabError, match="not the file it should be") as caught:
        models.get("tiny")
    assert str(path) in caught.value.fix


def test_a_half_written_file_in_the_cache_is_replaced():
    path = models.get("tiny").path
    path.write_bytes(path.read_bytes()[:1000])
    assert not next(entry for entry in models.catalogue() if entry.name == "tiny").cached
    assert models.get("tiny").bytes == path.stat().st_size


def test_a_shared_cache_is_used_and_not_written(tmp_path, monkeypatch, own_cache):
    classroom = tmp_path / "classroom"
    (classroom / "models").mkdir(parents=True)
    models.get("tiny").path.rename(classroom / "models" / "tiny.gguf")
    monkeypatch.setenv("LLMLAB_SHARED_CACHE", str(classroom))
    assert models.get("tiny").path == classroom / "models" / "tiny.gguf"
    assert [path.name for path in (classroom / "models").iterdir()] == ["tiny.gguf"]


def test_two_processes_writing_at_once_both_succeed(own_cache):
    code = "from llmlab import models; print(models.get('20m').sha256)"
    pair = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert said[0] == said[1] == models.get("20m").sha256
    assert [path.name for path in (own_cache / "models").iterdir()] == ["20m.gguf"]


def test_a_write_that_comes_out_different_is_refused_and_leaves_nothing(monkeypatch, own_cache):
    from llmlab.models import synthetic

    def other(path, *_args, **_kwargs):
        path.write_bytes(b"GGUF but not that one")

    monkeypatch.setattr(synthetic, "write", other)
    with pytest.raises(LabError, match="differs"):
        models.get("tiny")
    assert list((own_cache / "models").iterdir()) == []


def test_a_full_disk_says_so(monkeypatch, own_cache):
    from llmlab.models import synthetic

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "write", full)
    with pytest.raises(LabError, match="the disk is full") as caught:
        models.get("tiny")
    assert "LLMLAB_CACHE" in caught.value.fix
    assert list((own_cache / "models").iterdir()) == []


def test_a_path(tmp_path):
    copy = tmp_path / "my own.gguf"
    copy.write_bytes(models.get("tiny").path.read_bytes())
    model = models.get(copy)
    assert (model.path, model.name, model.parameters) == (copy, "my own", 328_000)
    assert model.sha256 == models.get("tiny").sha256
    assert models.get(str(copy)) == model


def hostile(tmp_path, kind):
    whole = models.get("tiny").path.read_bytes()
    path = tmp_path / "bad.gguf"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(
            {
                "empty": b"",
                "text": b"model: llama\n",
                "short header": whole[:5000],
                "short tensors": whole[:-1000],
                "only magic": b"GGUF",
                "version": b"GGUF\x63\0\0\0" + whole[8:],
                "noise": b"GGUF\x03\0\0\0" + bytes(range(256)) * 40,
                "huge counts": b"GGUF\x03\0\0\0" + b"\xff" * 16 + whole[24:],
            }[kind]
        )
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such model file"),
        ("folder", "this is a folder"),
        ("empty", "is empty"),
        ("text", "not a GGUF model file"),
        ("short header", "cut short"),
        ("short tensors", "cut short"),
        ("only magic", "cut short"),
        ("version", "version 99"),
        ("noise", "cut short|damaged"),
        ("huge counts", "cut short|damaged"),
    ],
)
def test_a_file_that_is_no_whole_model_is_refused_by_name(tmp_path, kind, said):
    path = hostile(tmp_path, kind)
    with pytest.raises(LabError, match=said) as caught:
        models.get(path)
    assert str(path) in caught.value.where


def test_a_name_nobody_knows_lists_those_there_are():
    with pytest.raises(LabError, match="no model named 'small'") as caught:
        models.get("small")
    assert "tiny, 20m, 200m, smollm2" in caught.value.fix


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "locked.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    with pytest.raises(LabError, match="cannot be read"):
        models.get(path)


def test_the_header_agrees_with_the_gguf_package(tmp_path):
    """The short reader against the thorough one, on a file with every kind of value."""
    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(123)
    writer.add_license("mit")
    writer.add_bool("x.bool", True)
    writer.add_float64("x.float", 1.5)
    writer.add_int8("x.small", -3)
    writer.add_array("x.words", ["a", "bc", "é"])
    writer.add_array("x.numbers", [1, 2, 3])
    writer.add_custom_alignment(64)
    writer.add_tensor("a", np.zeros((3, 32), dtype=np.float32))
    writer.add_tensor("b", np.zeros((2, 64), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = gguf_file.read(path)
    reader = gguf.GGUFReader(path)
    assert header.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors) == 224
    assert (header.context, header.licence, header.tensors) == (123, "mit", 2)
    last = reader.tensors[-1]
    path.write_bytes(path.read_bytes()[: int(last.data_offset) + int(last.n_bytes) - 1])
    with pytest.raises(LabError, match="cut short"):
        gguf_file.read(path)
