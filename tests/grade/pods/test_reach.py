"""Whether a pod reaches anything: tried, not believed."""

from __future__ import annotations

import socket

import pytest

from llmlab.grade.pods import reach as reach_
from llmlab.grade.pods.reach import NODE, PodReach, has_route, reach

ROUTE = "Iface\tDestination\tGateway \tFlags\n{0}\t00000000\t{1}\t0003\n"


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(reach_, "WITHIN", 0.2)
    monkeypatch.setattr(reach_, "Path", lambda name: tmp_path / name.lstrip("/"))


def test_an_api_server_that_answers_is_reached(monkeypatch, nobody):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.getsockname()[1]))
        found = reach(0)
    assert not found.closed
    assert "NOT separated" in found.line


def test_a_refusal_came_from_outside_too(monkeypatch, nobody):
    monkeypatch.setenv(NODE, "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(reach_, "KUBELET", taken.getsockname()[1])
        assert reach(0).reached == [f"127.0.0.1:{taken.getsockname()[1]}"]


def test_silence_is_a_policy_that_holds_or_no_way_out(monkeypatch, nobody):
    monkeypatch.setattr(reach_, "_answering", lambda targets: set())
    monkeypatch.setenv(NODE, "192.0.2.1")
    monkeypatch.setattr(reach_, "has_route", lambda: True)
    assert "NetworkPolicy that is enforced (192.0.2.1:10250 did not answer)" in reach(0).line
    monkeypatch.setattr(reach_, "has_route", lambda: False)
    assert reach(0).line == "a network of its own without a way out"


def test_a_policy_may_take_its_time(monkeypatch, nobody):
    answers = iter([{"192.0.2.1:10250"}, set()])
    monkeypatch.setattr(reach_, "_answering", lambda targets: next(answers))
    monkeypatch.setenv(NODE, "192.0.2.1")
    assert reach(5).closed


@pytest.mark.parametrize(
    ("device", "gateway", "found"),
    [("eth0", "0140000A", True), ("eth0", "00000000", False), ("lo", "0100007F", False)],
)
def test_a_gateway_is_a_way_out(tmp_path, device, gateway, found):
    table = tmp_path / "route"
    table.write_text(ROUTE.format(device, gateway))
    assert has_route([table]) is found


def test_what_was_tried_is_part_of_the_result():
    assert PodReach(way_out=True, tried=["a:1", "b:2"], reached=[]).line.count(", b:2") == 1
