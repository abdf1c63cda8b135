"""Names, lists and sizes in sentences: what a learner or a disk calls something is made fit to be shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MIB = 1 << 20


def nfc(name: str) -> str:
    """A name in composed form: a Mac writes `ü` as two characters."""
    return unicodedata.normalize("NFC", name)


def clean(name: str) -> str:
    """A name that can be shown: no control characters, no half characters, not endless."""
    text = "".join(one if one.isprintable() else "�" for one in name)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-39:]}"


def shown(name: str) -> str:
    """A name in a sentence, in quotes where one could not tell where it ends."""
    return clean(name) if re.fullmatch(r"[\w./()+@-]+", name) else f'"{clean(name)}"'


def few(names: Sequence[str]) -> str:
    """The first names of many."""
    first = [shown(one) for one in names[:5]]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def size_words(size: int) -> str:
    """Bytes in words."""
    if size >= 1024 * MIB:
        return f"{size / (1024 * MIB):.1f} GiB"
    return f"{size / MIB:.0f} MiB" if size >= MIB else f"{-(-size // 1024)} KiB"
