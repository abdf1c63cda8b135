"""A container group on Docker: what it is started with, what is seen of it from outside, and what becomes of it when it ends."""

from __future__ import annotations

import json
import shlex
import urllib.request

import pytest
from dockyard import held

from llmlab.errors import LabError, Unavailable
from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.docker.daemon import client
from llmlab.tiers.serverless.aci.group import NOT_IMITATED, STANDS_IN, ContainerGroup
from llmlab.tiers.serverless.aci.images import PrivateRegistry
from llmlab.tiers.serverless.aci.script import Creation, read_text

pytestmark = pytest.mark.needs("docker", "images", "kubernetes")
SOON = 30  # seconds
IDLE = 'trap "exit 0" TERM; while :; do read -t 0.1 <> <(:); done'
QUICK = (0.1, 0.2)  # seconds before a container that ended is started again


def asked(more: str = "", *, image: str = "debian:trixie-slim", does: str | None = IDLE, **variables: str) -> Creation:  # fmt: skip
    """A creation that nobody refuses; `does` is a line of bash."""
    line = f"az container create -g rg -l eastus -n one --image {image} --os-type Linux --cpu 0.5 --memory 0.25 {more}"
    if does is not None:
        line += " --command-line " + shlex.quote(f"/bin/bash -c {shlex.quote(does)}")
    found = read_text(line, environment=variables)
    assert [str(problem) for problem in found.problems] == []
    return found.asked[0]


@pytest.fixture
def begun():
    """Start a group; all of them end with the test, and nothing is left."""
    groups = []

    def begin(one: Creation, **more) -> ContainerGroup:
        groups.append(ContainerGroup(one, backoff=QUICK, **more))
        return groups[-1]

    yield begin
    for group in groups:
        group.close()
        assert held(group.group.claim.name) == []
    assert owned.entries() == []


PERL = r"""exec perl -MIO::Socket -e '$s=IO::Socket::INET->new(Listen=>5,LocalPort=>8080,ReuseAddr=>1);while($c=$s->accept){while(<$c>){last if /^\r?$/}print $c "HTTP/1.0 200 OK\r\n\r\n$ENV{WORD} $ENV{KEY}";close $c}'"""


def ask(url: str) -> str:
    """What it answers, as soon as it does."""

    def once() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return None

    return wait("an answer", once, SOON)


