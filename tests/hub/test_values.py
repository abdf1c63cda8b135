"""docs/hub/values.yaml: the keys are ones that Zero to JupyterHub has, and KubeSpawner makes of them the pod that the page promises.

The chart is not here: its keys are written down below as its reference names them (5.x, July 2026). Realism: `schema`.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

# Looked for, not imported: each worker that collects the tests would spend a second on it.
pytestmark = pytest.mark.skipif(
    find_spec("kubespawner") is None, reason="KubeSpawner is missing: uv sync (it is in the dev group)"
)
VALUES = Path(__file__).resolve().parents[2] / "docs" / "hub" / "values.yaml"
#: https://z2jh.jupyter.org/en/stable/resources/reference.html, as far as it is used; `...`: whatever is below.
REFERENCE: dict[str, Any] = {
    "hub": {"config": ...},
    "singleuser": {
        "image": {"name": str, "tag": str},
        "cmd": str,
        "defaultUrl": str,
        "uid": int,
        "startTimeout": int,
        "cpu": {"guarantee": (int, float), "limit": (int, float)},
        "memory": {"guarantee": str, "limit": str},
        "storage": {"capacity": str, "homeMountPath": str, "extraVolumes": list, "extraVolumeMounts": list},
        "networkPolicy": {
            "enabled": bool,
            "egressAllowRules": {"cloudMetadataServer": bool, "privateIPs": bool, "nonPrivateIPs": bool},
        },
        "cloudMetadata": {"blockWithIptables": bool},
    },
    "prePuller": {"hook": {"enabled": bool}, "continuous": {"enabled": bool}},
    "cull": {"enabled": bool, "timeout": int, "every": int},
}


def strange(values: Any, reference: Any, where: str = "") -> list[str]:
    """Keys that the chart does not have, and values of another kind."""
    if reference is ...:
        return []
    if not isinstance(reference, dict):
        return (
            []
            if isinstance(values, reference) and not (isinstance(values, bool) and reference is int)
            else [where]
        )
    return [
        found
        for key, value in values.items()
        for found in (
            strange(value, reference[key], f"{where}.{key}") if key in reference else [f"{where}.{key}"]
        )
    ]


@pytest.fixture
def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())


def test_the_keys_are_the_charts(values):
    assert strange(values, REFERENCE) == []
    values["singleuser"]["memory"]["limits"] = values["cull"].pop("timeout")
    values["cull"]["every"] = "5m"
    assert strange(values, REFERENCE) == [".singleuser.memory.limits", ".cull.every"]


def pod(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The pod of a learner, as the chart hands these values to KubeSpawner; no cluster is asked."""
    from kubernetes_asyncio.client import ApiClient
    from kubespawner import KubeSpawner
    from traitlets.config import Config

    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    user = values["singleuser"]
    config = Config({"KubeSpawner": values["hub"]["config"]["KubeSpawner"]})
    storage = user["storage"]

    async def made() -> dict[str, Any]:
        spawner = KubeSpawner(
            _mock=True,
            config=config,
            user=SimpleNamespace(name="ann", id=1, url="/user/ann/"),
            image=f"{user['image']['name']}:{user['image']['tag']}",
            cmd=[user["cmd"]],
            uid=user["uid"],
            cpu_limit=user["cpu"]["limit"],
            cpu_guarantee=user["cpu"]["guarantee"],
            mem_limit=user["memory"]["limit"],
            mem_guarantee=user["memory"]["guarantee"],
            allow_privilege_escalation=False,
            volumes=[
                {"name": "home", "persistentVolumeClaim": {"claimName": "claim-ann"}},
                *storage["extraVolumes"],
            ],
            volume_mounts=[
                {"name": "home", "mountPath": storage["homeMountPath"]},
                *storage["extraVolumeMounts"],
            ],
        )
        spawner.get_env = dict
        spawner.api_token = "none"
        async with ApiClient() as api:
            sent: dict[str, Any] = api.sanitize_for_serialization(await spawner.get_pod_manifest())
        return sent

    return asyncio.run(made())


def test_a_learners_pod_is_restricted_and_keeps_the_images_entrypoint(values, monkeypatch):
    spec = pod(values, monkeypatch)["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry.example.org/llmlab:1.0"
    assert "command" not in container  # so binder/start lays the course out
    assert container["args"][0] == "jupyterhub-singleuser"
    assert spec["automountServiceAccountToken"] is False
    held = container["securityContext"]
    assert (held["runAsUser"], held["runAsNonRoot"], held["allowPrivilegeEscalation"]) == (1000, True, False)
    assert held["capabilities"]["drop"] == ["ALL"]
    assert held["seccompProfile"]["type"] == "RuntimeDefault"
    assert held["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/home/jovyan", "/tmp", "/dev/shm"}
    assert {name: float(value) for name, value in container["resources"]["limits"].items()} == {
        "cpu": 2,
        "memory": 4 << 30,
    }


def test_where_a_server_writes_is_what_the_image_calls_its_home(values):
    text = (VALUES.parents[2] / "binder" / "Dockerfile").read_text()
    assert "HOME=/home/${NB_USER}" in text
    assert "ARG NB_USER=jovyan" in text
    assert values["singleuser"]["storage"]["homeMountPath"] == "/home/jovyan"
