"""What a pod is given: the lab, a submission with what is to be done with it, and what its learner's cells may not see."""

from __future__ import annotations

import functools
import hashlib
import hmac
import tempfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ...course.info import LabInfo
from ...errors import LabError
from ...submissions.submission import Taken
from ..notebook import CellOrder, cells_to_run
from ..rules import Rules
from ..sandbox import copy_lab
from ..view import WORK

#: Bytes of one parcel, packed; an object of Kubernetes holds 1 MiB.
MOST = 1_000_000
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
    orders: list[CellOrder]  # what the notebook runs
    memory: bool = False  # it is not run: the last time it used up its memory, and its container with it


class LabFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A course of one lab."""

    files: dict[str, bytes]  # path in the course → content


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What only the checks of one submission may know."""

    seed: int  # what its hidden inputs are drawn from
    token: str  # what its verdict is signed with


def pack_submission(
    info: LabInfo, taken: Taken, rules: Rules, *, seed: int, fingerprint: str, memory: bool = False
) -> bytes:
    """One submission as a pod takes it.

    :param seed: of the notebook.
    :param memory: its notebook used up its memory, the last time.
    :raises LabError: when it is larger than an object of a cluster may be.
    """
    orders: list[CellOrder] = []
    if rules.notebook > 0:
        orders = cells_to_run(
            info,
            cells=taken.cells,
            seed=seed,
            work=str(WORK / "files"),
            wall=rules.notebook,
            answer=rules.answer,
        )
    packed = _packed(
        Parcel(
            lab=info.name,
            fingerprint=fingerprint,
            package=package(),
            needs=list(info.needs),
            rules=rules,
            files=_files(taken.folder),
            artifacts=list(taken.artifacts),
            missing=taken.missing,
            cells=taken.cells,
            orders=orders,
            memory=memory,
        )
    )
    if len(packed) > MOST:
        raise LabError(
            f"What was handed in is {len(packed) / 1e6:.1f} MB packed, and a cluster's objects hold {MOST / 1e6:.0f} MB: "
            "it was not sent, and nothing of it is lost.",
            fix="llmlab grade without --on kubernetes, and the same --out: only this one is graded then",
        )
    return packed


def pack_lab(info: LabInfo) -> bytes:
    """The lab as it is handed out, without its solution.

    :raises LabError: when it is larger than an object of a cluster may be.
    """
    with tempfile.TemporaryDirectory(prefix="llmlab-lab-") as folder:
        copy_lab(info.folder, Path(folder))
        packed = _packed(LabFiles(files=_files(Path(folder))))
    if len(packed) > MOST:
        raise LabError(
            f"Lab {info.number} is {len(packed) / 1e6:.1f} MB packed, and a cluster's objects hold {MOST / 1e6:.0f} MB.",
            where=str(info.folder),
            fix="llmlab grade without --on kubernetes",
        )
    return packed


def sealed(secret: bytes, seed: int, fingerprint: str, batch: str) -> bytes:
    """What the checks of one submission may know; its token is another one for each batch.

    :param secret: the class's.
    :param seed: of the checks.
    """
    return msgspec.json.encode(Sealed(seed=seed, token=token(secret, fingerprint, batch)))


def token(secret: bytes, fingerprint: str, batch: str) -> str:
    """What one submission's pod signs with in one batch: drawn from the class's secret, so that it need not be kept."""
    return hmac.new(secret, f"pod\0{batch}\0{fingerprint}".encode(), hashlib.sha256).hexdigest()


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
    """Write them below a folder."""
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


def _packed(value: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), 6)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
