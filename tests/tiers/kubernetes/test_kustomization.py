"""A kustomization is rendered outside of the sandbox: it fetches nothing, and reads nothing but its own folder."""

from __future__ import annotations

import http.server
import threading

import pytest

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.drivers.simulated import Simulated
from llmlab.tiers.kubernetes.manifests import kustomization, manifests

NS = ["inference"]
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "files"
    (made / "base").mkdir(parents=True)
    (made / "map.yaml").write_text(MAP)
    (made / "models.ini").write_text("[chat]\n")
    (made / "base" / "other.yaml").write_text(MAP.replace("x}", "below}"))
    (made / "base" / "kustomization.yaml").write_text("resources: [other.yaml]\n")
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "secret").write_text("secret")
    (tmp_path / "neighbour" / "kustomization.yaml").write_text(
        "configMapGenerator: [{name: x, files: [secret]}]\n"
    )
    return made


@pytest.fixture
def asked():
    """What a server on this machine is asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(MAP.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", paths
        server.shutdown()


@pytest.mark.needs("kubernetes")
@pytest.mark.parametrize(
    "text",
    [
        "resources: [map.yaml, 'http://AT/x.yaml']",
        "resources: ['http://AT/repo.git//base?ref=main']",
        "components: ['git::http://AT/repo.git']",
        "patches: [{path: 'http://AT/patch.yaml', target: {kind: ConfigMap}}]",
        "configMapGenerator: [{name: x, files: ['a=http://AT/x']}]",
        "configMapGenerator: [{name: x, envs: ['http://AT/x']}]",
        "secretGenerator: [{name: x, EnVs: ['http://AT/x']}]",
        "configMapGenerator: [{name: x, <<: {envs: ['http://AT/x']}}]",
        "openapi: {path: 'http://AT/x'}",
        "generators: ['http://AT/x']",
        "resources: ['github.com/llmlab/nowhere']",
        "resources: [../neighbour]",
        "resources: [linked]",
        "resources: [/etc/hostname]",
        "configMapGenerator: [{name: x, files: [../neighbour/secret]}]",
        "helmCharts: [{name: x, repo: 'http://AT/charts'}]",
    ],
)
def test_nothing_is_fetched_and_no_neighbour_is_read(folder, asked, text):
    at, paths = asked
    (folder / "linked").symlink_to(folder.parent / "neighbour")
    (folder / "kustomization.yaml").write_text("# first\n" + text.replace("AT", at) + "\n")
    with pytest.raises(LabError) as caught:
        manifests.kustomized(Simulated(), folder, namespaces=NS)
    assert caught.value.where == "kustomization.yaml:2"
    assert paths == []


def test_a_folder_below_is_looked_through_too(folder):
    (folder / "kustomization.yaml").write_text("resources: [base]\n")
    (folder / "base" / "kustomization.yaml").write_text("resources:\n- other.yaml\n- ../../neighbour\n")
    with pytest.raises(LabError, match="neighbour is not in this folder") as caught:
        kustomization.vet(folder)
    assert caught.value.where == "base/kustomization.yaml:3"


@pytest.mark.needs("kubernetes")
def test_what_a_lab_needs_is_rendered(folder):
    (folder / "patch.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {c: d}\n")
    (folder / "kustomization.yaml").write_text(
        "namespace: inference\n"
        "resources: [map.yaml, ./base]\n"
        "labels: [{pairs: {app: one}, fields: [{path: spec/template, create: true}]}]\n"
        "patches:\n- path: patch.yaml\n- target: {kind: ConfigMap, name: below}\n"
        '  patch: \'[{"op": "add", "path": "/data/e", "value": "f"}]\'\n'
        "configMapGenerator: [{name: models, files: [models.ini, chat.ini=models.ini], literals: [a=http://b]}]\n"
    )
    found = {
        document.name.split("-")[0]: document
        for document in manifests.kustomized(Simulated(), folder, namespaces=NS)
    }
    assert found["x"].body["data"] == {"a": "b", "c": "d"}
    assert found["below"].body["data"] == {"a": "b", "e": "f"}
    assert found["models"].body["data"] == {"a": "http://b", "models.ini": "[chat]\n", "chat.ini": "[chat]\n"}
    assert found["x"].where == "map.yaml:1"


@pytest.mark.parametrize("text", ["[]", "resources: [map.yaml", "resources: [map.yaml]\nresources: []\n"])
def test_one_that_is_none_says_so(folder, text):
    (folder / "kustomization.yaml").write_text(text)
    with pytest.raises(LabError) as caught:
        kustomization.vet(folder)
    assert str(caught.value.where).startswith("kustomization.yaml:")


def test_a_folder_that_nobody_names_is_nobodys_business(folder):
    """The untouched starter lies below a solution, and names what only the lab has."""
    (folder / "starter").mkdir()
    (folder / "starter" / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    kustomization.vet(folder)
    (folder / "kustomization.yaml").write_text("resources: [starter]\n")
    with pytest.raises(LabError, match=r"nowhere\.yaml") as caught:
        kustomization.vet(folder)
    assert caught.value.where == "starter/kustomization.yaml:1"
