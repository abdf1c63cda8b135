"""A Compose project as it is brought up here: what is wrong with a file is said with its line, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from pathlib import Path

import pytest

from llmlab.checks import run
from llmlab.course.info import find_lab
from llmlab.errors import LabError, Unavailable
from llmlab.lab import Lab
from llmlab.serve.ports import free_port
from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.compose.furnish import furnish
from llmlab.tiers.compose.notebook import LiveProject
from llmlab.tiers.compose.probes import Fleet
from llmlab.tiers.compose.project import Project, service_of
from llmlab.tiers.compose.relay import Relay
from llmlab.tiers.docker import daemon
from llmlab.tiers.docker.container import Container
from llmlab.tiers.docker.daemon import client
from llmlab.tiers.docker.logs import telling
from llmlab.tiers.docker.owning import LABEL, PROJECT, Claim

LAB = find_lab("04")
SLEEPS = """
services:
  one:
    image: debian:trixie-slim
    command: ["sleep", "600"]
    init: true
    ports: ["{port}:80"]
"""


@pytest.fixture
def files(tmp_path):
    """The worked files of lab 04 with what the lab gives beside them."""
    for name in LAB.artifacts:
        shutil.copy(LAB.solution / name, tmp_path / name)
    furnish(tmp_path, LAB.folder, fresh=True)
    return tmp_path


@pytest.fixture(autouse=True)
def _nothing_left(request):
    """No container, network or volume of any claim made in a test outlives it."""
    claims: list[str] = []
    made = Claim.__init__

    def noted(self, label):
        made(self, label)
        claims.append(self.name)

    Claim.__init__ = noted  # type: ignore[method-assign]
    yield
    Claim.__init__ = made  # type: ignore[method-assign]
    assert [entry for entry in owned.entries() if entry.kind == "docker"] == []
    for name in claims:
        for label in (f"{LABEL}={name}", f"{PROJECT}={name}"):
            chosen = {"filters": {"label": label}}
            assert client().containers.list(all=True, **chosen) == []
            assert client().networks.list(**chosen) == []
            assert client().volumes.list(**chosen) == []


def broken(folder: Path, name: str, before: str, after: str) -> int:
    """Replace a text once; the line on which it was."""
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after, 1))
    return text[: text.index(before)].count("\n") + 1


def bring_up(folder: Path) -> None:
    with Project(folder / "compose.yaml", own_ports=True) as project:
        project.up(timeout=60)
        Fleet(project, "no key").door()


def fails(folder: Path) -> LabError:
    with pytest.raises(LabError) as caught:
        bring_up(folder)
    assert not isinstance(caught.value, Unavailable)
    return caught.value


@pytest.mark.needs("docker", "images")
@pytest.mark.parametrize(
    ("before", "after", "below", "words"),
    [
        ("    read_only: true\n", "    read_only: true\n   broken: [\n", 1, "did not find expected key"),
        ("read_only: true", "read_onli: true", 0, "read_onli is not allowed"),
        ("secrets:\n  api_key:\n    file", "sekrets:\n  api_key:\n    file", 0, "sekrets is not allowed"),
        ("secrets: [api_key]", "secrets: [api_kee]", 0, "undefined secret api_kee"),
        ("replicas: 3", "replicas: three", 0, "invalid syntax"),
        ("llama: {condition", "lama: {condition", 0, "undefined service"),
        ("./haproxy.cfg:", "./haproxi.cfg:", 0, "no such file"),
    ],
)
def test_a_file_that_compose_does_not_take_is_said_with_its_line(files, before, after, below, words):
    line = broken(files, "compose.yaml", before, after)
    error = fails(files)
    assert words in str(error)
    assert error.where == f"compose.yaml:{line + below}"
    assert not (files / "haproxi.cfg").exists()


@pytest.mark.needs("docker", "images")
@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        ("compose.yaml", "--parallel 2", "--paralel 2", "error: invalid argument: --paralel"),
        ("haproxy.cfg", "balance leastconn", "balance leastcon", "haproxy.cfg:{line}]"),
        ("compose.yaml", "haproxy:3.0", "llmlab/no-such-image:1", "no-such-image"),
    ],
)
def test_a_tool_that_ends_is_heard(files, name, before, after, words):
    line = broken(files, name, before, after)
    assert words.format(line=line) in str(fails(files))


@pytest.mark.needs("docker", "images")
@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        (
            "prometheus.yml",
            "  scrape_interval: 2s",
            "  scrape_intervall: 2s",
            "line {line}: field scrape_intervall",
        ),
        ("rules.yml", "> 2 * count", "> > 2 * count", "rules.yml: {line}:"),
    ],
)
def test_the_first_check_says_which_line_prometheus_does_not_take(files, name, before, after, words):
    line = broken(files, name, before, after)
    result = run(LAB.folder, files, artifacts=LAB.artifacts, only=["up"])
    (outcome,) = result.outcomes
    assert outcome.status == "failed", str(result)
    assert words.format(line=line) in outcome.evidence.observed


@pytest.mark.needs("docker", "images")
def test_ports_of_its_own_leave_the_files_ports_alone_and_a_clash_a_clash(tmp_path):
    file = tmp_path / "compose.yaml"
    port = free_port()
    file.write_text(SLEEPS.format(port=port))
    with Project(file) as theirs, Project(file, own_ports=True) as ours:
        theirs.up()
        ours.up()
        assert theirs.address == f"http://127.0.0.1:{port}"
        assert ours.address.startswith("http://127.0.0.1:")
        assert ours.address != theirs.address
        with pytest.raises(LabError, match="port is already allocated"):
            ours.up(scale={"one": 2})
        assert [service_of(container) for container in theirs.containers()] == ["one"]


@pytest.mark.needs("docker", "images")
def test_a_port_that_is_taken_is_said_with_its_holder(files):
    lab = Lab(LAB, files)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        broken(files, "compose.yaml", '"8080:8080"', f'"{port}:8080"')
        with pytest.raises(LabError, match=rf"Port {port} is taken by (pid|another)"):
            lab.up("compose.yaml", own_ports=False)
        assert client().containers.list(filters={"label": PROJECT}) is not None


@pytest.mark.needs("docker", "images")
def test_a_port_held_by_a_container_is_said_with_its_name(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text(SLEEPS.format(port=free_port()))
    with Project(file) as first:
        first.up()
        (holder,) = first.containers()
        second = Project(file)
        assert [name for _, name in second.taken()] == [f"container {holder.name}"]
        with pytest.raises(LabError) as caught:
            second.up()
        assert holder.name in (caught.value.fix or "")


@pytest.mark.needs("docker", "images")
def test_when_a_port_is_taken_the_notebook_goes_on_with_others_and_says_so(files):
    lab = Lab(LAB, files)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        broken(files, "compose.yaml", '"8080:8080"', f'"{port}:8080"')
        try:
            stack = lab.up("compose.yaml")
            assert isinstance(stack, LiveProject)
            assert f"Port {port} is taken by" in repr(stack)
            assert not stack.url.endswith(f":{port}")
            assert "2 slots" not in repr(stack.scale(2))
            assert len(stack.fleet.replicas()) == 2
        finally:
            lab.stop()


class Wire:
    """A socket that passes everything on to the real daemon, until it is cut."""

    def __init__(self, path: Path, real: str) -> None:
        self.path, self.real = path, real
        self.pairs: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        """The daemon is (back) there."""
        self.path.unlink(missing_ok=True)
        self.open = True
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen(64)
        threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        while self.open:
            try:
                near, _ = server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.real)
            self.pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self) -> None:
        self.open = False
        for end in (self.server, *self.pairs):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


@pytest.fixture
def wire(tmp_path_factory, monkeypatch):
    real = daemon.address()
    if not real.startswith("unix://"):
        pytest.skip("the daemon is not behind a socket file here. Bring it: a local Docker daemon")
    path = tmp_path_factory.mktemp("d") / "s"
    made = Wire(path, real.removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    yield made
    made.cut()
    monkeypatch.undo()
    daemon._client.cache_clear()


@pytest.mark.needs("docker", "images")
def test_a_daemon_that_dies_in_the_middle_costs_nobody_points(files, wire):
    """Every check after that is an error of the machine's, and what was made is ended once the daemon is back."""

    def hear(event) -> None:
        if event["event"] == "outcome" and event["outcome"].check == "slots":
            wire.cut()

    result = run(LAB.folder, files, artifacts=LAB.artifacts, on_event=hear)
    by = {outcome.check: outcome.status for outcome in result.outcomes}
    assert by["up"] == by["slots"] == "passed", str(result)
    assert "failed" not in by.values(), str(result)
    assert by["secrets"] == "error"
    reasons = [
        outcome.reason or ""
        for outcome in result.outcomes
        if outcome.status == "error" and outcome.check != "grader"
    ]
    assert all("daemon is not running" in reason or "Traceback" not in reason for reason in reasons), reasons
    assert owned.entries(), "what it made is still registered, for llmlab clean"
    wire.mend()
    owned.clean(everything=True)


