"""Docker missing, stopped or forbidden: one sentence each, the command that mends it, and the labs that still work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from dockyard import held

from llmlab import doctor
from llmlab.errors import LabError, Unavailable
from llmlab.system import owned, without
from llmlab.tiers.docker.container import Container
from llmlab.tiers.docker.daemon import client
from llmlab.tiers.docker.owning import Claim

pytestmark = pytest.mark.usefixtures("nothing_taken")


def test_stopped_says_how_to_start_it_and_which_labs_work_without(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(Unavailable) as caught:
        client()
    assert caught.value.what == "The Docker daemon is not running."
    assert "none.sock" in caught.value.where
    assert "docker" in caught.value.fix.lower()
    assert "00, 01, 02" in caught.value.without


def test_missing_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        client()
    assert caught.value.what == "Docker is not installed."


@pytest.mark.needs("root")
def test_forbidden_says_which_group(tmp_path):
    """A socket of somebody else's, asked without the right to ignore that."""
    path = tmp_path / "docker.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    os.chown(path, 65534, 65534)
    path.chmod(0o600)
    line = [sys.executable, "-m", "llmlab", "fetch", "images"]
    env = os.environ | {"DOCKER_HOST": f"unix://{path}"}
    bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--", *line]
    done = subprocess.run(bare, env=env, capture_output=True, text=True)
    server.close()
    assert done.returncode == 1
    assert "You may not use the Docker daemon." in done.stderr
    assert "usermod -aG docker" in done.stderr


def test_the_doctor_and_the_command_line_say_the_same(tmp_path):
    others = ",".join(
        set(without.known()) - {"docker", "images"}
    )  # this is about one need: the rest takes seconds to try
    env = os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", without.VARIABLE: others}
    said = subprocess.run(
        [sys.executable, "-m", "llmlab", "doctor"], env=env, capture_output=True, text=True
    ).stdout
    assert "daemon is not" in said
    images = subprocess.run(
        [sys.executable, "-m", "llmlab", "fetch", "images"], env=env, capture_output=True, text=True
    )
    assert images.returncode == 1
    assert "Traceback" not in images.stderr


@pytest.mark.needs("docker", "images")
def test_a_daemon_that_dies_is_one_sentence_and_what_it_held_is_cleaned_later(relay, monkeypatch):
    claim = Claim("a test")
    container = Container("debian:trixie-slim", ["sleep", "60"], claim=claim)
    relay.cut()
    with pytest.raises(Unavailable, match="not running"):
        _ = container.state
    claim.close()  # nothing can be done now, and nothing is raised
    (left,) = owned.entries()
    monkeypatch.delenv("DOCKER_HOST")
    assert held(claim.name), "it still runs"
    with pytest.raises(LabError):  # as its entry says, it is behind the socket that is gone
        left.end()
    # The daemon is back where it was.
    os.symlink("/var/run/docker.sock", relay.path)
    owned.clean(everything=True)
    assert held(claim.name) == []
    assert owned.entries() == []


@pytest.mark.needs("docker", "images")
def test_what_a_killed_process_left_is_ended_by_clean(tmp_path):
    code = (
        "import os, signal\n"
        "from llmlab.tiers.docker.container import Container\nfrom llmlab.tiers.docker.daemon import client\n"
        "from llmlab.tiers.docker.owning import Claim\n"
        "c = Claim('doomed'); Container('debian:trixie-slim', ['sleep', '60'], claim=c)\n"
        "client().networks.create(c.name, labels=c.labels); client().volumes.create(c.name, labels=c.labels)\n"
        "print(c.name, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    name = killed.stdout.strip()
    assert len(held(name)) == 3
    done = subprocess.run([sys.executable, "-m", "llmlab", "clean"], capture_output=True, text=True)
    assert "ended 1" in done.stdout
    assert held(name) == []


@pytest.mark.needs("docker", "images")
def test_a_container_that_cannot_start_leaves_nothing(tmp_path):
    claim = Claim("a test")
    with pytest.raises(LabError, match=r"no such file|not found"):
        Container("debian:trixie-slim", ["no-such-program"], claim=claim)
    assert held(claim.name) == []
    claim.close()
    assert owned.entries() == []


def test_docker_is_a_need_of_the_doctor():
    assert {"docker", "images"} <= set(doctor.needs())
