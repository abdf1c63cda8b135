"""Collecting from the volumes of a hub on Kubernetes. kubectl is a stand-in that keeps its cluster in a folder: no cluster is asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from llmlab.course.info import find_lab
from llmlab.errors import LabError
from llmlab.hub import claims

INFO = find_lab("01")
KUBECTL = """#!{python}
import json, os, subprocess, sys
from pathlib import Path

cluster = Path({folder!r})
words = sys.argv[1:]
assert words[:4] == ["--context", "classroom", "--namespace", "hub"], words
verb, *rest = words[4:]
with (cluster / "asked").open("a") as file:
    file.write(f"{{verb}}\\n")
if verb == (cluster / "refuses").read_text():
    sys.exit("Error from server (Forbidden): you may not " + verb)
if verb == "get":
    print((cluster / "claims.json").read_text())
elif verb == "create":
    pods = json.load(sys.stdin)["items"]
    (cluster / "pods.json").write_text(json.dumps(pods))
elif verb == "exec":
    (pod,) = [pod for pod in json.loads((cluster / "pods.json").read_text()) if pod["metadata"]["name"] == rest[0]]
    home = cluster / pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    sys.exit(subprocess.run(["sh", "-c", rest[-1].replace("/learner", str(home))]).returncode)
elif verb == "delete":
    (cluster / "pods.json").write_text("[]")
"""


@pytest.fixture
def cluster(tmp_path) -> Path:
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "refuses").write_text("")
    (folder / "pods.json").write_text("[]")
    script = tmp_path / "kubectl"
    script.write_text(KUBECTL.format(python=sys.executable, folder=str(folder)))
    script.chmod(0o755)
    return folder


@pytest.fixture
def hub(cluster) -> claims.HubVolumes:
    return claims.HubVolumes(
        "classroom", "hub", "registry.example.org/llmlab:1.0", str(cluster.parent / "kubectl")
    )


def learners(cluster: Path, *names: str) -> None:
    """Volumes of these learners; what is said of others in the namespace does not matter."""
    items = [
        {"metadata": {"name": f"claim-{number}", "annotations": {claims.WHOSE: name}}}
        for number, name in enumerate(names)
    ]
    items.append({"metadata": {"name": "shared"}})
    (cluster / "claims.json").write_text(json.dumps({"items": items}))
    for number, name in enumerate(names):
        folder = cluster / f"claim-{number}" / "llmlab" / "labs" / INFO.name
        folder.mkdir(parents=True)
        (folder / "server.toml").write_text(name)


def left(cluster: Path) -> list[Any]:
    return json.loads((cluster / "pods.json").read_text())


def test_all_volumes_are_read_a_batch_at_a_time(cluster, hub, tmp_path):
    learners(cluster, "zoë", "ann", "ben")
    os.utime(
        cluster / "claim-1" / "llmlab" / "labs" / INFO.name / "server.toml", (1_700_000_000, 1_700_000_000)
    )
    said: list[str] = []
    done = claims.collect(INFO, hub, tmp_path / "out", at_once=2, say=said.append)
    assert [(learner.learner, learner.files) for learner in done] == [
        (name, ("server.toml",)) for name in ("ann", "ben", "zoë")
    ]
    assert {path.name: (path / "server.toml").read_text() for path in (tmp_path / "out").iterdir()} == {
        "ann": "ann",
        "ben": "ben",
        "zoë": "zoë",
    }
    handed_in = (tmp_path / "out" / "ann" / "server.toml").stat().st_mtime
    assert handed_in == 1_700_000_000, "lateness is told by it"
    assert said == ["[2/3] ann to ben", "[3/3] zoë to zoë"]
    assert (cluster / "asked").read_text().split().count("create") == 2
    assert left(cluster) == []


def test_who_has_nothing_or_a_link_is_no_trouble_for_the_others(cluster, hub, tmp_path):
    learners(cluster, "ann", "ben", "eve")
    secret = tmp_path / "secret"
    secret.write_text("ours")
    (cluster / "claim-1" / "llmlab" / "labs" / INFO.name / "server.toml").unlink()
    evil = cluster / "claim-2" / "llmlab" / "labs" / INFO.name
    (evil / "server.toml").unlink()
    (evil / "server.toml").symlink_to(secret)
    (evil / "lab.ipynb").symlink_to("../../../../../../../secret")
    done = claims.collect(INFO, hub, tmp_path / "out")
    assert [learner.files for learner in done] == [("server.toml",), (), ()]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ann"]


@pytest.mark.parametrize("verb", ["get", "create", "wait"])
def test_what_the_cluster_refuses_is_one_sentence_and_leaves_no_pod(cluster, hub, tmp_path, verb):
    learners(cluster, "ann")
    (cluster / "refuses").write_text(verb)
    with pytest.raises(LabError, match=f"you may not {verb}") as error:
        claims.collect(INFO, hub, tmp_path / "out")
    assert error.value.fix
    assert left(cluster) == []


def test_a_volume_that_cannot_be_read_is_said_and_the_rest_goes_on(cluster, hub, tmp_path):
    learners(cluster, "ann", "ben")
    (cluster / "refuses").write_text("exec")
    done = claims.collect(INFO, hub, tmp_path / "out")
    assert [learner.files for learner in done] == [(), ()]
    assert "could not be read" in done[0].remarks[0]


def test_without_volumes_or_kubectl_it_says_what_to_do(cluster, hub, tmp_path):
    (cluster / "claims.json").write_text('{"items": []}')
    with pytest.raises(LabError, match="No learner has a volume"):
        hub.claims()
    with pytest.raises(LabError, match="no kubectl"):
        claims.HubVolumes("classroom", "hub", "image", str(tmp_path / "none")).claims()


def test_a_reading_pod_is_restricted_and_mounts_read_only():
    pod = claims._reader("image", "name", "claim-ann", "mark")
    (container,) = pod["spec"]["containers"]
    assert container["volumeMounts"] == [{"name": "home", "mountPath": "/learner", "readOnly": True}]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
