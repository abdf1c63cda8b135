"""A Compose project as a notebook handles it, where Compose's part is a stand-in's and the server behind the door is real."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmlab.load.target import target
from llmlab.serve import Server, Spec
from llmlab.tiers.compose.notebook import LiveProject, PolicyShares


def container(name: str, health: str | None) -> SimpleNamespace:
    state = {"State": {"Health": {"Status": health}} if health else {}}
    return SimpleNamespace(name=name, id=name, status="running", attrs=state)


@pytest.fixture
def stack(tmp_path):
    """A project that is up: a door, a replica."""
    door, replica = container("door-1", None), container("llama-1", "healthy")
    live = object.__new__(LiveProject)
    live.file, live.note, live._door = "compose.yaml", None, "http://127.0.0.1:1"
    live.lab = SimpleNamespace(files=tmp_path, seed=3, info=SimpleNamespace(name="04-compose"))
    live.project = SimpleNamespace(
        claim=SimpleNamespace(name="llmlab-1"),
        containers=lambda: [door, replica],
        addresses=lambda: [(door, "127.0.0.1:8080 → 8080")],
    )
    firing = [{"labels": {"alertname": name}} for name in ("Slow", "Down", "Slow")]
    live.fleet = SimpleNamespace(service="llama", replicas=lambda: [replica], alerts=lambda: firing)
    return live


def test_ps_shows_each_container_and_the_line_for_a_shell(stack):
    shown = stack.ps()
    assert shown.rows == [
        ("door-1", "running", "127.0.0.1:8080 → 8080"),
        ("llama-1", "running (healthy)", ""),
    ]
    assert "docker compose -p llmlab-1 ps" in repr(shown)
    assert "2 containers, the door answers at http://127.0.0.1:1" in repr(stack)


def test_replicas_counts_those_that_run(stack):
    assert stack.replicas == 1


def test_hits_are_cached_of_all_prompt_tokens():
    rows = [
        ["yours", "replica 1", 3, 60, 20],
        ["yours", "replica 2", 3, 0, 0],
        ["other", "replica 1", 0, 0, 0],
    ]
    columns = ("policy", "replica", "requests", "prompt_tokens", "cached_tokens")
    table = SimpleNamespace(dicts=lambda: [dict(zip(columns, row, strict=True)) for row in rows])
    found = PolicyShares(table, None, [])
    assert found.hits("yours") == 0.25
    assert found.hits("other") is None
    assert found.hits("none") is None


def test_each_alert_that_fires_is_named_once(stack):
    assert stack.alerts() == ["Down", "Slow"]


@pytest.mark.needs("process")
def test_the_door_is_loaded_by_streams_or_at_a_rate(stack):
    with Server(Spec(flags={"ctx-size": 512, "parallel": 2, "threads": 1}), port=0) as server:
        stack.fleet.target = lambda: target(server)
        closed = stack.load(concurrency=[1, 2], requests=3, max_tokens=2)
        paced = stack.load(rate=50, requests=4, max_tokens=2, warmup=0)
        again = stack.measure([run.plan for run in paced.runs])
    assert [run.plan.concurrency for run in closed.runs] == [1, 2]
    assert [run.plan.pattern for run in paced.runs] == ["poisson"]
    assert [len(run.samples) for run in [*closed.runs, *again.runs]] == [3, 3, 4]
    assert {run.plan.seed for run in closed.runs} == {3}
    # behind a door counters are of whichever replica was met
    assert [run.counters for run in closed.runs] == [None, None]
    assert closed.record.note == "1 replicas behind one door"
    assert closed.path.parent == stack.lab.files / "records"
