"""Records on disk: written whole or not at all, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from ..errors import LabError
from ..system.paths import replace_file
from .schema import SCHEMA, TABLE, Record, Table

T = TypeVar("T")


class _Head(msgspec.Struct):
    schema: str = ""


def dumps(record: Record | Table) -> bytes:
    """The record as one line of JSON."""
    return msgspec.json.encode(record) + b"\n"


def write(record: Record | Table, path: str | Path) -> Path:
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


def read_table(path: str | Path) -> Table:
    """The table in `path`; errors as in `read`."""
    path = Path(path)
    return _decode(_bytes(path), Table, TABLE, str(path))


def read_any(path: str | Path) -> Record | Table:
    """What is in `path`, a record or a table; errors as in `read`."""
    return loads_any(_bytes(Path(path)), source=str(path))


def loads_any(data: bytes, *, source: str = "this document") -> Record | Table:
    """The record or table in `data`; `source` is named in errors. Errors as in `read`, and a table whose rows do not fit its columns."""
    try:
        is_table = msgspec.json.decode(data, type=_Head).schema == TABLE
    except msgspec.MsgspecError:
        is_table = False
    if not is_table:
        return _decode(data, Record, SCHEMA, source)
    table = _decode(data, Table, TABLE, source)
    if any(len(row) != len(table.columns) for row in table.rows):
        raise LabError(
            f"The record does not keep to {TABLE}: a row has not one value for each column.", where=source
        )
    return table


def read(path: str | Path) -> Record:
    """The record in `path`.

    :raises LabError: no such file, not JSON (with the byte), another schema, or a field that does not belong
    (with its
        place, e.g. `$.runs[0].samples[3].sent`).
    """
    path = Path(path)
    return loads(_bytes(path), source=str(path))


def loads(data: bytes, *, source: str = "this document") -> Record:
    """The record in `data`; `source` is named in errors. Errors as in `read`."""
    return _decode(data, Record, SCHEMA, source)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise LabError(f"No record to read: {problem.strerror or problem}.", where=str(path)) from None


def _decode(data: bytes, kind: type[T], schema: str, source: str) -> T:
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema != schema:
            raise LabError(
                f"This is not a record of {schema}: its schema is {head.schema or 'missing'!r}.",
                where=source,
                fix="measure again, or read it with the llmlab that wrote it",
            )
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as problem:
        raise LabError(f"The record does not keep to {schema}: {problem}.", where=source) from None
    except msgspec.DecodeError as problem:
        raise LabError(f"This is not JSON: {problem}.", where=source, fix="measure again") from None
