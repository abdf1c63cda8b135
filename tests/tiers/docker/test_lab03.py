"""Bad input in lab 03: the check that fails shows the real tool's last words, and nothing is left behind."""

from __future__ import annotations

import shutil
import threading

import pytest

from llmlab.checks import run
from llmlab.course.info import find_lab
from llmlab.system import owned

pytestmark = pytest.mark.needs("docker", "images")
INFO = find_lab("03")
ENTRY = 'ENTRYPOINT ["/usr/bin/llama-server"]'


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))
    folder = tmp_path / "files"
    folder.mkdir()
    for name in INFO.artifacts:
        shutil.copy(INFO.solution / name, folder / name)
    yield folder
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))
    assert owned.entries() == []


def checked(files, *only: str, **options):
    result = run(INFO.folder, files, artifacts=INFO.artifacts, only=only, **options)
    return {outcome.check: outcome for outcome in result.outcomes}


def edit(files, before: str, after: str) -> None:
    text = (files / "Dockerfile").read_text()
    assert before in text
    (files / "Dockerfile").write_text(text.replace(before, after))


def test_a_file_that_does_not_parse_names_its_line(files):
    edit(files, "USER 1000:1000", "USSER 1000:1000")
    outcome = checked(files, "builds")["builds"]
    assert outcome.status == "failed"
    assert "unknown instruction: USSER" in outcome.evidence.observed
    lines = (files / "Dockerfile").read_text().splitlines()
    assert f"Dockerfile:{lines.index('USSER 1000:1000') + 1}" in outcome.evidence.observed


def test_an_unknown_flag_in_the_entry_point_is_shown_in_the_servers_words(files):
    edit(files, ENTRY, 'ENTRYPOINT ["/usr/bin/llama-server", "--paralel", "4"]')
    outcome = checked(files, "builds", "libraries")["libraries"]
    assert outcome.status == "failed"
    assert "--paralel" in outcome.evidence.observed


def test_an_entry_point_that_is_not_there(files):
    edit(files, ENTRY, 'ENTRYPOINT ["/usr/bin/llama-servr"]')
    outcome = checked(files, "builds", "libraries")["libraries"]
    assert outcome.status == "failed"
    assert "llama-servr" in outcome.evidence.observed


def test_what_only_speaks_like_a_server_is_found_out(files):
    """Perl is in Debian's base: it says that it is ready, and the same answer to every question."""
    said = '{\\"status\\": \\"ok\\", \\"tokens_predicted\\": 4, \\"tokens\\": [7]}'
    lines = [
        "use IO::Socket::INET;",
        "exit 0 if $ARGV[0] eq '--version';",
        "my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 9, ReuseAddr => 1);",
        "while (my $c = $s->accept) { sysread $c, my $b, 65536;",
        f"my $t = '{said}'; print $c 'HTTP/1.1 200 OK', qq(\\r\\nConnection: close\\r\\nContent-Length: ),",
        "length($t), qq(\\r\\n\\r\\n), $t; close $c }",
    ]
    text = f'FROM debian:trixie-slim\nENTRYPOINT ["perl", "-e", "{" ".join(lines)}", "--"]\n'
    (files / "Dockerfile").write_text(text)
    outcome = checked(files, "builds", "libraries", "answers")["answers"]
    assert outcome.status == "failed", outcome
    assert "not the model" in outcome.evidence.observed


def test_no_file_at_all(files):
    (files / "Dockerfile").unlink()
    outcome = checked(files, "builds")["builds"]
    assert outcome.status == "failed"
    assert "Dockerfile is missing" in outcome.evidence.observed


def test_a_daemon_that_dies_in_mid_check_costs_nobody_points(files, relay, monkeypatch):
    """Cut when the first check has passed: what follows is an error of the machine, in one sentence."""
    heard = threading.Event()

    def event(one) -> None:
        if one["event"] == "outcome" and not heard.is_set():
            heard.set()
            relay.cut()

    outcomes = checked(files, "builds", "libraries", "toolchain", on_event=event)
    assert outcomes["builds"].status == "passed"
    assert {outcomes[name].status for name in ("libraries", "toolchain")} == {"error"}
    assert outcomes["libraries"].reason.startswith("The Docker daemon is not running.")
    # It is back: what the check could not remove is still in the registry, and goes now.
    (files.parent / "docker.sock").symlink_to("/var/run/docker.sock")
    (left,) = owned.entries()
    owned.clean()
    from dockyard import held

    monkeypatch.undo()
    assert held(left.data["name"]) == []
