"""The source of a lab's two notebooks: jupytext percent format, one cell after another.

A cell starts with a line such as `# %% id="answer-knee" tags=["answer"]`. Tags with a meaning here:

- `solution`: the cell is only in the solution notebook;
- `answer`: of a line `lab.answer(knee=4)  # learner: lab.answer(knee=None)` the learner gets what stands
  behind the mark and the solution what stands before it; either may be empty: no line there;
- `compare`: its output is the same every time; the solution notebook keeps it and nbval compares it;
- `figure`: may be longer than eight lines; `prediction`, `objectives`, `summary`, `next`: see `lint`;
- `parameters`: papermill's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import LabError

TAGS = frozenset({
    "answer", "check", "cleanup", "compare", "figure", "hide-input", "measure", "next", "objectives",
    "parameters", "prediction", "raises-exception", "reset", "solution", "summary",
})  # fmt: skip
BOUNDARY = re.compile(r"^# %%(?:\s|$)")
VALID_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")  # nbformat 4.5
LEARNER = re.compile(r"^(?P<indent>\s*)(?P<solution>.*?)\s*# learner:[ \t]*(?P<learner>.*?)\s*$")


@dataclass(frozen=True, slots=True)
class SourceCell:
    """One cell of a source; `line` is that of its `# %%` line, from 1."""

    kind: Literal["markdown", "code"]
    id: str
    tags: tuple[str, ...]
    text: str
    line: int

    @property
    def for_learner(self) -> str | None:
        """Its text in the learner's notebook; None when it is not there at all."""
        return None if "solution" in self.tags else self._side("learner")

    @property
    def for_solution(self) -> str:
        """Its text in the solution notebook."""
        return self._side("solution")

    def _side(self, side: str) -> str:
        lines = []
        for line in self.text.split("\n"):
            marked = LEARNER.match(line) if "answer" in self.tags else None
            if marked is None:
                lines.append(line)
            elif marked[side]:
                lines.append(marked["indent"] + marked[side])
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Source:
    """The cells of one `lab.py`."""

    path: Path
    cells: tuple[SourceCell, ...]

    @property
    def name(self) -> str:
        """The lab's folder, `NN-slug`."""
        return self.path.parent.name

    @property
    def number(self) -> str:
        """The lab's number, e.g. `01`."""
        return self.name.partition("-")[0]

    @property
    def learner_path(self) -> Path:
        """Where the learner's notebook belongs."""
        return self.path.parent.parent.parent / "labs" / self.name / f"{self.name}.ipynb"

    @property
    def solution_path(self) -> Path:
        """Where the solution notebook belongs."""
        return self.path.with_suffix(".ipynb")

    def where(self, cell: SourceCell, offset: int = 0) -> str:
        """File and line of a cell, or of a line in it (`offset` from 1)."""
        return f"{self.path}:{cell.line + offset}"


def sources(course: Path, labs: Sequence[str] | None = None) -> list[Path]:
    """The `lab.py` files of a course, all or those named by number, slug or folder.

    :raises LabError: for a lab that has none, with the nearest that has.
    """
    found = sorted((course / "solutions").glob("*/lab.py"))
    if labs is None:
        return found
    out = []
    for wanted in labs:
        name = wanted.rstrip("/").rpartition("/")[2]
        match = [p for p in found if name in _names(p.parent.name)]
        if not match:
            near = difflib.get_close_matches(name, [n for p in found for n in _names(p.parent.name)], 1)
            raise LabError(
                f"There is no source for a lab {wanted!r}.",
                where=str(course / "solutions"),
                fix=f"did you mean {near[0]}?" if near else "write solutions/NN-slug/lab.py",
            )
        out += match
    return list(dict.fromkeys(out))


def _names(folder: str) -> tuple[str, ...]:
    number, _, slug = folder.partition("-")
    return folder, number, number.lstrip("0") or "0", slug