@pytest.mark.needs("docker", "images")
def test_the_relay_reaches_what_is_not_published_and_nothing_else(files):
    key = (files / "secrets" / "api_key").read_text().strip()
    with Project(files / "compose.yaml", own_ports=True) as project:
        project.up(scale={"llama": 1})
        assert project.claim is not None
        with Relay(project.claim) as relay:
            (llama,) = project.containers("llama")
            reply = relay.get(llama, 8080, "/v1/models", headers={"Authorization": f"Bearer {key}"})
            assert reply.json()["data"]
            with pytest.raises(LabError, match="does not answer on port 9999"):
                relay.get(llama, 9999, "/")
            out = relay.http.get(relay.address, headers={"X-To": "192.0.2.1", "X-To-Port": "80"})
            assert out.status_code == 403


@pytest.mark.needs("docker", "images")
def test_a_replica_that_is_killed_is_restarted_by_its_policy_and_loads_for_as_long_as_it_is_told(files):
    with Project(files / "compose.yaml", own_ports=True) as project:
        project.up(scale={"llama": 1})
        with Fleet(project, "any") as fleet:
            (replica,) = fleet.replicas()
            with fleet.loading() as held:
                fleet.crash(replica)
                assert replica.attrs["State"]["StartedAt"]
                assert project.settle(seconds=1) == []
                (after,) = fleet.replicas()
                assert after.attrs["RestartCount"] == 1
                assert fleet.ask(after, "/health").status_code == (503 if held else 200)
            wait("the model", lambda: fleet.ask(after, "/health").status_code == 200, 30)


