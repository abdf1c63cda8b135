"""Records on disk: written whole or not at all, read strictly."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import LabError
from ..paths import replace_file
from .schema import SCHEMA, Record


class _Head(msgspec.Struct):
    schema: str = ""


def dumps(record: Record) -> bytes:
    """The record as one line of JSON."""
    return msgspec.json.encode(record) + b"\n"


def write(record: Record, path: str | Path) -> Path:
    """Write `record` to `path` (folders are made), and return the path.

    The document is written beside it, flushed to the disk and renamed, so a reader sees the old record or the
    new one and never half of one.

    :raises LabError: when it cannot be written (disk full, no permission); what was there before is
    untouched.
    """
    path = Path(path)
    data = dumps(record)
    try:
        replace_file(path, data)
    except OSError as problem:
        raise LabError(
            f"The record was not written: {problem.strerror or problem}.",
            where=f"{path} ({len(data) / 1e6:.1f} MB)",
            fix="make room, or give another path",
            without=f"the record that was there is {'unchanged' if path.exists() else 'still none'}",
        ) from None
    return path


def read(path: str | Path) -> Record:
    """The record in `path`.

    :raises LabError: no such file, not JSON (with the byte), another schema, or a field that does not belong
    (with its
        place, e.g. `$.runs[0].samples[3].sent`).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise LabError(f"No record to read: {problem.strerror or problem}.", where=str(path)) from None
    return loads(data, source=str(path))


def loads(data: bytes, *, source: str = "this document") -> Record:
    """The record in `data`; `source` is named in errors. Errors as in `read`."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema != SCHEMA:
            raise LabError(
                f"This is not a record of {SCHEMA}: its schema is {head.schema or 'missing'!r}.",
                where=source,
                fix="measure again, or read it with the llmlab that wrote it",
            )
        return msgspec.json.decode(data, type=Record)
    except msgspec.ValidationError as problem:
        raise LabError(f"The record does not keep to {SCHEMA}: {problem}.", where=source) from None
    except msgspec.DecodeError as problem:
        raise LabError(f"This is not JSON: {problem}.", where=source, fix="measure again") from None
