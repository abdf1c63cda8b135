"""Which CUDA compiler a build uses: for the GPUs that are here, and refused before an hour of compiling where it cannot."""

from __future__ import annotations

import pytest
from machine_room import MACHINES, forget, put, script

from llmlab.engine import nvidia, toolkit
from llmlab.errors import LabError


@pytest.fixture(autouse=True)
def own_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDACXX", "CUDAARCHS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvidia, "ROOT", tmp_path / "root")
    forget()
    yield
    forget()


def nvcc(tmp_path, version):
    return script(
        tmp_path / "bin/nvcc",
        f"echo 'nvcc: NVIDIA (R) Cuda compiler driver'; echo 'Cuda compilation tools, release {version}, V{version}.107'\n",
    )


@pytest.mark.parametrize(
    ("machine", "version", "made"),
    [
        ("h200", "12.8", ("90-real",)),
        ("rtx-4090", "12.4", ("89-real",)),
        ("rtx-5090-older-build", "12.8", ("120a-real",)),
        ("t4-build-for-newer", "11.8", ("75-real",)),
    ],
)
def test_machine_code_for_what_is_here_and_nothing_else(machine, version, made, tmp_path):
    put(MACHINES[machine], tmp_path / "bin")
    path = nvcc(tmp_path, version)
    found = toolkit.chosen()
    assert (found.nvcc, found.version, found.architectures) == (str(path), version, made)


def test_blackwell_needs_12_8(tmp_path):
    put(MACHINES["rtx-5090-older-build"], tmp_path / "bin")
    nvcc(tmp_path, "12.4")
    with pytest.raises(LabError, match=r"RTX 5090 \(compute capability 12.0\).*it needs 12.8") as caught:
        toolkit.chosen()
    assert "code up to 9.0" in caught.value.where
    assert "cuda-toolkit-12-8" in caught.value.fix
    assert "CUDACXX=/usr/local/cuda-12.8/bin/nvcc" in caught.value.fix


def test_a_toolkit_that_dropped_the_gpu(tmp_path):
    machine = MACHINES["rtx-4090"]
    smi = {**machine["smi"], "query": "Tesla V100-SXM2-32GB, 580.95.05, 32768, [N/A], 7.0"}
    put({**machine, "smi": smi}, tmp_path / "bin")
    nvcc(tmp_path, "13.0")
    with pytest.raises(LabError, match=r"12.9 was the last") as caught:
        toolkit.chosen()
    assert "cuda-toolkit-12-9" in caught.value.fix


def test_a_toolkit_newer_than_the_driver_runs(tmp_path):
    put(MACHINES["h200"], tmp_path / "bin")
    nvcc(tmp_path, "13.0")
    with pytest.raises(LabError, match="needs driver 580") as caught:
        toolkit.chosen()
    assert "cuda-toolkit-12-8" in caught.value.fix


def test_without_a_gpu_the_architecture_is_named_by_cmakes_variable(tmp_path, monkeypatch):
    nvcc(tmp_path, "12.8")
    with pytest.raises(LabError, match="No GPU to build for") as caught:
        toolkit.chosen()
    assert "CUDAARCHS=90-real" in caught.value.without
    monkeypatch.setenv("CUDAARCHS", "75-real;90")
    assert toolkit.chosen().architectures == ("75-real", "90")


def test_an_nvcc_that_says_nothing_of_its_version(tmp_path):
    put(MACHINES["h200"], tmp_path / "bin")
    script(tmp_path / "bin/nvcc", "echo 'libfoo.so: not found' >&2; exit 127\n")
    with pytest.raises(LabError, match="libfoo"):
        toolkit.chosen()
