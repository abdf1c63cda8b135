"""The learner's notebook: its cells, which one of several is read, and which sources fill the lab's answer cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from ..errors import LabError
from .entry import Entry, Refused
from .info import LabInfo
from .pile import Pile
from .words import MIB, few, shown

MAX_CELL = 64 << 10
MAX_NOTEBOOK = 32 * MIB
MAX_NOTEBOOKS = 20


class _Meta(msgspec.Struct):
    tags: list[str] = msgspec.field(default_factory=list)


class Cell(msgspec.Struct):
    """What is looked at of a cell. Typed, so that megabytes of outputs, or of nonsense, become no objects."""

    cell_type: str
    source: str | list[str]
    id: str = ""
    metadata: _Meta = msgspec.field(default_factory=_Meta)

    @property
    def text(self) -> str:
        """The source in one piece; a notebook may hold a list of lines."""
        return self.source if isinstance(self.source, str) else "".join(self.source)

    @property
    def answer(self) -> bool:
        """Whether it is tagged as the learner's to fill in."""
        return "answer" in self.metadata.tags

    def same(self, other: Cell) -> bool:
        """Whether two cells say the same; line endings and space at the end say nothing."""
        return self.cell_type == other.cell_type and _plain(self.text) == _plain(other.text)


class _Notebook(msgspec.Struct):
    cells: list[Cell]


def cells_of(data: bytes) -> list[Cell]:
    """The cells of a notebook.

    :raises Refused: when it is none.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        try:
            return msgspec.json.decode(data, type=_Notebook).cells
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if len(data) > 4 * MIB:  # json builds objects of everything, thirty times as large
                raise
            # Python's json writes, and Jupyter reads, what is no JSON: NaN, half a surrogate pair
            return msgspec.convert(json.loads(data), _Notebook).cells
    except RecursionError:
        raise Refused("is nested too deeply to be a notebook") from None
    except msgspec.ValidationError as problem:
        raise Refused(f"is not a notebook ({problem})") from None
    except ValueError:
        raise Refused("is not JSON, so Jupyter cannot open it either") from None


def template_of(info: LabInfo) -> dict[str, Cell]:
    """The cells of the lab's own notebook by their ids, in order."""
    path = info.folder / "lab.ipynb"
    try:
        return {cell.id: cell for cell in cells_of(path.read_bytes())}
    except OSError as problem:
        reason = f"cannot be read: {problem.strerror}"
    except Refused as problem:
        reason = str(problem)
    raise LabError(f"The lab's own notebook {reason}.", where=str(path), fix="llmlab author build")


def choose(
    entries: Sequence[Entry], pile: Pile, template: Mapping[str, Cell]
) -> tuple[Entry | None, list[Cell]]:
    """The notebook with most of the lab's cells; of equals the shallowest, then the newest."""
    found = [entry for entry in entries if entry.suffix == ".ipynb"]
    # a course handed in whole has the solution's notebook, too, with the same cells
    found.sort(key=lambda entry: (len(entry.parts), "solutions" in entry.parts, -entry.time, entry.name))
    answers = sum(cell.answer for cell in template.values())
    best: tuple[tuple[int, bool], Entry, list[Cell]] | None = None
    others = []
    for entry in found[:MAX_NOTEBOOKS]:
        try:
            cells = cells_of(pile.read(entry, MAX_NOTEBOOK, sparing=True))
        except Refused as problem:
            pile.not_read[entry.name] = str(problem)
            continue
        score = (
            len(template.keys() & {cell.id for cell in cells}),
            answers > 0 and sum(cell.answer for cell in cells) == answers,
        )
        if not any(score):
            pile.said.append(f"{shown(entry.name)} has no cell of this lab: it was ignored.")
        elif best is None or score > best[0]:
            others += [best[1]] if best else []
            best = score, entry, cells
        else:
            others.append(entry)
    if len(found) > MAX_NOTEBOOKS:
        pile.said.append(f"Of {len(found)} notebooks only {MAX_NOTEBOOKS} were looked at.")
    if best is None:
        return None, []
    if others:
        pile.said.append(
            f"There are several notebooks: {shown(best[1].name)} was read, not {few([one.name for one in others])}."
        )
    return best[1], best[2]


def answers_in(template: Mapping[str, Cell], learner: Sequence[Cell], said: list[str]) -> dict[str, str]:
    """The learner's own sources of the lab's answer cells; what else differs from the lab's notebook is only said."""
    copies: dict[str, list[Cell]] = {}
    for cell in learner:
        copies.setdefault(cell.id, []).append(cell)
    chosen: dict[str, Cell] = {}
    gone = []
    for name in (name for name, cell in template.items() if cell.answer):
        mine = copies.get(name, [])
        if not mine:
            gone.append(name)
            continue
        chosen[name] = next((cell for cell in mine if not cell.same(template[name])), mine[0])
        if len(mine) > 1:
            said.append(
                f"The answer cell {name} is there {len(mine)} times: the first that was filled in counts."
            )
    strays = [cell for cell in learner if cell.answer and cell.id not in template]
    if gone and len(strays) == len(gone):
        chosen |= dict(zip(gone, strays, strict=True))
        said.append(f"The ids of answer cells were lost ({few(gone)}): they were matched in their order.")
    elif gone:
        one = len(gone) == 1
        said.append(
            f"The answer {'cell' if one else 'cells'} {few(gone)} {'is' if one else 'are'} "
            f"not in the notebook: {'it counts' if one else 'they count'} as not filled in."
        )
    if template.keys() & copies.keys():
        _say_changes(template, copies, {id(cell) for cell in chosen.values()}, said)
    found = {}
    for name, cell in chosen.items():
        refused = _cell_refused(cell)
        if refused:
            said.append(f"The answer cell {name} was not taken: it {refused}.")
        elif not cell.same(template[name]):
            found[name] = cell.text
    return {name: found[name] for name in template if name in found}


def _say_changes(
    template: Mapping[str, Cell], copies: Mapping[str, list[Cell]], used: set[int], said: list[str]
) -> None:
    """Say which cells that are the course's own were changed: it changes nothing."""
    own = [name for name, cell in template.items() if not cell.answer]
    changes = {
        "edited": [name for name in own if name in copies and not copies[name][0].same(template[name])],
        "deleted": [name for name in own if name not in copies],
        "duplicated": [name for name in own if len(copies.get(name, ())) > 1],
    }
    for change, names in changes.items():
        if names:
            one = len(names) == 1
            said.append(
                f"The {'cell' if one else 'cells'} {few(names)} {'was' if one else 'were'} {change}: "
                "the course's own copy was used."
            )
    added = [
        cell.id or "one without an id"
        for name, cells in copies.items()
        if name not in template
        for cell in cells
        if id(cell) not in used
    ]
    if added:
        one = len(added) == 1
        said.append(
            f"{len(added)} {'cell was' if one else 'cells were'} added ({few(added)}): "
            f"{'it was' if one else 'they were'} not used."
        )


def _cell_refused(cell: Cell) -> str:
    """Why an answer cell is not taken; empty when it is."""
    if cell.cell_type != "code":
        return f"was turned into a {shown(cell.cell_type)} cell"
    try:
        if len(cell.text.encode()) > MAX_CELL:
            return f"is larger than {MAX_CELL >> 10} KiB"
    except UnicodeEncodeError:
        return "holds characters that are no text"
    return ""


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()
