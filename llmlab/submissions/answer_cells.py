"""Which of a learner's cells fill the lab's answer cells: by id, then by tag, by the id in the metadata, and by text.

A cell that is found in any of these ways is the learner's code and no more: it is read here, and run where answer
cells run, inside the sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .answers import asked
from .cells import Cell
from .text import few, shown

MAX_CELL = 64 << 10

ID, TAG, ORDER, NOTED, TEXT = "id", "tag", "order", "noted", "text"
_BY = {
    TAG: "by {its} answer {tag}",
    ORDER: "by {its} answer {tag}, in {its} order",
    NOTED: "by the {id} in {its} metadata",
    TEXT: "by {its} text",
}


@dataclass(frozen=True, slots=True)
class Match:
    """The learner's cells that may fill one answer cell, and how they were found."""

    cells: list[Cell]  # none: not found
    how: str = ID
    empty: bool = False  # the cell itself is there as it was handed out, the answer stands elsewhere

    def chosen(self, own: Cell) -> Cell:
        """The first that was filled in; of cells found by their text the last, for cells run in order."""
        if self.how == TEXT:
            return self.cells[-1]
        return next((cell for cell in self.cells if not cell.same(own)), self.cells[0])


def matches(template: Mapping[str, Cell], learner: Sequence[Cell]) -> dict[str, Match]:
    """For each of the lab's answer cells, the learner's."""
    wanted = {name: asked(cell.text) for name, cell in template.items() if cell.answer}
    found = {name: Match([cell for cell in learner if cell.id == name]) for name in wanted}
    strays = [cell for cell in learner if cell.id not in template]
    words = {id(cell): asked(cell.text) for cell in learner if cell.cell_type == "code"}
    used = {id(cell) for match in found.values() for cell in match.cells}

    def gone() -> list[str]:
        return [name for name in wanted if not found[name].cells]

    def keep(name: str, cells: list[Cell], how: str, *, empty: bool = False) -> None:
        if cells:
            found[name] = Match(cells, how, empty)
            used.update(map(id, cells))

    def left(cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in cells if id(cell) not in used]

    tagged = [cell for cell in strays if cell.answer]
    for name in gone():
        keep(name, [cell for cell in left(tagged) if cell.noted == name], TAG)
    for name in gone():
        keep(name, [cell for cell in left(tagged) if wanted[name] & words.get(id(cell), set())], TAG)
    known = {word for words_of_one in wanted.values() for word in words_of_one}
    rest = [cell for cell in left(tagged) if not known & words.get(id(cell), set())]
    if len(rest) == len(gone()):
        for name, cell in zip(gone(), rest, strict=True):
            keep(name, [cell], ORDER)
    for name in gone():
        keep(name, [cell for cell in left(strays) if cell.noted == name], NOTED)
    for name in wanted:
        own = found[name].cells
        if all(cell.same(template[name]) for cell in own):
            # also one that answers something else, too: it then fills both cells
            others = [
                cell
                for cell in learner
                if cell.cell_type == "code" and wanted[name] & asked(cell.text, filled=True)
            ]
            keep(name, others, TEXT, empty=bool(own))
    return found


def filled(template: Mapping[str, Cell], learner: Sequence[Cell]) -> dict[str, str]:
    """The answers in a notebook that are this lab's for sure: not those matched by nothing but their order."""
    found = {}
    for name, match in matches(template, learner).items():
        if match.cells and match.how != ORDER:
            cell = match.chosen(template[name])
            if not cell.same(template[name]):
                found[name] = cell.plain
    return found


def answers_in(template: Mapping[str, Cell], learner: Sequence[Cell], said: list[str]) -> dict[str, str]:
    """The learner's own sources of the lab's answer cells; what else differs from the lab's notebook is only said."""
    found = matches(template, learner)
    chosen = {name: match.chosen(template[name]) for name, match in found.items() if match.cells}
    _say_found(template, found, said)
    copies: dict[str, list[Cell]] = {}
    for cell in learner:
        copies.setdefault(cell.id, []).append(cell)
    if template.keys() & copies.keys():
        _say_changes(template, copies, {id(cell) for cell in chosen.values()}, said)
    taken = {}
    for name, cell in chosen.items():
        refused = _cell_refused(cell)
        if refused:
            said.append(f"The answer cell {name} was not taken: it {refused}.")
        elif not cell.same(template[name]):
            taken[name] = cell.text
    return {name: taken[name] for name in template if name in taken}


def _say_found(template: Mapping[str, Cell], found: Mapping[str, Match], said: list[str]) -> None:
    """Say how the answer cells were found, where that was not by their ids, and which were not."""
    for name, match in found.items():
        if len(match.cells) > 1:
            which = "last one" if match.how == TEXT else "first that was filled in"
            said.append(f"The answer cell {name} is there {len(match.cells)} times: the {which} counts.")
    for how, by in _BY.items():
        names = [name for name, match in found.items() if match.how == how and not match.empty]
        if names:
            single = len(names) == 1
            words = {"its": "its" if single else "their", "tag": "tag" if single else "tags"}
            by = by.format(**words, id="id" if single else "ids")
            calls = f" ({_calls(template, names)})" if how == TEXT else ""
            said.append(
                f"The answer {'cell' if single else 'cells'} {few(names)} lost {words['its']} "
                f"{'id' if single else 'ids'}: found {by}{calls}."
            )
    for name, match in found.items():
        if match.empty:
            said.append(
                f"The answer cell {name} is as it was handed out: another cell counts, found by its text "
                f"({_calls(template, [name])})."
            )
        elif not match.cells:
            calls = _calls(template, [name])
            said.append(
                f"The answer cell {name} is not in the notebook"
                f"{f', nor another cell that calls {calls}' if calls else ''}: it counts as not filled in."
            )


def _calls(template: Mapping[str, Cell], names: Sequence[str]) -> str:
    """`lab.answer(knee=…)`, as the lab asks for it."""
    words = [f"{word}=…" for name in names for word in sorted(asked(template[name].text))]
    return f"lab.answer({', '.join(words[:5])})" if words else ""


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
            single = len(names) == 1
            said.append(
                f"The {'cell' if single else 'cells'} {few(names)} {'was' if single else 'were'} {change}: "
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
        single = len(added) == 1
        said.append(
            f"{len(added)} {'cell was' if single else 'cells were'} added ({few(added)}): "
            f"{'it was' if single else 'they were'} not used."
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
