"""What notebooks of the course hold: the classes that the tiers have for them, read from the registry and from annotations.

Read, not run: `cluster = lab.cluster()` is a LiveCluster, by the registry of tiers; `cluster.apply()` is what its annotation says.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import types

from llmlab import tier, tiers
from llmlab.tiers.process.notebook import LiveServer


def faces() -> dict[str, type]:
    """The public classes of every module `notebook` of a tier, by name."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(tiers.__path__, f"{tiers.__name__}."):
        if "notebook" in module.name.split("."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if (
                    inspect.isclass(value)
                    and value.__module__ == module.name
                    and not getattr(value, "_is_protocol", False)
                ):
                    assert name not in found, f"two classes {name}"
                    found[name] = value
    return found


FACES = faces()
OPENED = {name: tier.load(what) for part in ("opens", "gives") for name, what in tier.all_of(part).items()}
#: `lab.serve()` is the lab's own: every tier needs a server.
OPENERS = {name: made.__name__ for name, made in OPENED.items() if inspect.isclass(made)} | {
    "serve": LiveServer.__name__
}


def members(face: type) -> set[str]:
    """Its public methods and properties."""
    kinds = (types.FunctionType, property)
    return {
        name for name, value in vars(face).items() if isinstance(value, kinds) and not name.startswith("_")
    }


def named_in(annotation: ast.expr | None) -> set[str]:
    """The faces that an annotation names: `Drawn`, `Shown | Drawn`, "LiveBuild"."""
    if annotation is None:
        return set()
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} & FACES.keys()


def returns() -> dict[str, dict[str, set[str]]]:
    """What the methods of a face give, where it is a face too."""
    found: dict[str, dict[str, set[str]]] = {name: {} for name in FACES}
    for name, face in FACES.items():
        body = ast.parse(inspect.getsource(face)).body[0]
        assert isinstance(body, ast.ClassDef)
        for method in body.body:
            if isinstance(method, ast.FunctionDef):
                found[name][method.name] = named_in(method.returns)
    gives = {name: made for name, made in OPENED.items() if not inspect.isclass(made)}
    for name, made in gives.items():
        (body,) = ast.parse(inspect.getsource(made)).body
        assert isinstance(body, ast.FunctionDef)
        found.setdefault("", {})[name] = named_in(body.returns)
    return found


RETURNS = returns()
