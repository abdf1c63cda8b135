"""A witness in the servers' place: it does what a request asks of it, tells what came, and goes again."""

from __future__ import annotations

import httpx
import pytest

from llmlab.system.waiting import wait
from llmlab.tiers.gateway.conditions import settled
from llmlab.tiers.gateway.door import door
from llmlab.tiers.gateway.witness import Witness
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied

pytestmark = pytest.mark.needs("pods", "root", "binary")
NS, HOST = "inference", "witnessed.example.com"
FILES = """apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: watched}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: watched}
spec:
  parentRefs: [{name: watched}]
  rules:
  - timeouts: {request: 0s}
    backendRefs: [{name: nobody, port: 80}]
"""


@pytest.fixture(scope="module")
def watched(local, tmp_path_factory):
    local.load("llmlab/witness:1")
    folder = tmp_path_factory.mktemp("watched")
    (folder / "watched.yaml").write_text(FILES)
    with Applied(local, manifests.read(folder, ["watched.yaml"], namespaces=[NS])) as stack:
        stack.up()
        assert settled(local, stack.documents, 60) == []
        yield door(local, "watched", NS), Witness(local, NS)


def test_it_stands_behind_a_service_for_a_block_and_tells_what_came(watched):
    front, witness = watched
    wait("the route", lambda: front.ask("GET", "/", HOST).status_code == 503, 30)
    with witness.behind("nobody"):
        wait("the witness", lambda: front.ask("GET", "/", HOST).status_code == 200, 20)
        body = {"id": "one", "prompt": "x" * 100}
        assert (
            front.ask("POST", "/v1/completions?a=1", HOST, json=body, headers={"x-it": "was sent"}).json()[
                "model"
            ]
            == "witness"
        )
        [seen] = witness.of("one")
        assert (seen.method, seen.path, seen.host) == ("POST", "/v1/completions?a=1", HOST)
        assert seen.bytes > 100
        assert list(seen.headers["X-It"]) == ["was sent"]
    wait("nobody again", lambda: front.ask("GET", "/", HOST).status_code == 503, 20)


def test_it_streams_breaks_off_and_resets_as_asked(watched):
    front, witness = watched

    def ask(**does: object) -> httpx.Response:
        return front.ask("POST", "/", HOST, json={"id": "two", "witness": does}, timeout=20)

    with witness.behind("nobody"):
        wait("the witness", lambda: front.ask("GET", "/", HOST).status_code == 200, 20)
        stream = ask(every=0.01, times=5)
        assert stream.text.count("data: ") == 6
        assert '"stop": true' in stream.text
        assert ask(reset=True).status_code == 503
        with pytest.raises(httpx.RemoteProtocolError):
            ask(**{"break": True})
        with pytest.raises(httpx.ReadTimeout):
            front.ask("POST", "/", HOST, json={"witness": {"hang": True}}, timeout=0.5)
        assert len(witness.of("two")) == 3
