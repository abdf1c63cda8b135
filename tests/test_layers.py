"""Imports go downwards only (the design's layout); imports inside functions count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "llmlab"
# Lowest first; those on one line are peers that know no other.
ORDER = [
    ["errors", "keeper"],
    ["paths", "without"],
    ["schema"],
    ["machine", "owned", "jail"],
    ["debian", "yaml_nodes", "engine", "models", "scratch"],
    ["serve"],
    ["load", "records"],
    ["figures"],
    ["platforms"],
    ["doctor"],
    ["checks"],
    ["lab"],
    ["grade", "authoring"],
    ["frontdoor"],
    ["cli_cluster"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
# What a measurement means (stats) needs no server: load uses it, as records may use nothing of load.
ALLOWED = {("load", "records"), ("cli", "frontdoor"), ("frontdoor", "cli")}


def noun(parts: tuple[str, ...]) -> str:
    if parts[:2] == ("records", "schema"):
        return "schema"
    return parts[0].removesuffix(".py")


def imports(path: Path):
    """(line, noun) of everything of llmlab's that a file imports."""
    here = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level]
            module = (*base, *(node.module or "").split(".")) if node.module else base
            for name in node.names:
                parts = tuple(filter(None, (*module, name.name)))
                if parts and parts[0] != "__version__":
                    yield node.lineno, noun(parts)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmlab."):
            yield node.lineno, noun(tuple(node.module.split(".")[1:]))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    mine = noun(path.relative_to(PACKAGE).parts)
    if mine in ("__init__", "__main__"):
        return
    wrong = [
        f"{path.name}:{line} ({mine}) imports {other}"
        for line, other in imports(path)
        if other in LEVEL and other != mine and (mine, other) not in ALLOWED and LEVEL[other] >= LEVEL[mine]
    ]
    assert not wrong, wrong


def test_every_package_says_what_lives_in_it():
    for path in PACKAGE.glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert text.count(".") >= 2, f"{path}: two sentences, what lives here and what does not"
