"""What goes into a pod, made: small enough for the objects of a cluster, or refused in words."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import zlib
from pathlib import Path
from typing import Any

import msgspec

from ...course.info import LabInfo
from ...errors import LabError
from ...submissions.submission import Taken
from ..notebook import CellOrder, cells_to_run
from ..rules import Rules
from ..sandbox import copy_lab
from ..view import WORK
from .parcel import LabFiles, Parcel, Sealed, package

#: Bytes of one parcel, packed; an object of Kubernetes holds 1 MiB.
MOST = 1_000_000


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
            orders=[dict(order) for order in orders],
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


def _packed(value: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), 6)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
