"""House rules for a lab's source: short cells, a prediction before a measurement, files edited as files."""

# mypy: allow-untyped-calls
# (IPython is only partly annotated)

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .source import Source, SourceCell

MOST = 8  # lines of code in a cell
MEASURES = re.compile(r"\.(?:load|sweep)\(")
YAML = re.compile(r"^\s*(?:- )?[A-Za-z_][\w.-]*:(?:\s|$)", re.MULTILINE)
HCL = re.compile(r"^\s*(?:resource|provider|module|variable|data|output|terraform)\b[^\n=]*\{", re.MULTILINE)
DOCKERFILE = re.compile(r"^FROM \S+", re.MULTILINE)
SECTIONS = {"objectives": r"objectives", "summary": r"summary|what you (?:saw|learned)", "next": r"next"}


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that differs, or one house rule broken: what, and where (file, and line if it has one)."""

    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def lint(source: Source) -> list[Drift]:
    """Every house rule that `source` breaks, with file and line."""
    out = []
    for cell in source.cells:
        if cell.kind == "code":
            out += [Drift(what, source.where(cell, line)) for what, line in _code(cell)]
    out += _prediction(source)
    for tag, words in SECTIONS.items():
        heading = re.compile(rf"^#+ .*\b(?:{words})\b", re.IGNORECASE | re.MULTILINE)
        if not any(c.kind == "markdown" and (tag in c.tags or heading.search(c.text)) for c in source.cells):
            out.append(Drift(f"no markdown cell tagged {tag} (or with such a heading)", str(source.path)))
    return out


def _code(cell: SourceCell) -> Iterator[tuple[str, int]]:
    lines = [line for line in cell.for_solution.split("\n") if line.strip()]
    if len(lines) > MOST and "figure" not in cell.tags:
        yield f"{len(lines)} lines of code, at most {MOST} (or tag it figure)", 0
    if re.search(r"^%%(?:writefile|file)\b", cell.text, re.MULTILINE):
        yield "learners edit files: no %%writefile", 0
    for side, text in (("solution", cell.for_solution), ("learner", cell.for_learner)):
        if text is None:
            continue
        try:
            tree = ast.parse(_plain(text))
        except SyntaxError as error:
            yield f"not Python ({side}'s side): {error.msg}", error.lineno or 0
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
                kind = _embedded(node.value)
                if kind and side == "solution":
                    yield f"{kind} in a string: learners edit files", node.lineno


def _plain(text: str) -> str:
    """Magics and shell lines as the Python that IPython makes of them."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(text)


def _embedded(text: str) -> str | None:
    if HCL.search(text):
        return "HCL"
    if DOCKERFILE.search(text):
        return "a Dockerfile"
    return "YAML" if len(YAML.findall(text)) >= 2 else None


def _prediction(source: Source) -> list[Drift]:
    """A lab that measures asks for a prediction first."""
    first = next((n for n, c in enumerate(source.cells) if c.kind == "code" and _measures(c)), None)
    if first is None or any("prediction" in c.tags for c in source.cells[:first]):
        return []
    return [
        Drift("no cell tagged prediction before the first measurement", source.where(source.cells[first]))
    ]


def _measures(cell: SourceCell) -> bool:
    return "measure" in cell.tags or bool(MEASURES.search(cell.for_solution))
