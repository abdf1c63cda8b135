"""Secrets that lie in a learner's files: found by their form, and where the labs drew them by their value.

The forms are those of detect-secrets (private keys, tokens of cloud providers and services, passwords in an address); of its
detectors those are left out that guess from randomness or from a word beside it, for a record is full of hashes, a notebook of
pictures, and a lab's text of words like `key`. What is found is named by file, line and kind, and never shown.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Detectors that know no form: one guesses from entropy, one from the word before a value, one takes any address for a secret.
GUESSING = frozenset(
    {"Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector", "IPPublicDetector"}
)
MOST_FILES = 5_000
MOST_BYTES = 32 << 20  # of all files together
LARGEST = 8 << 20  # bytes of one file: what is larger is a model or an image
LONGEST_S = 60.0  # seconds for all of it
SHORTEST = 8  # characters of a drawn key: what is shorter stands in a text by chance
#: Not the learner's: what tools bring along.
OTHERS = frozenset(
    {".git", ".venv", "venv", "node_modules", ".terraform", "__pycache__", ".mypy_cache", ".ruff_cache"}
)
#: A picture in a notebook, which no form is looked for in; no token is so long.
PICTURE = re.compile(r"[A-Za-z0-9+/=]{2000,}")
#: Where labs lay a key that they drew: that file may hold it, and no other.
HOLDERS = re.compile(r"(?:.*/)?(?:secrets/[^/]+|api[-_]key|key\.txt)")
#: Vendors mark the keys of their manuals so.
PUBLIC = re.compile(r"EXAMPLE")


class _Detector(Protocol):
    secret_type: str

    def analyze_string(self, string: str) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """A secret that lies open, without the secret."""

    file: str  # below the folder that was looked through
    line: int  # from 1
    kind: str  # what it is: "Private Key", "a key of secrets/api_key"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Searched:
    """What was looked through, and what was found."""

    leaks: tuple[Leak, ...]
    files: int  # that were read
    large: int  # that were not, being larger than `LARGEST` bytes
    cut: bool  # a limit ended it: there is more, which nobody looked at


def search(
    folder: Path,
    *,
    files: int = MOST_FILES,
    total: int = MOST_BYTES,
    seconds: float = LONGEST_S,
) -> Searched:
    """Look through all text files of a folder; links are not followed, what is no text is passed over.

    :param files: at most so many are read.
    :param total: bytes of all that are read.
    :param seconds: after which no further file is begun.
    """
    until = time.monotonic() + seconds
    paths, large, read, size, cut = list(_paths(folder)), 0, 0, 0, False
    drawn = _drawn(folder, paths)
    leaks: set[Leak] = set()
    for path in paths:
        try:
            length = path.stat().st_size
            if length > LARGEST:
                large += 1
                continue
            if read >= files or size + length > total or time.monotonic() > until:
                cut = True
                break
            data = path.read_bytes()
        except OSError:  # gone meanwhile, or not ours to read
            continue
        read, size = read + 1, size + length
        if b"\0" not in data[:8192]:
            name = path.relative_to(folder).as_posix()
            leaks.update(found_in(data.decode("utf-8", "replace"), name, drawn))
    return Searched(tuple(sorted(leaks)), read, large, cut)


def found_in(text: str, name: str, drawn: Sequence[tuple[str, str]] = ()) -> Iterator[Leak]:
    """The secrets of one text.

    :param name: of the file, as it is told.
    :param drawn: keys that labs drew, each with the file that holds it.
    """
    text = PICTURE.sub("", text)
    present = [(value, holder) for value, holder in drawn if holder != name and value in text]
    detectors = [detector for detector in _detectors() if _any(detector, text)]  # most texts hold nothing
    if not present and not detectors:
        return
    for number, line in enumerate(text.splitlines(), 1):
        for detector in detectors:
            if _any(detector, line):
                yield Leak(name, number, detector.secret_type)
        for value, holder in present:
            if value in line:
                yield Leak(name, number, f"the key of {holder}")


def _any(detector: _Detector, text: str) -> bool:
    from detect_secrets.filters import heuristic

    return any(
        not PUBLIC.search(secret) and not heuristic.is_templated_secret(secret)
        for secret in detector.analyze_string(text)
    )


@functools.cache
def _detectors() -> tuple[_Detector, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    classes: Iterable[type[_Detector]] = get_mapping_from_secret_type_to_class().values()
    return tuple(detector() for detector in classes if detector.__name__ not in GUESSING)


def _paths(folder: Path) -> Iterator[Path]:
    """The plain files of a folder in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in OTHERS)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _drawn(folder: Path, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """What the files hold in which labs lay a key that they drew."""
    found = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if HOLDERS.fullmatch(name):
            try:
                text = path.read_bytes()[:4096].decode("utf-8", "replace").strip()
            except OSError:
                continue
            found += [(value, name) for value in text.split() if len(value) >= SHORTEST]
    return found
