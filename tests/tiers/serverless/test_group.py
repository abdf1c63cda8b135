"""Containers that share one network: each reaches the other on 127.0.0.1, and each ends alone, at its own limits."""

from __future__ import annotations

import urllib.request

import pytest
from dockyard import held

from llmlab.errors import LabError
from llmlab.system import owned
from llmlab.tiers.serverless.group import TIMED_OUT, Group, GroupContainer

pytestmark = pytest.mark.needs("docker", "images", "kubernetes")
IMAGE = "debian:trixie-slim"


@pytest.fixture
def group():
    with Group("a test") as made:
        yield made
    assert held(made.claim.name) == []
    assert owned.entries() == []


def shell(name: str, line: str, **more) -> GroupContainer:
    return GroupContainer(name=name, image=IMAGE, entrypoint=["/bin/bash", "-c"], command=[line], **more)


def begin(group: Group, *containers: GroupContainer) -> None:
    for container in containers:
        group.create(container)
        group.start(container.name)


def until(group: Group, name: str, word: str) -> str:
    """Its log up to a word; the stream blocks, and ends when the container does."""
    seen = ""
    for piece in group.follow(name):
        seen += piece.decode()
        if word in seen:
            break
    assert word in seen
    return seen


PERL = r"""exec perl -MIO::Socket -e '$s=IO::Socket::INET->new(Listen=>5,LocalPort=>8080,ReuseAddr=>1);$|=1;print "up\n";while($c=$s->accept){while(<$c>){last if /^\r?$/}print $c "HTTP/1.0 200 OK\r\n\r\nhello";close $c}'"""


def test_one_address_and_one_loopback_for_all_of_them(group):
    address = group.address
    begin(group, shell("server", PERL))
    until(group, "server", "up")
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=10) as reply:
        assert reply.read() == b"hello"
    begin(
        group,
        shell("beside", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"),
    )
    assert group.wait("beside", within=20) == 0
    assert b"hello" in group.logs("beside")
    # the address outlives whoever ends
    assert group.stop("server", 0)[1] == 137
    assert group.address == address
    assert group.state("beside").finished
    assert group.processes("server") == []


def test_what_is_said_replaces_the_images_own(group):
    begin(
        group,
        shell(
            "as-said",
            'echo "$WORD $(id -u)"; touch /here',
            environment={"WORD": "yes"},
            user="65532",
            read_only=True,
        ),
    )
    assert group.wait("as-said", within=20) != 0
    assert b"yes 65532" in group.logs("as-said")
    assert b"Read-only file system" in group.logs("as-said")


def test_a_stop_is_a_signal_and_then_an_end(group):
    begin(
        group,
        shell("deaf", "trap '' TERM; echo up; while :; do read -t 1 < <(:); done"),
        shell(
            "other",
            "trap 'echo bye; exit 7' USR1; echo up; while :; do read -t 0.1 <> <(:); done",
            stop_signal="SIGUSR1",
        ),
    )
    until(group, "deaf", "up")
    until(group, "other", "up")
    seconds, code = group.stop("deaf", 1)
    assert code == 137
    assert seconds >= 1
    assert group.stop("other", 30)[1] == 7
    assert group.logs("other") == b"up\nbye\n"


def test_too_much_memory_ends_one_of_them_alone(group):
    eats = "exec perl -e '$x=\"a\" x (64<<20); print length $x'"
    begin(group, shell("small", eats, memory=16 << 20), shell("large", eats, memory=256 << 20))
    assert group.wait("small", within=30) == 137
    assert group.wait("large", within=30) == 0
    assert group.state("small").oom_killed
    assert not group.state("large").oom_killed


def test_a_command_inside_has_a_code_an_output_and_an_end(group):
    begin(group, shell("runs", "exec sleep 600", cpus=0.5))
    assert group.exec("runs", ["/bin/sh", "-c", "echo out; exit 3"], 20) == (3, "out\n")
    assert group.exec("runs", ["/no/such"], 20)[0] in (126, 127)
    assert group.exec("runs", ["sleep", "300"], 0.5)[0] == TIMED_OUT
    assert not [process for process in group.processes("runs") if "300" in process["args"]]
    assert group.inspect("runs")["HostConfig"]["NanoCpus"] == 500_000_000


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (GroupContainer(name="a", image="llmlab/no-such-image:1"), "No such image"),
        (GroupContainer(name="a", image="llmlab/pause:1", entrypoint=["/no/such"]), "no such file"),
    ],
    ids=["no-image", "no-program"],
)
def test_what_cannot_start_says_the_daemons_words(group, container, says):
    with pytest.raises(LabError, match=says):
        begin(group, container)
    with pytest.raises(LabError, match="no container 'b'"):
        group.start("b")
