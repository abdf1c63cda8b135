"""A stranger's text, safe to show: no control characters, no marks that reorder what stands beside it, no novels."""

from __future__ import annotations

import unicodedata

LONGEST = 4000  # characters of one text on a page
#: U+200E, U+200F, U+061C and the embeddings, overrides and isolates: Unicode TR 9.
REORDER = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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
