"""What other platforms would refuse of a file before anything runs: one interface over the validators that each of them has.

None of them says that it works: they know form. What each was seen to miss stands with it, so that a check can ask for the rest.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from ...errors import LabError, Unavailable
from ...system.go import compiler
from ...system.paths import cache_dir, cached

KNATIVE = "v0.51.0"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is refused: where in the file, and the validator's own words."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Validator(Protocol):
    """One of them. `file`: what it reads; `misses`: what it was seen to let through."""

    name: str
    file: str
    misses: str

    def lacks(self) -> str | None:
        """What this machine has not got for it, with what would bring it; None: it can be used."""

    def problems(self, path: Path) -> list[Problem]:
        """What it refuses of a file; none: the form is right.

        :raises LabError: when the file cannot be read at all, naming the line.
        """


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise LabError(f"{path.name} is no JSON: {error.msg}.", where=f"{path.name}:{error.lineno}") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise LabError(f"{path.name} is no YAML.", where=f"{path.name}:{line}") from None
    except OSError as error:
        raise LabError(f"{path.name} cannot be read: {error.strerror}.", fix="llmlab reset") from None


class EcsShape:
    """An ECS task definition against botocore's model of RegisterTaskDefinition."""

    name, file = "botocore", "an ECS task definition"
    misses = "values that are no enumeration of the model, pairs of cpu and memory that Fargate has not, a missing execution role"

    def lacks(self) -> str | None:
        """Nothing: botocore came with this package."""
        return None

    def problems(self, path: Path) -> list[Problem]:
        """Unknown keys, missing ones, wrong types."""
        return [Problem("", line) for line in self.refused(_read(path))]

    @staticmethod
    def refused(document: Any) -> list[str]:
        """The lines of botocore's report on what was read of a file."""
        from botocore.validate import ParamValidator

        report = ParamValidator().validate(document, _task_definition())
        return [line.strip() for line in report.generate_report().splitlines() if line.strip()]


class EcsRules:
    """The same with cfn-lint, as the CloudFormation resource that it would be."""

    name, file = "cfn-lint", "an ECS task definition"
    misses = "a GPU on Fargate, a missing execution role"

    def lacks(self) -> str | None:
        """The program."""
        return (
            None
            if shutil.which("cfn-lint")
            else "cfn-lint is not on PATH. Bring it: uv tool install cfn-lint"
        )

    def problems(self, path: Path) -> list[Problem]:
        """Pairs of cpu and memory, network modes, enumerations."""
        body = {"Type": "AWS::ECS::TaskDefinition", "Properties": _capital(_read(path), _task_definition())}
        with tempfile.TemporaryDirectory() as folder:
            template = Path(folder) / "template.json"
            template.write_text(
                json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Task": body}})
            )
            done = subprocess.run(
                ["cfn-lint", "--format", "json", str(template)], capture_output=True, text=True, timeout=120
            )
        return [
            Problem(
                ".".join(map(str, match["Location"]["Path"][3:])), f"{match['Rule']['Id']} {match['Message']}"
            )
            for match in json.loads(done.stdout or "[]")
            if match["Level"] == "Error"
        ]


class KnativeService:
    """A Cloud Run service file against the schema of Knative's own CustomResourceDefinition, unknown fields refused."""

    name, file = "Knative's schema", "a Cloud Run service"
    misses = "annotations, which are free text; limits of Cloud Run itself"

    def lacks(self) -> str | None:
        """The schema, or Go to fetch it with."""
        if cached(self._place()) or compiler():
            return None
        return f"Knative's schema {KNATIVE} comes as a Go module, and there is no Go. Bring it: https://go.dev/doc/install"

    def problems(self, path: Path) -> list[Problem]:
        """Typing errors in keys, wrong types, misplaced fields."""
        from jsonschema import Draft202012Validator

        found = _read(path)
        if (
            not isinstance(found, dict)
            or found.get("kind") != "Service"
            or not str(found.get("apiVersion")).startswith("serving.knative.dev/")
        ):
            return [Problem("apiVersion", "it is no Service of serving.knative.dev")]
        schema = _strict(self._schema())
        errors = sorted(
            Draft202012Validator(schema).iter_errors(found),
            key=lambda error: list(map(str, error.absolute_path)),
        )
        return [Problem(".".join(map(str, error.absolute_path)), error.message) for error in errors]

    def _place(self) -> str:
        return f"cloud/knative-serving-{KNATIVE}-service.yaml"

    def _schema(self) -> dict[str, Any]:
        place = cached(self._place())
        if place is None:
            line = [compiler() or "go", "mod", "download", "-json", f"knative.dev/serving@{KNATIVE}"]
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=300, cwd=tempfile.gettempdir()
            )
            if done.returncode:
                raise Unavailable(
                    f"Knative's schema {KNATIVE} could not be fetched.", where=done.stdout[-300:]
                )
            source = Path(json.loads(done.stdout)["Dir"]) / "config/core/300-resources/service.yaml"
            place = cache_dir() / self._place()
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        crd = yaml.safe_load(place.read_text())
        found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return found