def read(path: Path) -> Source:
    """Read one source.

    :raises LabError: with file and line, for anything that cannot become two notebooks.
    """
    try:
        import jupytext
    except ImportError:
        raise LabError(
            "Notebooks are made with jupytext, which is not installed.",
            fix="pip install -e '.[author]'",
            without="the notebooks in labs/ and solutions/ are already built",
        ) from None
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"The lab's source cannot be read: {error.strerror}.", where=str(path)) from None
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines, 1) if BOUNDARY.match(line)]
    head = _header(lines)
    body = next((n for n, line in enumerate(lines, 1) if n > head and line.strip()), 0)
    if not starts or starts[0] != body:
        raise LabError(
            "A lab's source starts with a cell.",
            where=f"{path}:{body or 1}",
            fix="begin with: # %% [markdown]",
        )
    raw = jupytext.reads("\n".join(lines[body - 1 :]) + "\n", fmt="py:percent").cells
    if len(raw) != len(starts):
        raise LabError(
            f"{len(starts)} lines start a cell, but jupytext reads {len(raw)} cells.",
            where=str(path),
            fix="keep lines that start with '# %%' out of strings",
        )
    number = path.parent.name.partition("-")[0]
    cells = tuple(
        _cell(path, number, n, line, chunk)
        for n, (line, chunk) in enumerate(zip(starts, raw, strict=True), 1)
    )
    seen: dict[str, SourceCell] = {}
    for cell in cells:
        if cell.id in seen:
            raise LabError(
                f"Two cells have the id {cell.id!r}.",
                where=f"{path}:{cell.line} and line {seen[cell.id].line}",
                fix="ids are unique in a notebook: rename one",
            )
        seen[cell.id] = cell
    parameters = [cell for cell in cells if "parameters" in cell.tags]
    if len(parameters) > 1:
        raise LabError("A lab has one cell tagged parameters.", where=f"{path}:{parameters[1].line}")
    return Source(path, cells)


def _header(lines: Sequence[str]) -> int:
    """How many lines the header takes that jupytext writes on saving from JupyterLab; it is not used."""
    if not lines or lines[0] != "# ---":
        return 0
    return next((n for n, line in enumerate(lines[1:], 2) if line == "# ---"), 0)


def _cell(path: Path, number: str, ordinal: int, line: int, raw: Any) -> SourceCell:
    where = f"{path}:{line}"
    # jupytext notes blank lines after a cell as lines_to_next_cell; nobody wrote that.
    options = {key: value for key, value in raw.metadata.items() if not key.startswith("lines_to_")}
    # Not from the content: an id has to stay when the text is edited, or grading loses the cell.
    name = str(options.pop("id", f"lab{number}-{ordinal:02d}"))
    tags = options.pop("tags", [])
    if options:
        unknown = ", ".join(sorted(options))
        raise LabError(
            f"A cell's line holds only id and tags, not {unknown}.",
            where=where,
            fix='# %% id="x" tags=["answer"]',
        )
    if not VALID_ID.match(name):
        raise LabError(f"The id {name!r} is not valid.", where=where, fix="1 to 64 letters, digits, - and _")
    if raw.cell_type not in ("markdown", "code"):
        raise LabError(f"A lab has markdown and code cells, not {raw.cell_type}.", where=where)
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise LabError("tags is a list of names.", where=where, fix='tags=["answer"]')
    for tag in tags:
        if tag not in TAGS:  # a misspelt "solution" would hand out the answer
            near = difflib.get_close_matches(tag, TAGS, 1)
            raise LabError(
                f"Unknown tag {tag!r}.",
                where=where,
                fix=f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(TAGS)),
            )
    cell = SourceCell(raw.cell_type, name, tuple(tags), raw.source, line)
    for offset, text in _marks(cell):
        if "answer" not in cell.tags:
            raise LabError(
                "The mark '# learner:' works only in a cell tagged answer.",
                where=f"{path}:{line + offset}",
                fix=text.strip(),
            )
    if "answer" in cell.tags:
        if cell.kind != "code" or "solution" in cell.tags:
            raise LabError("Only a code cell that learners get can be tagged answer.", where=where)
        if not any(True for _ in _marks(cell)):
            raise LabError(
                "This answer cell would give its answer to the learner.",
                where=where,
                fix="mark the line: lab.answer(knee=4)  # learner: lab.answer(knee=None)",
            )
    return cell


def _marks(cell: SourceCell) -> Iterator[tuple[int, str]]:
    """Lines with the learner's mark: (which line of the cell, from 1; its text)."""
    if cell.kind == "code":
        yield from ((n, line) for n, line in enumerate(cell.text.split("\n"), 1) if LEARNER.match(line))
