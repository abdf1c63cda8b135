"""PowerDNS by itself: what its LUA records do where one would guess otherwise, and that `said` tells of it."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest

from llmlab.system.waiting import wait
from llmlab.tiers.regions import places, programs
from llmlab.tiers.regions.nameserver import NameServer

pytestmark = pytest.mark.needs("regions")
HEAD = "$ORIGIN llama.example.com.\n$TTL 1\n@ IN SOA ns hostmaster 1 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n"
NETWORK = "198.18.1.0/24"


class Healthy(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, and counts."""

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def healthy():
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Healthy)
    server.asked = 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hanging():
    """Takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


@pytest.fixture
def make(tmp_path):
    """Start a name server with these records; it ends with the test."""
    made = []

    def start(records: str) -> NameServer:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        line, users = programs.bring(lambda _: None).pdns, places.users().values()
        made.append(
            NameServer(line, HEAD + records, file="llama.zone", interval=1, folder=folder, users=users)
        )
        return made[-1]

    yield start
    for server in made:
        server.close()


def record(name: str, port: int, addresses: str = "'127.0.0.1'", selector: str = "all") -> str:
    return (
        f"{name} IN LUA A (\"ifurlup('http://llama.example.com:{port}/up', {{{addresses}}}, "
        f"{{selector='{selector}',timeout=3}})\")\n"
    )


def checks(server: NameServer, healthy, names: tuple[str, ...], seconds: float) -> int:
    """How many health checks reach a healthy address in so many seconds, while these names are asked for."""
    for name in names:
        server.ask(name, NETWORK)  # the first question begins the checks
    healthy.asked, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for name in names:
            server.ask(name, NETWORK)
    server.close()
    return healthy.asked


@pytest.mark.guess(
    guess="Each record's health checks keep their own interval.",
    really="All checks of a name server form one round: one address that hangs makes the interval of every record as long as its time-out, "
    "and a failure elsewhere is noticed so much later.",
    version="PowerDNS 4.9",
    see="two `ifurlup` records, one of them for a port that takes connections and answers nothing; count the checks at the other",
)
def test_one_address_that_hangs_slows_the_checks_of_all(make, healthy, hanging):
    alone = checks(make(record("@", healthy.server_port)), healthy, ("llama.example.com",), 7)
    both = make(record("@", healthy.server_port) + record("b", hanging))
    beside = checks(both, healthy, ("llama.example.com", "b.llama.example.com"), 7)
    assert beside <= 0.6 * alone, (beside, alone)


@pytest.mark.guess(
    guess="A selector that does not exist is refused with the zone.",
    really="The zone is taken, each answer is one of the healthy addresses at random, and the log has a line for it.",
    version="PowerDNS 4.9",
    see="`selector='pickclosets'` in a LUA record, and `regions.said()`",
)
def test_an_unknown_selector_answers_at_random_and_said_tells_of_it(make, healthy):
    server = make(record("@", healthy.server_port, "'127.0.0.1', '127.0.0.2'", "pickclosets"))
    answers: set[str] = set()

    def both() -> bool:  # before their first check the addresses are answered without a selector
        answers.update(server.ask("llama.example.com", NETWORK).addresses)
        return len(answers) == 2 and bool(server.said())

    wait("both addresses, and a line of it", both, 30)
    assert answers == {"127.0.0.1", "127.0.0.2"}
    assert server.said()[0] == "unknown selector 'pickclosets': it answers at random"
