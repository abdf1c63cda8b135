"""Knative on a cluster of ours: a service from nothing and back, a revision that cannot start, and a reply that is cut and looks whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.local import Local
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.serverless import cloud_run, starts
from llmlab.tiers.serverless.given import RUN_IMAGE, key_secret

pytestmark = pytest.mark.needs("pods", "root", "binary")
NS, KEY = "inference", "sk-of-the-test"
SERVICE = (Path(__file__).parents[3] / "solutions" / "11-serverless" / "service.yaml").read_text()


@pytest.fixture(scope="module")
def cluster():
    with Local() as one:
        one.preload = (RUN_IMAGE,)
        one.up()
        one.add("knative")
        cloud_run.admits(one)
        yield one
    assert list(Path("/sys/fs/cgroup").glob(f"**/{one.name}")) == []  # its instances are in it too
    assert not one.folder.exists()


@pytest.fixture
def read(tmp_path):
    def service(text: str) -> cloud_run.RunService:
        (tmp_path / "service.yaml").write_text(text)
        return cloud_run.read(tmp_path, "service.yaml", NS)

    return service


@pytest.fixture(scope="module")
def deployed(cluster, tmp_path_factory):
    """The worked service; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "service.yaml").write_text(SERVICE)
    service = cloud_run.read(folder, "service.yaml", NS)
    with Applied(cluster, [key_secret(NS, KEY), service.document]) as one:
        one.up()
        cloud_run.ready(one, service)
        yield one, service


def test_it_goes_to_nothing_and_a_request_brings_it_back(cluster, deployed):
    _, service = deployed
    door = cloud_run.door(cluster, service)
    with door.client(key=KEY) as client:
        assert client.get("/v1/models").status_code == 200
    assert cloud_run.to_zero(cluster, service) is not None
    assert cloud_run.instances(cluster, service) == []
    rows = starts.start(cluster, service, door, KEY, 0)
    assert [row[2] for row in rows] == list(starts.PARTS)
    assert all(row[3] >= 0 for row in rows)
    assert len(cloud_run.instances(cluster, service)) == 1


def test_a_revision_that_cannot_start_is_said_with_its_words_and_the_old_one_answers_on(
    cluster, deployed, read
):
    one, service = deployed
    broken = read(SERVICE.replace("llama-server:v1.0.0", "llama-server:v9.9.9"))
    one.apply(broken.document)
    try:
        with pytest.raises(LabError, match=r"does not become ready: [\s\S]*v9\.9\.9") as caught:
            cloud_run.ready(one, broken, 60)
        assert caught.value.where == "service.yaml:1"
        with cloud_run.door(cluster, service).client(key=KEY) as client:
            assert client.get("/v1/models").status_code == 200
    finally:
        one.apply(service.document)
        cloud_run.ready(one, service)


def test_past_its_time_limit_a_stream_ends_properly_and_says_200(cluster, deployed, read):
    """So nothing here looks at the status: a stream is whole when its last event has come."""
    one, service = deployed
    hasty = read(SERVICE.replace("timeoutSeconds: 120", "timeoutSeconds: 2"))
    one.apply(hasty.document)
    try:
        cloud_run.ready(one, hasty)
        body = {"prompt": "once", "max_tokens": 100_000, "stream": True, "ignore_eos": True}
        with (
            cloud_run.door(cluster, hasty).client(key=KEY) as client,
            client.stream("POST", "/v1/completions", json=body) as reply,
        ):
            text = reply.read().decode()  # httpx raises where a chunked body has no end
        assert reply.status_code == 200
        assert "request timeout" in text
        assert "[DONE]" not in text
        assert '"choices"' in text
    finally:
        one.apply(service.document)
        cloud_run.ready(one, service)


def test_the_address_of_a_service_that_is_not_there_is_a_404(cluster, deployed):
    _, service = deployed
    made = cloud_run.door(cluster, service)
    with cloud_run.RunDoor(made.base, "nobody.inference.example.com").client() as client:
        assert client.get("/health").status_code == 404


def test_a_service_goes_with_what_it_was_applied_with(cluster, deployed, read):
    other = read(SERVICE.replace("name: llama-server\n  annotations", "name: another\n  annotations"))
    _, service = deployed
    assert other.name == "another"
    one, _ = deployed
    one.apply(other.document)
    cloud_run.ready(one, other)
    cluster.run_kubectl("delete", "ksvc", "another", "-n", NS)
    wait("the end of its pods", lambda: cloud_run.instances(cluster, other) == [], 30)
    assert cloud_run.conditions(cloud_run.asked(cluster, NS, service.name))["Ready"][0] == "True"


def test_where_no_pod_runs_its_definitions_are_there(tmp_path):
    with Simulated() as one:
        one.up()
        one.add("knative")
        found = json.loads(one.run_kubectl("get", "crd", "services.serving.knative.dev", "-o", "json"))
    assert found["spec"]["group"] == cloud_run.API
