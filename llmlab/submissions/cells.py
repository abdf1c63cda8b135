"""The cells of anybody's notebook: what is looked at of each, read from any tool's file, mended where it is invalid."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from .entry import Refused
from .text import MIB

MAX_MENDED = 4 * MIB  # json builds objects of everything, thirty times as large
MAX_SAID = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """What is looked at of a cell."""

    cell_type: str
    text: str
    id: str = ""
    noted: str = ""  # the id in its metadata, where Colab keeps it
    tags: tuple[str, ...] = ()

    @property
    def answer(self) -> bool:
        """Whether it is tagged as the learner's to fill in."""
        return "answer" in self.tags

    @property
    def plain(self) -> str:
        """Its text; line endings and space at the end say nothing."""
        return "\n".join(line.rstrip() for line in self.text.splitlines()).rstrip()

    def same(self, other: Cell) -> bool:
        """Whether two cells say the same."""
        return self.cell_type == other.cell_type and self.plain == other.plain


# Typed, so that megabytes of outputs, or of nonsense, become no objects.
class _Meta(msgspec.Struct):
    tags: list[str] | str | None = None
    id: str | int | None = None


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str]
    id: str | int | None = None
    metadata: _Meta | None = None


class _Notebook(msgspec.Struct):
    cells: list[_Cell]


def cells_of(data: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook, whatever its minor format, and what was mended: `the tags of cell 20 are no list`.

    :raises Refused: when it is none.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    mended: list[str] = []
    try:
        try:
            read = msgspec.json.decode(data, type=_Notebook).cells
        except msgspec.DecodeError as problem:
            if len(data) > MAX_MENDED:
                if isinstance(problem, msgspec.ValidationError):
                    raise Refused(f"is not a notebook: {_where(str(problem))}") from None
                raise
            # Python's json writes, and Jupyter reads, what is no JSON: NaN, half a surrogate pair
            return _mended(json.loads(data))
    except RecursionError:
        raise Refused("is nested too deeply to be a notebook") from None
    except ValueError:
        raise Refused("is not JSON, so Jupyter cannot open it either") from None
    cells = []
    for n, raw in enumerate(read, 1):
        text = raw.source if isinstance(raw.source, str) else "".join(raw.source)
        meta = raw.metadata or _Meta()
        if isinstance(meta.tags, str):
            mended.append(f"the tags of cell {n} are no list")
        cells.append(Cell(raw.cell_type, text, _name(raw.id), _name(meta.id), _tags(meta.tags)))
    return cells, mended


def _mended(whole: Any) -> tuple[list[Cell], list[str]]:
    """As `cells_of`, of JSON that is no valid notebook: cell by cell, and what cannot be a cell is left out."""
    raws = whole.get("cells") if isinstance(whole, dict) else None
    if not isinstance(raws, list):
        if isinstance(whole, dict) and "worksheets" in whole:
            raise Refused(
                "is not a notebook of today (nbformat 3, of before 2015): open it in Jupyter and save it"
            )
        raise Refused("is not a notebook: it holds no list of cells")
    cells, mended = [], []
    lost = ""
    for n, raw in enumerate(raws, 1):
        source = raw.get("source", "") if isinstance(raw, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            lost = lost or f"the source of cell {n} is no text"
            mended.append(f"the source of cell {n} is no text, it was left out")
            continue
        kind = raw.get("cell_type")
        if not isinstance(kind, str):
            kind = "code" if "outputs" in raw else "raw"
            mended.append(f"cell {n} has no type, it was taken as {kind}")
        meta = raw.get("metadata")
        if not isinstance(meta, dict):
            meta = {}
        tags = meta.get("tags")
        if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            mended.append(f"the tags of cell {n} are no list of texts")
        cells.append(Cell(kind, source, _name(raw.get("id")), _name(meta.get("id")), _tags(tags)))
    if lost and not cells:
        raise Refused(f"is not a notebook: {lost}")
    return cells, mended


def mended_words(name: str, mended: list[str]) -> str:
    """What is said of a notebook that was mended."""
    more = len(mended) - MAX_SAID
    what = "; ".join(mended[:MAX_SAID]) + (f"; and {more} more" if more > 0 else "")
    return f"{name} is no valid notebook ({what}): it was read all the same."


def _where(problem: str) -> str:
    """A decoder's words, which end in `$.cells[19].metadata.tags`, in ours."""
    found = re.search(r"\$\.cells\[(\d+)\]\.?([\w.]*)", problem)
    if not found:
        return "it holds no list of cells"
    return f"cell {int(found[1]) + 1} is none that Jupyter writes" + (f" ({found[2]})" if found[2] else "")


def _name(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _tags(value: object) -> tuple[str, ...]:
    """Tags as a list, or as one text."""
    if isinstance(value, str):
        return tuple(re.findall(r"[^\s,;\[\]'\"]+", value))
    return tuple(tag for tag in value if isinstance(tag, str)) if isinstance(value, list) else ()
