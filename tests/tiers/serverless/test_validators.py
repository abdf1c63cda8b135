"""What each validator refuses of the guide's files and of files with one mistake; where a program is missing, how it says so."""

from __future__ import annotations

import json
import shutil

import pytest

from llmlab.errors import LabError
from llmlab.tiers.serverless import validators

TASK = {
    "family": "llama-server",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "4096",
    "memory": "16384",
    "containerDefinitions": [{"name": "llama-server", "image": "llama-server:v1.0.0", "dockerLabels": {"lower": "case"}}],
}  # fmt: skip
SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: llama-server
spec:
  template:
    spec:
      containerConcurrency: 4
      containers:
        - image: llama-server:v1.0.0
          ports:
            - containerPort: 8080
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [({}, ""), ({"cpuu": "1"}, 'Unknown parameter in input: "cpuu"'), ({"family": 3}, "Invalid type for parameter family"), ({"containerDefinitions": None}, "containerDefinitions")],
    ids=["good", "unknown-key", "wrong-type", "nothing"],
)  # fmt: skip
def test_a_task_definition_against_botocores_model(tmp_path, change, says):
    path = tmp_path / "task.json"
    path.write_text(json.dumps(TASK | change))
    found = validators.EcsShape().problems(path)
    assert says in "\n".join(map(str, found))
    assert bool(found) == bool(says)


@pytest.mark.skipif(
    not shutil.which("cfn-lint"), reason="cfn-lint is not on PATH. Bring it: uv tool install cfn-lint"
)
def test_a_pair_that_fargate_has_not_is_cfn_lints_to_find(tmp_path):
    path = tmp_path / "task.json"
    path.write_text(json.dumps(TASK))
    assert validators.EcsRules().problems(path) == []
    path.write_text(json.dumps(TASK | {"cpu": "1024", "memory": "1000"}))
    assert "E3047" in str(validators.EcsRules().problems(path)[0])


@pytest.mark.skipif(not shutil.which("az"), reason="az is not on PATH. Bring it: uv tool install azure-cli")
def test_az_lines_are_read_by_az_and_nobody_is_asked(tmp_path):
    path = tmp_path / "aci.sh"
    path.write_text(
        "rg=x\naz container create -g x -n y --image z \\\n  --os-type Linux --cpu 4\naz container create --imag z\n"
    )
    (one,) = validators.AzCommands().problems(path)
    assert one.where == "aci.sh:4"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("", "", ""),
        ("containerConcurrency", "containerConcurency", "containerConcurency"),
        ("containerPort: 8080", "containerPort: http", "not of type 'integer'"),
        ("serving.knative.dev/v1", "v1", "no Service of serving.knative.dev"),
    ],
    ids=["good", "typing-error", "a-word-for-a-port", "another-service"],
)
def test_a_cloud_run_service_against_knatives_schema(tmp_path, before, after, says):
    knative = validators.KnativeService()
    if knative.lacks():
        pytest.skip(knative.lacks())
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE.replace(before, after) if before else SERVICE)
    found = knative.problems(path)
    assert says in "\n".join(map(str, found))
    assert bool(found) == bool(says)


def test_what_cannot_be_read_names_its_line_and_what_is_missing_its_command(tmp_path, monkeypatch):
    path = tmp_path / "task.json"
    path.write_text('{\n  "family": \n}\n')
    with pytest.raises(LabError) as caught:
        validators.problems("ecs", path)
    assert caught.value.where == "task.json:3"
    path.write_text(json.dumps(TASK))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert validators.problems("ecs", path) == ([], [validators.EcsRules().lacks()])
    assert "Bring it: " in validators.EcsRules().lacks()
