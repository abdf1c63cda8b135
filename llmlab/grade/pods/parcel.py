"""What a pod is given: the lab, a submission with what is to be done with it, and what its learner's cells may not see.

A pod imports this before anything else, so little else is imported here (`packing` makes it).
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..rules import Rules

#: Bytes of one unpacked: what a grader reads of a submission, and some for the rest.
MOST_UNPACKED = 192 << 20
T = TypeVar("T")


class Parcel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One submission, and what is done with it."""

    lab: str  # NN-slug
    fingerprint: str  # of submission, lab and seeds, as in its result
    package: str  # of the llmlab that packed it
    needs: list[str]  # of the lab
    rules: Rules
    files: dict[str, bytes]  # artifacts and records: name → content
    artifacts: list[str]  # of these
    missing: dict[str, str]  # artifact → why it was not taken
    cells: dict[str, str]  # answer cell → the learner's source
    orders: list[dict[str, Any]]  # what the notebook runs: CellOrders
    memory: bool = False  # it is not run: the last time it used up its memory, and its container with it


class LabFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A course of one lab."""

    files: dict[str, bytes]  # path in the course → content


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What only the checks of one submission may know."""

    seed: int  # what its hidden inputs are drawn from
    token: str  # what its verdict is signed with


def unpack(data: bytes, kind: type[T]) -> T:
    """What was packed.

    :raises ValueError: when it is none of ours.
    """
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, MOST_UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if inflater.unconsumed_tail:
        raise ValueError("larger than a submission may be")
    return msgspec.msgpack.decode(raw, type=kind)


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write them below a folder, which is there then, also without any."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@functools.cache
def package() -> str:
    """What tells this llmlab from another: of all its modules, SHA-256."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
