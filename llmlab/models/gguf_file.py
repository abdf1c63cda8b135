"""What a GGUF file says of itself, read from its header, and whether all of it is there.

`gguf.GGUFReader` builds every token of the vocabulary as an array (0.6 to 2 s); a launcher only needs sizes,
so this walks the header once and skips what nobody asked for (format: ggml/docs/gguf.md, version 2 and 3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ..errors import LabError

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_MAX_HEADER = 256 * 2**20  # a vocabulary of a million tokens takes 30 MB; more than this is not a header


@dataclass(frozen=True, slots=True)
class Header:
    """What llmlab uses of a GGUF header. `parameters` counts weights; `bytes` is the file's size."""

    architecture: str | None
    licence: str | None
    context: int | None
    parameters: int
    tensors: int
    bytes: int


class _Short(Exception):
    """The file ends inside its header."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise _Short
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        try:
            (value,) = struct.unpack_from(form, self.data, self.at)
        except struct.error:
            raise _Short from None
        self.at += struct.calcsize(form)
        return int(value) if form not in ("<f", "<d") else 0

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> str | int | None:
        """One metadata value; an array is skipped and gives None."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if inner == _STRING:
                for _ in range(count):
                    self.take(self.number("<Q"))
            elif inner in _SCALARS:
                self.take(count * struct.calcsize(_SCALARS[inner]))
            else:
                raise ValueError(f"array of unknown type {inner}")
            return None
        if kind not in _SCALARS:
            raise ValueError(f"unknown value type {kind}")
        return self.number(_SCALARS[kind])


def read(path: Path) -> Header:
    """The header of a GGUF file, after checking that every tensor lies inside the file.

    :raises LabError: when the file is missing, unreadable, not GGUF, or shorter than its header promises.
    """
    fix = 'give the path of a .gguf file, or a name: see "llmlab models"'
    if path.is_dir():
        raise LabError("A model is a file, and this is a folder.", where=str(path), fix=fix)
    if path.exists() and not path.is_file():  # opening a pipe or a terminal would wait for ever
        raise LabError("A model is a file, and this is a pipe or a device.", where=str(path), fix=fix)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(min(size, 2**20))
            if data[:4] != b"GGUF":
                what = "The model file is empty." if not data else "This is not a GGUF model file."
                raise LabError(what, where=str(path), fix=fix)
            while True:
                try:
                    return _parse(data, size, path)
                except _Short:
                    if len(data) >= min(size, _MAX_HEADER):
                        raise _truncated(path, size, None) from None
                    data += file.read(max(len(data), 2**20))
    except FileNotFoundError:
        raise LabError("There is no such model file.", where=str(path), fix=fix) from None
    except OSError as error:
        raise LabError(f"The model file cannot be read: {error.strerror}.", where=str(path)) from None


def _truncated(path: Path, size: int, expected: int | None) -> LabError:
    needs = f"; its header promises {expected:,}" if expected else " and ends inside its header"
    return LabError(
        "The model file is cut short: an interrupted download or copy.",
        where=f"{path} has {size:,} bytes{needs}",
        fix="copy or download it again",
    )


def _parse(data: bytes, size: int, path: Path) -> Header:
    import gguf

    cursor = _Cursor(data)
    cursor.take(4)
    version = cursor.number("<I")
    if version not in (2, 3):
        raise LabError(
            f"GGUF version {version} is not one this course can read (2 and 3 are).", where=str(path)
        )
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    meta: dict[str, str | int | None] = {}
    parameters = end = 0
    try:
        for _ in range(pairs):
            key = cursor.text()
            meta[key] = cursor.value(cursor.number("<I"))
        for _ in range(tensors):
            cursor.text()
            dims = [cursor.number("<Q") for _ in range(cursor.number("<I"))]
            block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(cursor.number("<I"))]
            weights = prod(dims)
            parameters += weights
            end = max(end, cursor.number("<Q") + weights // block * block_bytes)
    except (ValueError, KeyError) as error:
        raise LabError(f"The model file's header is damaged: {error}.", where=str(path)) from None
    alignment = int(meta.get("general.alignment") or 32)
    start = -(-cursor.at // alignment) * alignment
    if tensors and start + end > size:
        raise _truncated(path, size, start + end)
    architecture = meta.get("general.architecture")
    context = meta.get(f"{architecture}.context_length")
    licence = meta.get("general.license")
    return Header(
        architecture=str(architecture) if architecture else None,
        licence=str(licence) if licence else None,
        context=int(context) if context else None,
        parameters=parameters,
        tensors=tensors,
        bytes=size,
    )