def test_a_group_is_reached_where_it_opens_a_port_and_shows_no_secret(begun):
    group = begun(
        asked(
            "--ip-address Public --ports 8080 --dns-name-label llama-42 -e WORD=hello --secure-environment-variables KEY=$KEY",
            does=PERL,
            KEY="s3cret",
        )
    )
    assert ask(group.url()) == "hello s3cret"
    assert group.state == "Running"
    seen = group.describe()
    (container,) = seen["containers"]
    assert container["environmentVariables"] == [
        {"name": "WORD", "secureValue": None, "value": "hello"},
        {"name": "KEY", "secureValue": None, "value": None},
    ]
    assert "s3cret" not in json.dumps(seen)
    assert container["command"][:2] == ["/bin/bash", "-c"]
    assert container["instanceView"]["currentState"]["state"] == "Running"
    assert container["instanceView"]["restartCount"] == 0
    assert seen["ipAddress"] == {
        "dnsNameLabel": "llama-42",
        "fqdn": "llama-42.eastus.azurecontainer.io",
        "ip": group.address,
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "type": "Public",
    }
    assert seen["restartPolicy"] == "Always"
    assert (container["resources"]["requests"]["cpu"], container["resources"]["requests"]["memoryInGb"]) == (0.5, 0.25)  # fmt: skip
    host = group.group.inspect("one")["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (500_000_000, 256 << 20)
    with pytest.raises(LabError, match="Port 80 of the container group one is not open; open: 8080"):
        group.url(80)


def test_ports_without_an_address_open_nothing(begun):
    group = begun(asked("--ports 8080"))
    assert group.address is None
    assert group.describe()["ipAddress"] is None
    assert group.describe()["containers"][0]["ports"] == []
    with pytest.raises(LabError, match="Port 8080 of the container group one is not open") as error:
        group.url(8080)
    assert error.value.fix == "--ip-address Public --ports 8080"
    with pytest.raises(LabError, match="A port of the container group one is not open"):
        group.url()


def test_a_group_in_a_network_is_not_reached_from_outside(begun):
    group = begun(asked("--vnet v --subnet s --ports 8080"))
    assert group.describe()["ipAddress"]["type"] == "Private"
    with pytest.raises(LabError, match="Port 8080 of the container group one is not open"):
        group.url(8080)


@pytest.mark.parametrize(
    ("policy", "code", "ends"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_a_container_that_is_not_started_again(begun, policy, code, ends):
    group = begun(asked(f"--restart-policy {policy}", does=f"echo said; exit {code}"))
    group.wait(ends, within=SOON)
    view = group.describe()["containers"][0]["instanceView"]
    assert (view["currentState"]["state"], view["currentState"]["exitCode"], view["restartCount"]) == ("Terminated", code, 0)  # fmt: skip
    assert view["currentState"]["finishTime"]
    assert group.logs() == "said\n"
    assert group.describe()["instanceView"]["state"] == ends
    with pytest.raises(LabError, match=f"has ended \\({ends}\\)"):
        group.update(group.asked)


@pytest.mark.parametrize(("policy", "code"), [("", 0), ("--restart-policy Always", 3), ("--restart-policy OnFailure", 3)])  # fmt: skip
def test_a_container_that_is_started_again_and_has_forgotten_its_files(begun, policy, code):
    group = begun(asked(policy, does=f"test -e /tmp/been && echo been here before; touch /tmp/been; exit {code}"))  # fmt: skip
    wait("three restarts", lambda: group.restart_count >= 3, SOON)
    view = group.describe()["containers"][0]["instanceView"]
    assert view["previousState"]["state"] == "Terminated"
    assert view["previousState"]["exitCode"] == code
    assert "BackOff" in [event["name"] for event in view["events"]]
    assert group.state == "Running" or group.current.state == "Waiting"
    assert "been here" not in group.logs()


def test_a_program_that_the_image_has_not_is_tried_again_and_said(begun):
    group = begun(asked("", does=None, image="llmlab/pause:1 --command-line '/bin/sh -c true'"))
    wait("a second try", lambda: group.restart_count >= 1, SOON)
    failed = next(event for event in group.events if event.name == "Failed")
    assert "/bin/sh" in failed.message
    assert group.previous.exit_code == 127


def test_too_much_memory_is_seen(begun):
    eats = 'exec perl -e "print length(q(a) x (1<<30))"'
    group = begun(asked("--restart-policy Never", does=eats))
    group.wait("Failed", within=SOON)
    assert (group.current.exit_code, group.current.detail) == (137, "OOMKilled")


SAYS = 'trap "echo bye; exit 7" TERM; echo $WORD; touch /tmp/been; while :; do read -t 0.1 <> <(:); done'


def test_a_stop_is_a_signal_and_a_start_is_a_new_container(begun):
    group = begun(asked("-e WORD=up", does=SAYS))
    wait("its word", lambda: "up" in group.logs(), SOON)
    assert group.stop() == 7
    assert (group.state, group.current.exit_code) == ("Stopped", 7)
    assert group.logs() == "up\nbye\n"
    group.start()
    group.wait("Running", within=SOON)
    with pytest.raises(LabError, match="runs already"):
        group.start()
    wait("its word", lambda: group.logs() == "up\n", SOON)


def test_an_update_is_an_end_and_a_beginning_in_place(begun):
    group = begun(asked("-e WORD=old --ip-address Public", does=SAYS))
    wait("its word", lambda: "old" in group.logs(), SOON)
    address = group.address
    assert group.update(asked("-e WORD=new", does=SAYS)) > 0
    wait("its word", lambda: group.logs() == "new\n", SOON)
    assert (group.address, group.state) == (None, "Running")  # what the new line leaves out falls back
    assert group.group.address == address


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--cpu 1", "cpu of a container group cannot be updated (0.5 → 1.0"),
        ("--memory 1", "memoryInGb of a container group cannot be updated"),
        ("--restart-policy Never", "restartPolicy of a container group cannot be updated (Always → Never"),
        ("-n two", "two is another group than one"),
        ("--image debian:none", "The image debian:none is not on this machine"),
    ],
)
def test_what_an_update_cannot_change_is_said_and_the_group_is_as_it_was(begun, more, says):
    group = begun(asked())
    with pytest.raises(LabError) as error:
        group.update(asked(more))
    assert says in error.value.what
    assert error.value.where == "aci.sh:1"
    assert (group.state, group.restart_count) == ("Running", 0)
    group.update(asked("--restart-policy Always"))  # the same, written out


def test_files_and_secrets_are_mounted(begun, tmp_path):
    tmp_path.chmod(0o777)
    (tmp_path / "model").write_text("weights")
    mounts = "--secrets key=$KEY --secrets-mount-path /run/keys --restart-policy Never"
    mounts += " --azure-file-volume-share-name models --azure-file-volume-account-name a --azure-file-volume-account-key k --azure-file-volume-mount-path /models"
    does = "cat /run/keys/key /models/model; echo new > /models/written; touch /run/keys/x"
    group = begun(asked(mounts, does=does, KEY="s3cret"), shares={"models": tmp_path})
    group.wait("Failed", within=SOON)
    assert "s3cretweights" in group.logs()
    assert "Read-only file system" in group.logs()
    assert (tmp_path / "written").read_text() == "new\n"
    seen = group.describe()
    assert [volume["name"] for volume in seen["volumes"]] == ["azurefile", "secrets"]
    assert "s3cret" not in json.dumps(seen)
    with pytest.raises(LabError, match="The file share 'models' is not there"):
        ContainerGroup(group.asked)


def test_a_command_inside_takes_no_arguments(begun):
    group = begun(asked())
    assert group.exec("/usr/bin/whoami") == (0, "root\n")
    assert group.exec("whoami --help")[0] in (126, 127)


@pytest.fixture
def registry():
    name = "llmlab-test.azurecr.io/debian"
    client().images.get("debian:trixie-slim").tag(name, "1")
    yield PrivateRegistry("llmlab-test.azurecr.io", frozenset({"debian:1", "gone:1"}), "puller", "let-me")
    client().images.remove(f"{name}:1")


def test_a_private_image_is_pulled_by_who_may(begun, registry):
    def one(image: str, who: str) -> Creation:
        return asked(who, image=f"llmlab-test.azurecr.io/{image}")

    good = "--registry-username puller --registry-password let-me"
    group = begun(one("debian:1", good), registries=[registry])
    assert group.describe()["imageRegistryCredentials"] == [
        {"identity": None, "password": None, "server": "llmlab-test.azurecr.io", "username": "puller"}
    ]
    for image, who, says in (
        ("debian:1", "", "Please specify --registry-username in order to use Azure Container Registry."),
        ("debian:1", good + "x", "(InaccessibleImage)"),
        ("debian:2", good, "(InaccessibleImage)"),
    ):
        with pytest.raises(LabError) as error:
            ContainerGroup(one(image, who), registries=[registry])
        assert says in error.value.what
        assert error.value.where == "aci.sh:1"
    with pytest.raises(Unavailable, match="not on this machine"):
        ContainerGroup(one("gone:1", good), registries=[registry])


def test_what_nobody_knows_before_a_run_is_not_started():
    with pytest.raises(LabError, match=r"--image is not known before the script runs: \$\(cat name\)"):
        ContainerGroup(asked(image="$(cat name)"))
    with pytest.raises(LabError, match="no Windows"):
        ContainerGroup(asked("--os-type Windows"))


def test_the_courses_server_runs_as_a_group(begun):
    """Its image's own entrypoint and variables, and no model: it answers that it has none, or ends and is started again."""
    group = begun(asked("--ip-address Public --ports 8080", does=None, image="llmlab/llama-server:1"))
    wait("its first line", lambda: group.logs(), SOON)
    assert group.describe()["containers"][0]["command"] == []


def test_it_says_what_it_is():
    assert "stands in" in STANDS_IN
    assert all(sentence.endswith(".") for sentence in NOT_IMITATED)
