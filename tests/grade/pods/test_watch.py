"""The pods of a batch, whatever becomes of the watch."""

from __future__ import annotations

from contextlib import closing

import pytest
from paper_cluster import SUCCEEDED, PaperCluster

from llmlab.errors import Unavailable
from llmlab.grade.pods import access as access_
from llmlab.grade.pods import watch as watch_
from llmlab.grade.pods.access import Access, ApiRefusal
from llmlab.grade.pods.watch import PodWatch

NAMESPACE = "/api/v1/namespaces/ns"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(access_, "PAUSE", 0.01)
    monkeypatch.setattr(watch_, "SOON", 1)
    with PaperCluster().running(tmp_path) as it:
        it.put(NAMESPACE, {"metadata": {"name": "ns"}, "status": {"phase": "Active"}})
        it.put("/apis/batch/v1/namespaces/ns/jobs/b", {"metadata": {"name": "b"}, "spec": {}})
        yield it


@pytest.fixture
def access(cluster):
    with closing(Access("paper", "ns", str(cluster.kubeconfig))) as it:
        yield it


def seen(watch):
    return [(pod.index, pod.status.phase) for pod in watch.changes()]


def test_what_is_there_comes_first_and_then_what_changes(cluster, access):
    cluster.pod("b", 0, 0, SUCCEEDED)
    watch = PodWatch(access, "b")
    assert seen(watch) == [(0, "Succeeded")]
    cluster.pod("b", 1, 0, {"phase": "Running"})
    assert seen(watch) == [(1, "Running")]
    cluster.pod("b", 1, 0, SUCCEEDED)
    assert seen(watch) == [(1, "Succeeded")]
    assert cluster.asked["GET pods"] == 3


def test_a_list_of_many_comes_in_pages(cluster, access, monkeypatch):
    monkeypatch.setattr(watch_, "PAGE", "2")
    for index in range(5):
        cluster.pod("b", index, 0, SUCCEEDED)
    assert sorted(index for index, _ in seen(PodWatch(access, "b"))) == list(range(5))
    assert cluster.asked["GET pods"] == 3


def test_a_version_that_is_too_old_is_listed_again(cluster, access):
    watch = PodWatch(access, "b")
    assert seen(watch) == []
    cluster.gone = 1
    cluster.pod("b", 0, 0, SUCCEEDED)
    assert seen(watch) == []
    assert seen(watch) == [(0, "Succeeded")]


def test_a_watch_that_broke_off_goes_on_where_it_was(cluster, access):
    watch = PodWatch(access, "b")
    seen(watch)
    cluster.cut = 1
    for index in range(3):
        cluster.pod("b", index, 0, SUCCEEDED)
    assert seen(watch) + seen(watch) == [(index, "Succeeded") for index in range(3)]


def test_a_control_plane_that_is_away_is_waited_for_with_words(cluster, access):
    said = []
    access.say = said.append
    cluster.away = 5
    cluster.pod("b", 0, 0, SUCCEEDED)
    assert seen(PodWatch(access, "b")) == [(0, "Succeeded")]
    assert [text.rsplit(" ", 3)[0] for text in said] != []
    assert "waiting" in said[0]
    assert "is back" in said[1]


def test_one_that_stays_away_is_said(cluster, access):
    access.patience = 0.1
    cluster.away = 10**6
    with pytest.raises(Unavailable, match="has not answered"):
        seen(PodWatch(access, "b"))


def test_a_refusal_is_not_waited_for(cluster, access):
    cluster.refuses["GET pods"] = (403, "pods is forbidden")
    with pytest.raises(ApiRefusal, match="forbidden"):
        seen(PodWatch(access, "b"))
    assert cluster.asked["GET pods"] == 1
