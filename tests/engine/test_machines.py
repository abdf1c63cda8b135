"""What doctor and engine say on recorded machines: GPUs of five generations, and what keeps servers from them (`machines/`)."""

from __future__ import annotations

import json

import pytest
from machine_room import MACHINES, forget, put, script

from llmlab import doctor, engine
from llmlab.cli.main import main
from llmlab.engine import nvidia
from llmlab.tiers.process.needs import gpu


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all of them: the wheel is asked once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_machine(tmp_path, monkeypatch, cache):
    """A machine without a GPU, or nvidia-smi, or any engine but the wheel's."""
    monkeypatch.setenv("LLMLAB_CACHE", str(cache))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("LLMLAB_ENGINE", "LLMLAB_SHARED_CACHE", "CUDA_VISIBLE_DEVICES", "CUDACXX", "CUDAARCHS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nvidia, "ROOT", tmp_path / "root")
    forget()
    yield
    forget()


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_said_of_a_recorded_machine(name, tmp_path, capsys):
    machine, expect = MACHINES[name], MACHINES[name]["expect"]
    assert machine["source"]
    assert machine["rewritten"]
    put(machine, tmp_path / "bin")
    need = gpu()
    assert need.met is expect["gpu"], need
    driver = nvidia.driver()
    assert list(driver.capabilities) == expect["capabilities"]
    if "cuda_version" in expect:
        assert driver.cuda == expect["cuda_version"]
    found = engine.find()
    assert found.kind == "PATH"
    assert ("cuda" in found.capabilities) is expect["cuda"]
    view = found.cuda()
    if "held" in expect:
        assert list(view.held) == expect["held"]
    obstacle = driver.obstacle or view.obstacle
    assert (obstacle is None) is expect["cuda"]
    for words in expect.get("says", []):
        assert words in obstacle.what
    for words in expect.get("remark", []):
        assert words in view.remark
    assert ("remark" in expect) is (view.remark is not None)
    if "mend" in expect:
        assert obstacle.mend.startswith(expect["mend"])
        assert engine.no_cuda(found).mend == obstacle.mend
    capsys.readouterr()
    assert main(["engine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert ("cuda" in told["chosen"]["capabilities"]) is expect["cuda"]
    assert [gpu["capability"] for gpu in told["cuda"]["driver"]["gpus"] if gpu["capability"]] == [
        capability for capability in expect["capabilities"] for _ in range(name.count("fabric") + 1)
    ]
    sentences = " ".join(said["what"] for said in told["cuda"]["says"])
    if driver.gpus and not expect["cuda"]:
        assert all(words in sentences for words in expect["says"])


def test_the_doctor_tells_it_too(tmp_path, capsys, monkeypatch):
    put(MACHINES["t4-build-for-newer"], tmp_path / "bin")
    names = ("process", "gpu")
    monkeypatch.setattr(
        doctor, "needs", lambda: {name: f"llmlab.tiers.process.needs:{name}" for name in names}
    )
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    need = next(need for need in report["needs"] if need["name"] == "gpu")
    assert "Tesla T4, 15 GiB, compute capability 7.5; driver 535.183.01 (CUDA up to 12.2)" in need["detail"]
    assert "no kernel image" in report["cuda"]["says"][0]["what"]
    assert main(["doctor"]) == 0
    assert "CUDA: llama-server" in capsys.readouterr().out


def test_without_nvidia_smi_it_says_which_of_four_is_so(tmp_path):
    assert "no NVIDIA GPU" in gpu().detail
    device = tmp_path / "root/sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")
    forget()
    assert "no driver for it" in gpu().detail
    (tmp_path / "root/dev").mkdir()
    (tmp_path / "root/dev/dxg").touch()
    forget()
    assert "WSL2" in gpu().detail
    (tmp_path / "root/proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "root/proc/driver/nvidia/version").touch()
    forget()
    assert "this container does not show it" in gpu().detail
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in gpu().mend


def test_wsl2s_own_nvidia_smi_is_found(tmp_path):
    put(MACHINES["rtx-4090"], tmp_path / "root/usr/lib/wsl/lib")
    assert gpu().met


def test_an_nvidia_smi_that_hangs_is_waited_for_so_long_and_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia, "SECONDS", 0.2)
    script(tmp_path / "bin/nvidia-smi", "exec tail -f /dev/null\n")
    assert "gave no answer" in gpu().detail
    assert gpu().mend.startswith("sudo reboot")


@pytest.mark.parametrize("value", ["", "-1"])
def test_devices_hidden_by_the_environment(value, tmp_path, monkeypatch):
    put(MACHINES["rtx-4090"], tmp_path / "bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpu().mend == "unset CUDA_VISIBLE_DEVICES"
    assert not gpu().met


def test_a_prohibited_gpu_and_a_container_without_libcuda(tmp_path):
    machine = MACHINES["rtx-4090"]
    head = machine["smi"]["head"]
    put(
        {**machine, "smi": {**machine["smi"], "head": head.replace(": Default", ": Prohibited")}},
        tmp_path / "bin",
    )
    assert "--compute-mode=DEFAULT" in gpu().mend
    forget()
    put({**machine, "smi": {**machine["smi"], "head": head.replace(": 12.4", ": N/A")}}, tmp_path / "bin")
    assert "libcuda.so" in gpu().detail


def test_an_answer_that_nobody_expected_is_passed_on(tmp_path):
    script(tmp_path / "bin/nvidia-smi", "echo 'something new' >&2; exit 42\n")
    assert "something new" in gpu().detail
    assert not gpu().met