class AzCommands:
    """The `az` lines of a script, each given to azure-cli's own parser with nobody logged in: it ends there, and asks nobody."""

    name, file = "azure-cli", "a script of az commands"
    misses = "values out of range (--cpu 400), machine types that were retired"

    def lacks(self) -> str | None:
        """The program."""
        return None if shutil.which("az") else "az is not on PATH. Bring it: uv tool install azure-cli"

    def problems(self, path: Path) -> list[Problem]:
        """Unknown options, bad choices, missing ones."""
        found = []
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise LabError(f"{path.name} cannot be read: {error.strerror}.", fix="llmlab reset") from None
        number = 1
        for line in text.replace("\\\n", "\x00").splitlines():
            here, number = number, number + 1 + line.count("\x00")
            try:
                words = shlex.split(line.replace("\x00", " "), comments=True)
            except ValueError as error:
                found.append(Problem(f"{path.name}:{here}", f"the shell cannot read it: {error}"))
                continue
            if words[:1] == ["az"]:
                with tempfile.TemporaryDirectory() as folder:  # no login of the learner's is in it
                    env = os.environ | {"AZURE_CONFIG_DIR": folder, "AZURE_CORE_COLLECT_TELEMETRY": "no"}
                    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
                if done.returncode == 2:
                    said = next(
                        (it for it in done.stderr.splitlines() if it.startswith("ERROR")),
                        done.stderr.strip()[-200:],
                    )
                    found.append(Problem(f"{path.name}:{here}", said.removeprefix("ERROR: ")))
        return found


VALIDATORS: Mapping[str, tuple[Validator, ...]] = {
    "ecs": (EcsShape(), EcsRules()),
    "cloud-run": (KnativeService(),),
    "azure": (AzCommands(),),
}


def problems(kind: str, path: Path) -> tuple[list[Problem], list[str]]:
    """What all validators of a kind refuse of a file, and which of them this machine lacks.

    :raises LabError: when the file cannot be read.
    """
    found, lacking = [], []
    for validator in VALIDATORS[kind]:
        why = validator.lacks()
        if why:
            lacking.append(why)
        else:
            found += validator.problems(path)
    return found, lacking


def _task_definition() -> Any:
    import botocore.session

    model = botocore.session.get_session().get_service_model("ecs")
    return model.operation_model("RegisterTaskDefinition").input_shape


def _capital(value: Any, shape: Any) -> Any:
    """Keys as CloudFormation writes them: those of structures begin with a capital, those of maps are the user's own."""
    if isinstance(value, dict) and shape is not None and shape.type_name == "structure":
        return {
            key[:1].upper() + key[1:]: _capital(member, shape.members.get(key))
            for key, member in value.items()
        }
    if isinstance(value, list) and shape is not None and shape.type_name == "list":
        return [_capital(member, shape.member) for member in value]
    return value


def _strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema that knows no other field than those it names; what preserves unknown ones is left open."""
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: _strict(subschema) for name, subschema in value.items()}
        if key == "properties"
        else _strict(value)
        for key, value in schema.items()
    }
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    open_ends = ("additionalProperties", "x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and not any(key in schema for key in open_ends):
        made["additionalProperties"] = False
    return made