def test_of_a_log_the_lines_that_say_why_are_kept_once():
    looping = "ts=1 level=info msg=starting\nts=1 level=error msg=nope\n" * 40
    assert telling(looping) == ["ts=1 level=error msg=nope"]
    assert telling("one\ntwo\n") == ["one", "two"]
    assert telling("") == []


@pytest.mark.needs("docker", "images")
def test_a_container_without_a_claim_of_its_own_does_not_outlive_the_project(files):
    claim = Claim("a test")
    try:
        Container("debian:trixie-slim", ["sleep", "600"], claim=claim)
    finally:
        claim.close()


def test_the_dashboards_queries_are_found_also_in_rows(tmp_path):
    from llmlab.tiers.compose.dashboards import filled, named, panels, read_dashboard

    row = {"type": "row", "panels": [{"title": "b", "targets": [{"expr": "up", "legendFormat": "{{job}}"}]}]}
    path = tmp_path / "dashboard.json"
    path.write_text(
        json.dumps({"panels": [{"title": "a", "targets": [{"expr": "rate(x[$__rate_interval])"}]}, row]})
    )
    assert [panel[0] for panel in panels(read_dashboard(path))] == ["a", "b"]
    assert filled('rate(x{job=~"$job"}[$__rate_interval])') == 'rate(x{job=~".+"}[30s])'
    assert named("{{ job }} now", {"job": "llama"}) == "llama now"
    assert named("", {"__name__": "up", "instance": "a:1"}) == "instance=a:1"
    path.write_text('{\n"panels": [,]}')
    with pytest.raises(LabError) as caught:
        read_dashboard(path)
    assert caught.value.where == "dashboard.json:2"
