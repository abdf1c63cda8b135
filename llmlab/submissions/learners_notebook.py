"""The learner's notebook: which one of several is read, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..course.info import LabInfo
from ..errors import LabError
from .answer_cells import filled
from .cells import Cell, cells_of, mended_words
from .entry import Entry, Refused
from .pile import Pile
from .text import MIB, few, shown

MAX_NOTEBOOK = 32 * MIB
MAX_NOTEBOOKS = 20

#: A browser puts the rest behind it when it does not know the kind of file.
_SUFFIXES = (".ipynb", ".ipynb.txt", ".ipynb.json")


def template_of(info: LabInfo) -> dict[str, Cell]:
    """The cells of the lab's own notebook by their ids, in order."""
    path = info.notebook
    try:
        return {cell.id: cell for cell in cells_of(path.read_bytes())[0]}
    except OSError as problem:
        reason = f"cannot be read: {problem.strerror}"
    except Refused as problem:
        reason = str(problem)
    raise LabError(f"The lab's own notebook {reason}.", where=str(path), fix="llmlab author build")


def is_notebook(entry: Entry) -> bool:
    """Whether a file is a notebook by its name."""
    return entry.parts[-1].lower().endswith(_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Book:
    """A notebook that has something of the lab in it."""

    entry: Entry
    cells: list[Cell]
    answers: dict[str, str]  # that are this lab's for sure
    rank: tuple[int, ...]  # the greater is read

    def better(self, other: Book) -> str:
        """Why this one is read and not the other."""
        reasons = (
            "the other lies among solutions",
            "more of its answers are filled in",
            "it has more of the lab's cells",
            "it has all of the lab's answer cells",
        )
        for mine, others, reason in zip(self.rank, other.rank, reasons, strict=True):
            if mine != others:
                return reason
        if len(self.entry.parts) != len(other.entry.parts):
            return "it lies further outside"
        newer = (self.entry.stamp, self.entry.time) != (other.entry.stamp, other.entry.time)
        return "it is newer" if newer else "of equals the first by name counts"


def choose(
    entries: Sequence[Entry], pile: Pile, template: Mapping[str, Cell], said: list[str]
) -> tuple[Entry | None, list[Cell]]:
    """The notebook with most of the answers, then of the lab's cells; of equals the shallowest, then the newest."""
    found = [entry for entry in entries if is_notebook(entry)]
    found.sort(key=lambda entry: (len(entry.parts), entry.newest, entry.name))
    books: list[Book] = []
    mended: dict[str, list[str]] = {}
    for entry in found[:MAX_NOTEBOOKS]:
        try:
            if entry.name not in pile.books:
                pile.books[entry.name] = cells_of(pile.read(entry, MAX_NOTEBOOK, sparing=True))
            cells, mended[entry.name] = pile.books[entry.name]
        except Refused as problem:
            pile.not_read[entry.name] = str(problem)
            continue
        pile.mentioned.add(entry.name)
        answers = filled(template, cells)
        has = (len(answers), _known(template, cells), _all_tagged(template, cells))
        if any(has):
            # a course handed in whole has the solution's notebook, too, with the same cells
            own = "solutions" not in entry.parts
            books.append(Book(entry, cells, answers, (own, *has)))
        else:
            said.append(f"{shown(entry.name)} has no cell of this lab: it was ignored.")
    if len(found) > MAX_NOTEBOOKS:
        said.append(f"Of {len(found)} notebooks only {MAX_NOTEBOOKS} were looked at.")
    if not books:
        return None, []
    best = max(books, key=lambda book: book.rank)  # of equals the first
    others = [book for book in books if book is not best]
    name = shown(best.entry.name)
    if others:
        names = few([book.entry.name for book in others])
        said.append(f"There are several notebooks: {name} was read, not {names}.")
    for book in others[:5]:
        differ = [answer for answer in book.answers if book.answers[answer] != best.answers.get(answer)]
        if differ:
            said.append(
                f"{shown(book.entry.name)} answers {few(differ)} otherwise: {name} counts, for {best.better(book)}."
            )
    if mended[best.entry.name]:
        said.append(mended_words(name, mended[best.entry.name]))
    return best.entry, best.cells


def _known(template: Mapping[str, Cell], cells: Sequence[Cell]) -> int:
    """How many of the lab's cells are there: by their ids, or as they were handed out."""
    ids = template.keys() & ({cell.id for cell in cells} | {cell.noted for cell in cells})
    texts = {cell.plain for cell in template.values()} & {cell.plain for cell in cells}
    return max(len(ids), len(texts - {""}))


def _all_tagged(template: Mapping[str, Cell], cells: Sequence[Cell]) -> bool:
    """Whether there are as many answer cells as the lab has."""
    answers = sum(cell.answer for cell in template.values())
    return answers > 0 and sum(cell.answer for cell in cells) == answers
