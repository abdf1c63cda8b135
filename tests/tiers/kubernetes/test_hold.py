"""A cluster that stays: up, used from elsewhere, down; and what is left when somebody is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers import choose, hold

pytestmark = pytest.mark.needs("kubernetes")
LLMLAB = [sys.executable, "-m", "llmlab", "cluster"]


def llmlab(*words, **more):
    return subprocess.run([*LLMLAB, *words], capture_output=True, text=True, timeout=120, **more)


def below_state() -> list[psutil.Process]:
    mine = os.environ["LLMLAB_STATE"]
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"{mine}/clusters" in " ".join(process.info["cmdline"] or ())
    ]


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path, monkeypatch):
    """`clean` ends everything that the state knows of, and other tests' servers are up."""
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path))
    yield
    hold.down()


def test_up_status_down():
    up = llmlab("up", "--driver", "simulated", "--nodes", "2")
    assert up.returncode == 0, up.stderr
    assert "emulated: KWOK says that the pods run" in up.stdout
    assert "--kubeconfig" in up.stdout
    status = json.loads(llmlab("status", "--json").stdout)
    assert status["cluster"]["nodes"] == {"node-1": True, "node-2": True}
    cluster = hold.running()
    assert cluster is not None
    assert cluster.attached
    cluster.down()  # not its to end
    assert hold.running() is not None
    again = llmlab("up")
    assert again.returncode == 1
    assert "is up already" in again.stderr
    assert "gone after" in llmlab("down").stdout
    assert hold.running() is None
    assert below_state() == []
    assert "no cluster was up" in llmlab("down").stdout
    assert llmlab("status").returncode == 1


def test_a_killed_command_leaves_nothing():
    with subprocess.Popen(
        [*LLMLAB, "up", "--driver", "simulated"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "API server" in line:
                break
        process.send_signal(signal.SIGKILL)
    wait("the end of everything", lambda: not below_state() and not owned.entries(), 30)
    assert hold.held() is None


def test_a_killed_holder_leaves_what_clean_ends():
    assert llmlab("up", "--driver", "simulated", "--nodes", "1").returncode == 0
    found = hold.held()
    assert found is not None
    os.kill(found["pid"], signal.SIGKILL)
    wait("the end of its programs", lambda: not below_state(), 20)
    owned.clean()
    assert owned.entries() == []
    assert hold.running() is None
    assert not list((Path(os.environ["LLMLAB_STATE"]) / "clusters").glob("*"))


def test_an_unknown_driver_and_too_many_nodes_are_said():
    with pytest.raises(LabError, match="no driver 'nomad'"):
        choose.choose("nomad")
    with pytest.raises(LabError, match="one node"):
        choose.choose("local", nodes=3)


def test_an_existing_cluster_only_where_both_are_named(monkeypatch):
    cluster, why = choose.choose("context")
    assert why == "you asked for it"
    with pytest.raises(LabError, match="which, and in which namespace"):
        cluster.up()


def test_the_choice_says_why_and_can_be_overridden(monkeypatch):
    monkeypatch.setenv("LLMLAB_CLUSTER", "simulated")
    cluster, why = choose.choose()
    assert (cluster.driver, why) == ("simulated", "LLMLAB_CLUSTER says so")
