"""Which engine is found: the order, what is refused and why, and what each can do."""

from __future__ import annotations

import os
import shutil
import stat
import sys

import pytest

from llmlab import engine
from llmlab.engine import cuda, nvidia, probe
from llmlab.engine.find import native_relative
from llmlab.errors import LabError

HELP = "----- common params -----\n\n-m,    --model FNAME   model path to load\n{more}"
ROUTER = "--models-dir PATH                       directory containing models for the router server\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A machine with the wheel and nothing else."""
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMLAB_ENGINE", raising=False)
    monkeypatch.delenv("LLMLAB_SHARED_CACHE", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(nvidia, "ROOT", tmp_path / "root")
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: None if name == "nvidia-smi" else WHICH(name))
    forget()
    yield
    forget()


WHICH = shutil.which


def forget():
    cuda.forget()
    for cached in (probe._ask, nvidia.driver):
        cached.cache_clear()


def fake(path, *, version="version: 8646 (abc123)", more="", devices="  (none)", body=None):
    """A llama-server that only answers questions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = body or (
        'case "$1" in\n'
        f"--version) echo '{version}' >&2;;\n"
        f"--help) cat <<'END'\n{HELP.format(more=more)}END\n;;\n"
        f"--list-devices) printf 'Available devices:\\n{devices}\\n';;\n"
        "*) exit 1;;\nesac\n"
    )
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_wheel_serves_where_nothing_is_installed():
    found = engine.find()
    assert found.kind == "wheel"
    assert found.argv[0] == sys.executable
    assert found.version.startswith("xllamacpp ")
    assert "ctx-size" in found.flags()
    assert found.capabilities <= {"cuda"}


def test_the_order_is_path_then_built_then_wheel(tmp_path, monkeypatch):
    built = fake(tmp_path / "cache" / native_relative(cuda=False) / "bin" / "llama-server")
    assert engine.find().kind == "built"
    assert engine.find().argv == (str(built),)
    on_path = fake(tmp_path / "bin" / "llama-server", version="version: 0.5.0 (build 11549, commit 0c1e570)")
    monkeypatch.setenv("PATH", f"{on_path.parent}:{os.environ['PATH']}")
    assert engine.find().kind == "PATH"
    assert engine.find().version == "0.5.0 (b11549, 0c1e570)"
    explicit = fake(tmp_path / "elsewhere" / "llama-server")
    assert engine.find(explicit).kind == "path"
    assert engine.find(explicit).version == "b8646 (abc123)"
    monkeypatch.setenv("LLMLAB_ENGINE", str(explicit))
    assert engine.find().kind == "path"
    for name in ("built", "PATH", "wheel"):
        monkeypatch.setenv("LLMLAB_ENGINE", name)
        assert engine.find().kind == name
    assert [candidate.kind for candidate in engine.candidates()] == ["wheel", "PATH", "built", "wheel"]


def test_a_shared_cache_counts_as_built(tmp_path, monkeypatch):
    fake(tmp_path / "classroom" / native_relative(cuda=False) / "bin" / "llama-server")
    monkeypatch.setenv("LLMLAB_SHARED_CACHE", str(tmp_path / "classroom"))
    assert engine.find().kind == "built"


def test_a_need_skips_to_the_engine_that_has_it(tmp_path, monkeypatch):
    old = fake(tmp_path / "bin" / "llama-server")
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    built = fake(tmp_path / "cache" / native_relative(cuda=False) / "bin" / "llama-server", more=ROUTER)
    fake(built.with_name("llama-batched-bench"))
    assert engine.find().kind == "PATH"
    found = engine.find(need=["router", "batched-bench"])
    assert found.kind == "built"
    assert found.capabilities == {"router", "signals", "exit-codes", "batched-bench"}
    assert found.beside("llama-batched-bench") == built.with_name("llama-batched-bench")
    assert found.beside("llama-quantize") is None


@pytest.mark.parametrize(
    ("need", "fix"),
    [("router", "llmlab engine build"), ("cuda", "a machine with an NVIDIA GPU")],
)
def test_a_need_nobody_has_says_how_to_get_it(need, fix):
    with pytest.raises(LabError) as caught:
        engine.find(need=[need])
    assert caught.value.fix == fix
    with pytest.raises(LabError, match="the chosen one has not"):
        engine.find("wheel", need=[need])


def test_cuda_needs_a_device_not_only_a_build(tmp_path):
    blind = fake(tmp_path / "cache" / native_relative(cuda=True) / "bin" / "llama-server")
    native = fake(tmp_path / "cache" / native_relative(cuda=False) / "bin" / "llama-server")
    assert engine.find().argv == (str(native),)  # without a device the CPU build is the better one
    fake(blind, devices="  CUDA0: NVIDIA H100 (81079 MiB, 80000 MiB free)")
    cuda.forget()
    found = engine.find()
    assert found.argv == (str(blind),)
    assert "cuda" in found.capabilities
    assert found.devices() == ["CUDA0: NVIDIA H100 (81079 MiB, 80000 MiB free)"]


def test_explicit_choices_that_do_not_run(tmp_path, monkeypatch):
    with pytest.raises(LabError, match="no such llama-server") as caught:
        engine.find(tmp_path / "nowhere")
    assert caught.value.where == str(tmp_path / "nowhere")
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    with pytest.raises(LabError, match="not executable") as caught:
        engine.find(plain)
    assert caught.value.fix == f"chmod +x {plain}"
    with pytest.raises(LabError, match="not executable"):
        engine.find(tmp_path)
    with pytest.raises(LabError, match="another CPU"):
        engine.find(fake(tmp_path / "sigill", body="kill -ILL $$\n"))
    foreign = fake(tmp_path / "foreign")
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    with pytest.raises(LabError, match="cannot be run"):
        engine.find(foreign)
    with pytest.raises(LabError, match="libfoo"):
        engine.find(fake(tmp_path / "broken", body="echo 'error: libfoo.so.1: not found' >&2; exit 127\n"))
    monkeypatch.setenv("LLMLAB_ENGINE", "built")
    with pytest.raises(LabError, match="llmlab engine build") as caught:
        engine.find()
    assert caught.value.where == "LLMLAB_ENGINE"


def test_a_broken_one_on_path_is_passed_over_and_reported(tmp_path, monkeypatch):
    broken = fake(tmp_path / "bin" / "llama-server", body="kill -ILL $$\n")
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    assert engine.find().kind == "wheel"
    why = {candidate.kind: candidate.detail for candidate in engine.candidates()}
    assert "another CPU" in why["PATH"]


def test_a_missing_libgomp_is_one_sentence_with_the_command(tmp_path, monkeypatch):
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    wheel = engine.candidates()[-1]
    assert wheel.engine is None
    assert "libgomp.so.1: sudo apt-get install -y libgomp1" in wheel.detail
    assert "\n" not in wheel.detail
    with pytest.raises(LabError, match="No llama-server can be started") as caught:
        engine.find()
    assert "libgomp1" in caught.value.where
    assert caught.value.fix == "sudo apt-get install -y libgomp1"


def test_answers_are_kept_until_the_binary_changes(tmp_path):
    path = tmp_path / "llama-server"
    count = tmp_path / "count"
    more = f"echo x >> {count}\n"
    answer = 'case "$1" in --version) echo "version: 1 (a)";; --help) echo "-m, --model F   m";; esac\n'
    fake(path, body=more + answer)
    engine.find(path).flags()
    forget()
    before = count.read_text().count("x")
    engine.find(path).flags()
    assert count.read_text().count("x") == before + 1  # only the devices are asked anew
    fake(path, body=more + answer.replace("1 (a)", "23 (b)"))
    assert engine.find(path).version == "b23 (b)"


def test_variables_of_a_server_do_not_disturb_the_question(monkeypatch):
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "nonsense")
    assert "ctx-size" in engine.find("wheel").flags()
