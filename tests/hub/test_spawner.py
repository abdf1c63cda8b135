"""Two learners on one machine, with a real JupyterHub: neither has the other's server, files, processes or ports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

pytest.importorskip("jupyterhub", reason="JupyterHub is missing: uv sync --group hub")
from hub_at_work import HubAtWork

pytestmark = [
    pytest.mark.needs("root", "node"),
    pytest.mark.skipif(
        sys.prefix.startswith("/tmp/"), reason="learners have a /tmp of their own: this Python is in it"
    ),
]

SERVE = """
from llmlab.serve import Server, Spec
server = Server(Spec(model="tiny", flags={"ctx-size": 256, "threads": 1})).__enter__()
print(server.port)
"""
REACH = """
import socket
try:
    socket.create_connection(({host!r}, {port}), 5).close()
    print("reached")
except OSError as error:
    print(type(error).__name__, error.errno)
"""
SEEN = """
import os, psutil
print(sorted({process.uids().real for process in psutil.process_iter()} - {os.getuid()}))
"""
READ = """
from pathlib import Path
try:
    print(Path({path!r}).read_text())
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[HubAtWork]:
    with HubAtWork(tmp_path_factory.mktemp("hub"), walled=True) as made:
        yield made
    assert made.left == [], "the hub has ended, and not its learners' processes"


@pytest.fixture(scope="module")
def two(hub) -> tuple[tuple[str, str], tuple[str, str]]:
    """Each learner, and a kernel of theirs."""
    ann, ben = ((learner, hub.kernel(learner)) for learner in hub.learners)
    return ann, ben


def test_a_server_answers_its_own_learner_and_nobody_else(hub):
    ann, ben = hub.learners
    for learner, other in ((ann, ben), (ben, ann)):
        assert hub.get(f"/user/{learner}/api/status", learner).status_code == 200
        assert hub.get(f"/user/{learner}/api/status", other).status_code == 403
        assert hub.get(f"/user/{learner}/api/status").status_code == 403
        with closing(hub.sign_in(other)) as browser:
            assert browser.get(f"/user/{other}/lab").status_code == 200
            assert browser.get(f"/user/{learner}/lab").status_code == 403


def test_a_server_runs_as_its_learner(hub, two):
    for learner, kernel in two:
        assert (
            hub.run(learner, kernel, "import getpass, os; print(getpass.getuser(), os.getuid() > 0)")
            == f"{learner} True"
        )


def test_a_server_has_a_course_of_its_learners_own(hub, two):
    for (learner, kernel), home in zip(two, hub.homes, strict=True):
        where = "from llmlab.system.paths import course_dir; import os; print(course_dir(), os.access(course_dir() / 'labs', os.W_OK))"
        assert hub.run(learner, kernel, where) == f"{home}/llmlab True"


def test_files_are_not_seen(hub, two):
    (_, ann), (ben, other) = two
    hub.run(hub.learners[0], ann, "from pathlib import Path; (Path.home() / 'mine').write_text('secret')")
    mine = str(hub.homes[0] / "mine")
    assert hub.run(hub.learners[0], ann, READ.format(path=mine)) == "secret"
    assert hub.run(ben, other, READ.format(path=mine)) == "PermissionError"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_what_lies_in_folders_for_all_is_not_seen(hub, two, folder):
    (ann, kernel), (ben, other) = two
    path = f"{folder}/llmlab-{ann}"
    hub.run(ann, kernel, f"from pathlib import Path; Path({path!r}).write_text('secret')")
    assert hub.run(ann, kernel, READ.format(path=path)) == "secret"
    assert hub.run(ben, other, READ.format(path=path)) == "FileNotFoundError"
    assert not os.path.exists(path)


def test_processes_are_not_seen(hub, two):
    for learner, kernel in two:
        assert hub.run(learner, kernel, SEEN) == "[]"


def test_a_llama_server_is_reached_by_who_started_it_and_by_nobody_else(hub, two):
    (ann, kernel), (ben, other) = two
    port = int(hub.run(ann, kernel, SERVE))
    assert hub.run(ann, kernel, REACH.format(host="127.0.0.1", port=port)) == "reached"
    assert hub.run(ben, other, REACH.format(host="127.0.0.1", port=port)).startswith("ConnectionRefusedError")
    # the same port is free for the other: `port = 8080` in two learners' files is no conflict
    assert hub.run(
        ben, other, f"import socket; print(socket.create_server(('127.0.0.1', {port})).getsockname()[1])"
    ) == str(port)
    # through the hub's front door it has its own learner's key, too
    assert hub.get(f"/user/{ann}/proxy/{port}/health", ann).status_code == 200
    assert hub.get(f"/user/{ann}/proxy/{port}/health", ben).status_code == 403


def test_jupyters_own_port_is_not_reached_from_the_other(hub, two):
    (ann, kernel), (ben, other) = two
    where = "import os; from urllib.parse import urlparse; url = urlparse(os.environ['JUPYTERHUB_SERVICE_URL']); print(url.hostname, url.port)"
    host, port = hub.run(ann, kernel, where).split()
    assert hub.run(ann, kernel, REACH.format(host=host, port=port)) == "reached"
    said = hub.run(ben, other, REACH.format(host=host, port=port))
    assert said.startswith("OSError 101"), said  # network is unreachable


def test_what_a_server_reaches_is_its_hub(hub, two):
    for learner, kernel in two:
        api = "import json, os, urllib.request; print(json.load(urllib.request.urlopen(os.environ['JUPYTERHUB_API_URL'] + '/')))"
        assert "version" in json.loads(hub.run(learner, kernel, api).replace("'", '"'))
        assert hub.run(learner, kernel, REACH.format(host="192.0.2.1", port=80)).startswith("OSError 101")


def test_without_walls_ports_and_processes_are_everybodys(tmp_path):
    """What JupyterHub's own LocalProcessSpawner gives, and that the tests above can tell."""
    with HubAtWork(tmp_path, walled=False) as plain:
        (ann, kernel), (ben, other) = ((learner, plain.kernel(learner)) for learner in plain.learners)
        port = int(plain.run(ann, kernel, SERVE))
        assert plain.run(ben, other, REACH.format(host="127.0.0.1", port=port)) == "reached"
        assert plain.run(ben, other, SEEN) != "[]"
        assert (
            plain.get(f"/user/{ann}/api/status", ben).status_code == 403
        )  # the hub's own door holds all the same
    assert plain.left == []
