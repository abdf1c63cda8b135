"""Both notebooks of a lab, byte for byte the same from the same source.

The learner's has no outputs. The solution notebook keeps the outputs of cells tagged `compare`, which nbval
compares; in all its other code cells nbval ignores the output.
"""

# mypy: allow-untyped-calls
# (nbformat is only partly annotated)

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..system.paths import replace_file
from .source import Source, SourceCell, read, sources

Outputs = Mapping[str, list[dict[str, Any]]]  # by cell id
AUTHORS = frozenset({"compare", "solution"})  # tags that say nothing to a learner's tools
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def learner(source: Source) -> str:
    """The learner's notebook, as the text of its file."""
    cells = [
        _notebook_cell(cell, cell.for_learner, [tag for tag in cell.tags if tag not in AUTHORS])
        for cell in source.cells
        if cell.for_learner is not None
    ]
    return _text(cells, source)


def solution(source: Source, outputs: Outputs) -> str:
    """The solution notebook, as the text of its file, with `outputs` in the cells tagged `compare`."""
    cells = []
    ran = 0
    for cell in source.cells:
        tags = list(cell.tags)
        ran += cell.kind == "code"
        if cell.kind == "code" and "compare" not in tags:
            tags.append("nbval-ignore-output")
        kept = list(outputs.get(cell.id, [])) if "compare" in cell.tags else []
        cells.append(_notebook_cell(cell, cell.for_solution, tags, kept, ran))
    return _text(cells, source)


def build(
    course: Path,
    labs: Sequence[str] | None = None,
    *,
    execute: bool = True,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write both notebooks of every lab (or of `labs`: numbers, slugs or folders); returns their paths.

    A lab with cells tagged `compare` is run for their outputs, unless `execute` is false: then the outputs of
    cells whose text has not changed are kept. A notebook that would not change is not written.

    :raises LabError: with file and line, when a source is wrong or its solution does not run.
    """
    tell = say or (lambda _: None)
    written = []
    for path in sources(course, labs):
        source = read(path)
        outputs: Outputs = kept_outputs(source)
        if execute and any("compare" in cell.tags for cell in source.cells):
            from .execute import execute as run

            tell(f"{source.name}: running the solution for the outputs that are compared")
            outputs = run(source, course)
        for target, text in (
            (source.learner_path, learner(source)),
            (source.solution_path, solution(source, outputs)),
        ):
            changed = _write(target, text)
            tell(f"{target.relative_to(course)}: {'built' if changed else 'unchanged'}")
            written.append(target)
    return written


def kept_outputs(source: Source) -> dict[str, list[dict[str, Any]]]:
    """Outputs in the existing solution notebook of `compare` cells whose text is still the same."""
    import nbformat

    if not source.solution_path.exists():
        return {}
    try:
        old = nbformat.read(source.solution_path, as_version=4)
    except Exception:  # nbformat raises many kinds; an unreadable notebook has no outputs to keep
        return {}
    now = {cell.id: cell.for_solution for cell in source.cells if "compare" in cell.tags}
    return {
        cell.id: list(cell.outputs)
        for cell in old.cells
        if cell.cell_type == "code" and cell.outputs and now.get(cell.get("id")) == cell.source
    }


def _notebook_cell(
    cell: SourceCell,
    text: str | None,
    tags: list[str],
    outputs: Sequence[Mapping[str, Any]] = (),
    ran: int = 0,
) -> Any:
    from nbformat import from_dict
    from nbformat.v4 import new_code_cell, new_markdown_cell

    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if "parameters" in tags:
        metadata["jupyter"] = {"source_hidden": True}  # it speaks of graders: folded, it still runs
    if cell.kind == "markdown":
        return new_markdown_cell(text, id=cell.id, metadata=metadata)
    # nbval takes a cell with outputs but without a count for one that never ran, and fails it.
    count = ran if outputs else None
    results = [from_dict(dict(output)) for output in outputs]
    for result in results:
        if result.output_type == "execute_result":
            result.execution_count = count
    return new_code_cell(text, id=cell.id, metadata=metadata, outputs=results, execution_count=count)


def _text(cells: list[Any], source: Source) -> str:
    import nbformat
    from nbformat.v4 import new_notebook

    notebook = new_notebook(cells=cells, metadata=METADATA)
    notebook.nbformat_minor = 5  # cell ids; not whatever the installed nbformat prefers
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise LabError(f"The notebook would not be valid: {error.message}", where=str(source.path)) from None
    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


def _write(path: Path, text: str) -> bool:
    """Replace the file in one step if its content differs; whether it did."""
    data = text.encode()
    try:
        if path.exists() and path.read_bytes() == data:
            return False
        replace_file(path, data)
    except OSError as error:
        raise LabError(f"The notebook was not written: {error.strerror}.", where=str(path)) from None
    return True
