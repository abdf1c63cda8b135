"""A stranger's text, safe to show: names, lists and sizes in sentences; no control characters, no marks that reorder, no novels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MIB = 1 << 20
LONGEST = 4000  # characters of one text on a page
#: U+200E, U+200F, U+061C and the embeddings, overrides and isolates: Unicode TR 9.
REORDER = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def nfc(name: str) -> str:
    """A name in composed form: a Mac writes `ü` as two characters."""
    return unicodedata.normalize("NFC", name)


def showable(name: str) -> str:
    """A name that can be shown: no control characters, no half characters, not endless."""
    text = "".join(character if character.isprintable() else "�" for character in name)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-39:]}"


def shown(name: str) -> str:
    """A name in a sentence, in quotes where one could not tell where it ends."""
    return showable(name) if re.fullmatch(r"[\w./()+@-]+", name) else f'"{showable(name)}"'


def few(names: Sequence[str]) -> str:
    """The first names of many."""
    first = [shown(name) for name in names[:5]]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def size_words(size: int) -> str:
    """Bytes in words."""
    if size >= 1024 * MIB:
        return f"{size / (1024 * MIB):.1f} GiB"
    return f"{size / MIB:.0f} MiB" if size >= MIB else f"{-(-size // 1024)} KiB"


def clean(text: str, *, longest: int = LONGEST) -> str:
    """Without control characters (but line ends and tabs), lone surrogates and reordering marks; cut at `longest`."""
    text = text.replace("\r\n", "\n")
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text) - longest:,} more characters)"
    return "".join(
        "�" if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" else char
        for char in text
        if char not in REORDER
    )


def printable(text: str) -> str:
    """The same on one line of a terminal."""
    return " ".join(clean(text, longest=200).split())
