"""The native build: what it says when something is missing, and that it leaves nothing half done."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile

import pytest

from llmlab.engine import native as module
from llmlab.engine.find import native_relative
from llmlab.engine.native import build
from llmlab.engine.nvidia import Gpu, NvidiaDriver
from llmlab.errors import LabError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CUDACXX", raising=False)
    return tmp_path / "cache"


def script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


SERVER = """#!/bin/sh
case "$1" in
--version) echo 'version: 0.5.0 (build 0, commit abc)';;
--help) echo '-m, --model FNAME   the model';;
esac
"""


@pytest.fixture
def toolbox(tmp_path, monkeypatch, own_cache):
    """A compiler, cmake and ninja that only pretend, on a PATH of their own; the source is there already."""
    bin_ = tmp_path / "bin"
    script(bin_ / "c++", "exit 0\n")
    script(bin_ / "cmake", f'echo "$@" >> {tmp_path}/cmake.log; mkdir -p "$6"; touch "$6/build.ninja"\n')
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    work = own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=False))}"
    (work / "source").mkdir(parents=True)
    (work / "source" / "LICENSE").write_text("MIT")
    return tmp_path


def ninja(toolbox, *, fails_once=False):
    body = f'echo run >> {toolbox}/ninja.log\nout="$2"\n'
    if fails_once:
        body += f"[ $(wc -l < {toolbox}/ninja.log) = 1 ] && {{ echo 'x.cpp:3: fatal error: no'; exit 1; }}\n"
    body += "mkdir -p \"$out/bin\"\necho '[1/2] Building CXX object x/server.cpp.o'\n"
    for target in module.TARGETS:
        body += f'cat > "$out/bin/{target}" <<\'END\'\n{SERVER}END\nchmod +x "$out/bin/{target}"\n'
    script(toolbox / "bin" / "ninja", body)


def test_builds_into_the_cache_and_leaves_nothing_else(toolbox, own_cache):
    ninja(toolbox)
    said = []
    found = build(say=said.append)
    home = own_cache / native_relative(cuda=False)
    assert found.kind == "built"
    assert found.argv == (str(home / "bin" / "llama-server"),)
    assert "batched-bench" in found.capabilities
    assert "[1/2] server.cpp" in said
    assert {path.name for path in (home / "bin").iterdir()} == set(module.TARGETS)
    assert (home / "LICENSE").exists()
    assert [path.name for path in (own_cache / "engine").iterdir() if "build" in path.name] == []
    flags = (toolbox / "cmake.log").read_text()
    assert "-DGGML_NATIVE=ON" in flags
    assert "-DBUILD_SHARED_LIBS=OFF" in flags
    assert "GGML_CUDA" not in flags
    # a second call compiles nothing
    build()
    assert (toolbox / "ninja.log").read_text().count("run") == 1


def test_a_failed_build_names_its_first_error_and_goes_on_when_asked_again(toolbox, own_cache):
    ninja(toolbox, fails_once=True)
    with pytest.raises(LabError, match="could not be built") as caught:
        build()
    assert "x.cpp:3: fatal error: no" in caught.value.where
    assert not (own_cache / native_relative(cuda=False)).exists()
    build()
    assert (toolbox / "cmake.log").read_text().count("\n") == 1  # not configured twice


def test_cmakes_error_is_told_with_what_stands_below_it(toolbox, own_cache):
    script(
        toolbox / "bin" / "cmake",
        "printf 'CMake Error at CMakeLists.txt:270 (message):\\n  CUDA Toolkit not found\\n'; exit 1\n",
    )
    ninja(toolbox)
    with pytest.raises(LabError, match="could not be built") as caught:
        build()
    assert "CMakeLists.txt:270 (message): CUDA Toolkit not found (all of it" in caught.value.where


def test_a_binary_that_does_not_run_is_not_installed(toolbox, own_cache):
    ninja(toolbox)
    path = toolbox / "bin" / "ninja"
    path.write_text(
        path.read_text().replace("--version) echo 'version: 0.5.0 (build 0, commit abc)';;", "*) exit 3;;")
    )
    with pytest.raises(LabError):
        build()
    assert not (own_cache / native_relative(cuda=False)).exists()


def test_cuda_passes_its_flags_and_has_a_place_of_its_own(toolbox, own_cache, monkeypatch):
    ninja(toolbox)
    monkeypatch.setenv("CUDACXX", str(script(toolbox / "bin" / "nvcc", "echo 'release 12.8, V12.8.93'\n")))
    monkeypatch.setenv("CUDAARCHS", "90-real;120-real")
    plain = own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=False))}"
    plain.rename(own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=True))}")
    build(cuda=True)
    assert (own_cache / native_relative(cuda=True) / "bin" / "llama-server").exists()
    said = (toolbox / "cmake.log").read_text()
    assert "-DGGML_CUDA=ON" in said
    assert "-DCMAKE_CUDA_ARCHITECTURES=90-real;120-real" in said
    note = json.loads((own_cache / native_relative(cuda=True) / "build.json").read_text())
    assert (note["cuda"], note["architectures"]) == ("12.8", ["90-real", "120-real"])


def test_a_build_for_another_gpu_is_made_again(toolbox, own_cache, monkeypatch):
    """A machine whose GPU was changed: what is in the cache runs, and holds no code for the one that is here."""
    ninja(toolbox)
    monkeypatch.setenv("CUDACXX", str(script(toolbox / "bin" / "nvcc", "echo 'release 12.8, V12.8.93'\n")))
    monkeypatch.setenv("CUDAARCHS", "90-real")
    plain = own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=False))}"
    source = plain.with_name(f".build-{os.path.basename(native_relative(cuda=True))}")
    shutil.copytree(plain, source)
    build(cuda=True)
    shutil.copytree(plain, source)
    monkeypatch.setattr(module, "driver", lambda: NvidiaDriver(gpus=(Gpu("NVIDIA H200", 90, 143771, False),)))
    build(cuda=True)
    assert (toolbox / "ninja.log").read_text().count("run") == 1  # it is for this GPU
    monkeypatch.setattr(module, "driver", lambda: NvidiaDriver(gpus=(Gpu("NVIDIA L4", 89, 23034, False),)))
    monkeypatch.setenv("CUDAARCHS", "89-real")
    build(cuda=True)
    assert (toolbox / "ninja.log").read_text().count("run") == 2
    assert "-DCMAKE_CUDA_ARCHITECTURES=89-real" in (toolbox / "cmake.log").read_text()


def test_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"no C\+\+ compiler") as caught:
        build()
    assert "apt-get install -y g++" in caught.value.fix
    assert "LLMLAB_ENGINE=wheel" in caught.value.without


def test_no_nvcc(toolbox):
    ninja(toolbox)
    if os.path.exists("/usr/local/cuda/bin/nvcc"):
        pytest.skip("this machine has CUDA's compiler")
    with pytest.raises(LabError, match="no nvcc") as caught:
        build(cuda=True)
    assert "cuda-toolkit" in caught.value.fix
    assert caught.value.without.startswith("llmlab engine build")


def test_two_builds_at_once(toolbox, own_cache):
    fcntl = pytest.importorskip("fcntl")
    work = own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=False))}"
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4242")
        lock.flush()
        with pytest.raises(LabError, match="under way") as caught:
            build()
    assert "4242" in caught.value.where


def test_an_index_that_sends_another_file_is_refused(tmp_path, monkeypatch, toolbox, own_cache):
    """pip compares the hash; what it says reaches the user in one line."""
    ninja(toolbox)
    work = own_cache / "engine" / f".build-{os.path.basename(native_relative(cuda=False))}"
    (work / "source" / "LICENSE").unlink()
    (work / "source").rmdir()
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with tarfile.open(shelf / "llama_cpp_python-0.3.36.tar.gz", "w:gz") as archive:
        text = b"Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 0.3.36\n"
        info = tarfile.TarInfo("llama_cpp_python-0.3.36/PKG-INFO")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(LabError, match="pip could not fetch") as caught:
        build()
    assert "DO NOT MATCH THE HASHES" in caught.value.where
    assert not (work / "source").exists()
