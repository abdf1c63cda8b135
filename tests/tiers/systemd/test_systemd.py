"""A booted machine and what is installed on it: bad files are said with their line, and nothing is left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dockyard import Relay, held

from llmlab.checks import run
from llmlab.course.info import find_lab
from llmlab.errors import LabError, Unavailable
from llmlab.system import owned
from llmlab.tiers.systemd import machine as systemd
from llmlab.tiers.systemd import probes as units
from llmlab.tiers.systemd import quadlets, unit_files
from llmlab.tiers.systemd.machine import HOME, SystemdMachine, furnished

LAB = find_lab("05")
KEY = "a-key-that-nobody-has"
docker = pytest.mark.needs("docker", "images")


@pytest.fixture
def files(tmp_path):
    """The worked files of lab 05."""
    for name in LAB.artifacts:
        shutil.copy(LAB.solution / name, tmp_path / name)
    return tmp_path


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    assert owned.entries() == []


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def script(*lines: str) -> dict[str, bytes]:
    return {"install.sh": "\n".join(["#!/bin/bash", *lines, ""]).encode()}


@docker
def test_a_machine_boots_enforces_what_units_ask_and_is_gone():
    with SystemdMachine({"mine.txt": b"mine\n"}) as machine:
        assert machine.run(f"cat {HOME}/mine.txt; cat /proc/1/comm") == (0, "mine\nsystemd\n")
        ran = "systemd-run --quiet --wait --pipe -p ProtectSystem=strict -p DynamicUser=yes"
        code, said = machine.run(f"mkdir -m 1777 /srv/open; {ran} touch /srv/open/x")
        assert code != 0
        assert "Read-only file system" in said
        assert machine.run("systemd-run --quiet --wait touch /srv/open/x")[0] == 0, "without it, it can"
        assert machine.run("getent hosts deb.debian.org")[0] != 0, "there is no network to install from"
        name, id_ = machine.container._claim.name, machine.container.raw.id
        machine.reboot()
        assert machine.run("test -e /srv/open/x")[0] == 0, "the disk is the same after a reboot"
    assert held(name) == []
    assert not [path for path in Path("/sys/fs/cgroup").glob(f"*/docker/{id_}")], "its cgroups are gone too"


@docker
def test_a_command_that_does_not_end_is_ended_and_a_machine_that_shuts_down_says_so():
    with SystemdMachine(script("systemctl poweroff", "sleep 20")) as machine:
        assert machine.run("sleep 30", timeout=1)[0] == 124
        with pytest.raises(LabError, match=r"shut down|ended"):
            machine.install()


@docker
def test_a_script_that_fails_in_the_middle_names_its_line_its_code_and_last_words():
    lines = ["set -e", "echo begun", "copy() {", "  cp /srv/release/nothing /opt/", "}", "copy", "echo never"]
    with SystemdMachine(script(*lines)) as machine:
        done = machine.install()
    assert done.code == 1
    assert done.line == 5
    assert done.problem is not None
    assert done.problem.where == "install.sh:5"
    assert "`cp /srv/release/nothing /opt/`" in str(done.problem)
    assert "cannot stat '/srv/release/nothing'" in str(done.problem)
    assert "never" not in done.said


@docker
def test_failures_that_a_script_walks_past_are_known_with_their_lines():
    with SystemdMachine(script("cp /nothing /opt/", "true", "(exit 3)", "echo done")) as machine:
        done = machine.install()
    assert (done.code, done.problem) == (0, None)
    assert done.failed == ((2, 1), (4, 3))


@docker
def test_a_script_that_hangs_is_ended_and_the_line_named():
    with SystemdMachine(script("echo waiting", "sleep 600")) as machine:
        done = machine.install(timeout=2)
    assert done.problem is not None
    assert "not done after 2 s at `sleep 600`" in str(done.problem)
    assert done.problem.where == "install.sh:3"
    assert "waiting" in str(done.problem)


@docker
def test_windows_line_ends_are_named_in_a_script_and_do_no_harm_in_a_unit(files):
    crlf = (files / "llama-server.service").read_bytes().replace(b"\n", b"\r\n")
    both = {"install.sh": b"#!/bin/bash\r\ntrue\r\n", "llama-server.service": crlf}
    with SystemdMachine(both) as machine:
        done = machine.install()
        assert unit_files.complaints(machine, f"{HOME}/llama-server.service") == []
        assert unit_files.exposure(machine, f"{HOME}/llama-server.service").overall < 2
    assert done.problem is not None
    assert "Windows line ends" in str(done.problem)
    assert done.problem.where == "install.sh:1"
    assert done.problem.fix == "sed -i 's/\\r$//' install.sh"


@docker
def test_a_full_disk_is_said_with_the_line_that_filled_it():
    with SystemdMachine(
        script("set -e", "head -c 9000000 /dev/zero > /opt/much"), tmpfs={"/opt": "size=4m"}
    ) as machine:
        done = machine.install()
    assert done.problem is not None
    assert not isinstance(done.problem, Unavailable), "that disk is not the one under Docker"
    assert "filled a disk" in str(done.problem)
    assert "No space left on device" in str(done.problem)
    assert done.problem.where == "install.sh:3"


@docker
def test_what_systemd_does_not_understand_is_said_with_its_line(files):
    edit(files / "llama-server.service", "ProtectHome=yes", "ProtectHom=yes")
    edit(files / "llama-server.service", "MemoryMax=512M", "MemoryMax=512 monkeys")
    lines = (files / "llama-server.service").read_text().splitlines()
    with furnished(files, LAB.artifacts, key=KEY) as machine:
        said = unit_files.complaints(machine, f"{HOME}/llama-server.service")
    assert sorted(said) == sorted(
        [
            f"llama-server.service:{lines.index('ProtectHom=yes') + 1}: Unknown key 'ProtectHom' in section [Service], ignoring.",
            f"llama-server.service:{lines.index('MemoryMax=512 monkeys') + 1}: Invalid memory limit '512 monkeys', "
            "ignoring: Invalid argument",
        ]
    )


@docker
def test_an_unknown_flag_of_the_engine_is_shown_in_the_journals_words(files):
    edit(files / "llama-server.service", "--parallel 4", "--paralel 4")
    edit(
        files / "install.sh",
        "systemctl restart llama-server.service",
        "systemctl restart llama-server.service; exit 0",
    )
    with furnished(files, LAB.artifacts, key=KEY) as machine:
        assert machine.install().problem is None
        with pytest.raises(LabError, match="--paralel") as caught:
            units.await_answer(machine, KEY)
    assert "llama-server.service is" in str(caught.value)


@docker
def test_an_empty_unit_is_no_unit(files):
    (files / "llama-server.service").write_text("")
    with (
        furnished(files, LAB.artifacts, key=KEY) as machine,
        pytest.raises(LabError, match="cannot read the unit"),
    ):
        unit_files.exposure(machine, f"{HOME}/llama-server.service")


def test_a_missing_file_fails_every_check_and_boots_nothing(files):
    (files / "install.sh").unlink()
    result = run(LAB.folder, files, artifacts=LAB.artifacts)
    assert {outcome.status for outcome in result.outcomes} == {"failed"}
    assert all("install.sh is missing" in outcome.evidence.observed for outcome in result.outcomes)
    with pytest.raises(LabError, match=r"install\.sh is missing"):
        furnished(files, LAB.artifacts, key=KEY)


@docker
def test_a_key_is_found_wherever_it_was_left(files):
    edit(files / "llama-server.service", "MemoryMax=512M", f"MemoryMax=512M\nEnvironment=LLAMA_API_KEY={KEY}")
    with furnished(files, LAB.artifacts, key=KEY) as machine:
        assert machine.install().problem is None
        machine.run(f"logger -t somebody the key is {KEY}; sync")
        found = "; ".join(units.leaks(machine, KEY))
    for place in (
        "the environment",
        "systemd tells every user",
        "every user can read (/etc/systemd/system/llama-server.service",
    ):
        assert place in found
    assert "the journal" in found
    assert KEY not in found, "evidence does not show the key"


@docker
def test_a_daemon_that_dies_in_the_middle_costs_nobody_points(files, relay, monkeypatch):
    def hear(event) -> None:
        if event["event"] == "outcome" and event["outcome"].check == "installs":
            relay.cut()

    result = run(LAB.folder, files, artifacts=LAB.artifacts, on_event=hear)
    by = {outcome.check: outcome.status for outcome in result.outcomes}
    assert by["unit"] == by["installs"] == "passed", str(result)
    assert "failed" not in by.values(), str(result)
    reasons = [
        outcome.reason or ""
        for outcome in result.outcomes
        if outcome.status == "error" and outcome.check != "grader"
    ]
    assert reasons
    assert all("daemon is not running" in reason for reason in reasons), reasons
    assert owned.entries(), "the machine is still registered, for llmlab clean"
    monkeypatch.delenv("DOCKER_HOST")
    back = Relay(relay.path)  # the daemon is there again, where it was
    try:
        owned.clean(everything=True)
    finally:
        back.cut()


@docker
def test_podmans_words_are_shown_when_it_makes_no_service_of_a_quadlet(files):
    edit(files / "llama.container", "ReadOnly=true", "ReadOnlyy=true")
    with furnished(files, LAB.artifacts, key=KEY) as machine:
        with pytest.raises(LabError, match="unsupported key 'ReadOnlyy' in group 'Container'"):
            quadlets.generate(machine, f"{HOME}/llama.container")
        machine.put({f"{HOME}/llama.container": (LAB.solution / "llama.container").read_bytes()})
        podman = quadlets.parse(quadlets.generate(machine, f"{HOME}/llama.container"))
    assert podman.image == "localhost/llama-server:b11669"
    assert podman.values("--pull") == ["never"]
    assert podman.arguments[:2] == ("--model", "/models/tiny.gguf")
    assert quadlets.faults(podman, publish="127.0.0.1:8080") == []


GOOD = (
    "podman run --name a --replace --rm -d --security-opt=no-new-privileges --cap-drop all --read-only"
    " --publish 127.0.0.1:8080:8080 --secret key,type=mount image@sha256:" + 64 * "a" + " --port 8080"
)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("image@sha256:" + 64 * "a", "image:1.2", "another one tomorrow"),
        ("image@sha256:" + 64 * "a", "localhost/image:1.2", "another one tomorrow"),
        (" --read-only", "", "written to"),
        (" --read-only", " --read-only=false", "written to"),
        ("=no-new-privileges", "=no-new-privileges:false", "gain privileges"),
        ("--cap-drop all", "--cap-drop CAP_CHOWN", "capabilities"),
        ("--cap-drop all", "--cap-drop ALL --cap-add NET_ADMIN", "capabilities"),
        ("type=mount", "type=env,target=LLAMA_API_KEY", "environment"),
        ("--port 8080", "--port 8080 --api-key secret", "command line"),
        (" --secret key,type=mount", "", "no secret"),
        ("127.0.0.1:8080", "8080", "publishes"),
        ("127.0.0.1:8080:8080", "127.0.0.1:8080:8080 --publish 9090:9090", "publishes"),
    ],
)
def test_each_thing_that_a_generated_container_allows_too_much_is_named(before, after, fault):
    assert quadlets.faults(quadlets.parse(f"ExecStart=/usr/bin/{GOOD}\n"), publish="127.0.0.1:8080") == []
    assert before in GOOD
    service = f"[Service]\nExecStart=/usr/bin/{GOOD.replace(before, after)}\n"
    (found,) = quadlets.faults(quadlets.parse(service), publish="127.0.0.1:8080")
    assert fault in found


def test_a_snapshot_says_what_is_new_changed_gone_and_restarted():
    before = units.Snapshot({"/a": "1", "/b": "1", "/c": "1"}, "10", "x")
    after = units.Snapshot({"/a": "1", "/b": "2", "/d": "1"}, "11", "y")
    assert before.changes(before) == []
    assert before.changes(after) == ["/b changed", "/c gone", "/d new", "the service was restarted"]


@docker
@pytest.mark.parametrize(("version", "wanted"), [("1", "volumes"), ("2", "cgroupns")])
def test_the_container_is_made_for_the_cgroups_that_the_daemon_has(version, wanted, monkeypatch):
    """Only what is asked of Docker: cgroup v2 itself is not on this machine."""
    real = systemd.client()
    monkeypatch.setattr(real, "info", lambda: {"CgroupVersion": version})
    monkeypatch.setattr(systemd, "client", lambda: real)
    options = systemd._boots()
    assert wanted in options
    assert len({"volumes", "cgroupns"} & set(options)) == 1


@docker
def test_a_machine_that_does_not_boot_after_the_installation_is_the_installers_doing(files):
    """Not this machine's trouble, which would cost nobody points."""
    with furnished(files, LAB.artifacts, key=KEY) as machine:
        machine.put({f"{HOME}/{name}": data for name, data in script("rm /sbin/init").items()})
        assert machine.install().code == 0
        with pytest.raises(LabError) as caught:
            machine.reboot()
    assert not isinstance(caught.value, Unavailable)
    assert "/sbin/init" in caught.value.what
