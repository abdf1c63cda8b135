"""What to serve, as the learner's `server.toml` says it.

model = "20m"            # a name from `llmlab models`, or a path to a .gguf
device = "cpu"           # or "cuda"
engine = "wheel"         # or "built", or a path; left out: the first that `llmlab engine` finds
schema = 1

[flags]                  # llama-server's own long names, passed through
ctx-size = 4096
parallel = 4
metrics = true

[limits]                 # a quota around the process
cpus = 1.0               # cores
memory = "512M"

[env]                    # LLAMA_API_KEY belongs here or in flags.api-key-file, never in argv
LLAMA_API_KEY = "sk-…"   # what else may stand here: MAY_SET
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ..engine.flags import STARTS_PROGRAMS
from ..errors import LabError
from ..system import typed
from .limits import Limits

Value = str | int | float | bool | list[str]
#: What a file may set in the environment of its server: llama.cpp's own, the key, threads and devices, the language of messages. Any
#: other name could make it another program (a library loaded first, say).
MAY_SET = (
    "LLAMA_API_KEY", "LLAMA_ARG_*", "GGML_NO_BACKTRACE", "GGML_SCHED_DEBUG", "GGML_CUDA_*", "GGML_VK_VISIBLE_DEVICES",
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
    "GOMP_CPU_AFFINITY", "KMP_BLOCKTIME", "KMP_AFFINITY", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LANG", "LC_ALL", "TZ", "NO_COLOR",
)  # fmt: skip
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(text: str | int, *, where: str) -> int:
    """Bytes from `512M`, `1.5G`, `1Gi` (powers of 1024, as cgroups count) or a plain number.

    :raises LabError: naming `where` when it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", str(text), re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise LabError(f"{text!r} is not a size.", where=where, fix='write it like "512M" or "2G"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


def line_of(text: str, key: str) -> int | None:
    """The line (from 1) on which a TOML key is set: tomllib does not say."""
    for number, line in enumerate(text.splitlines(), 1):
        name = re.escape(key).replace(r"\-", "[-_]")  # llama-server reads ctx_size as ctx-size
        if re.match(rf"""\s*(?:["']?){name}(?:["']?)\s*=|\s*\[{name}\]""", line):
            return number
    return None


class _Limits(Struct, forbid_unknown_fields=True):
    cpus: Annotated[float, Meta(gt=0, lt=1e6)] | None = None  # cores
    memory: str | int | None = None  # "512M", "2G" (powers of 1024), or bytes


class _ServerToml(Struct, forbid_unknown_fields=True):
    model: str = "tiny"  # a name from `llmlab models`, or a path to a .gguf
    device: str = "cpu"  # or "cuda"
    #: "wheel", "built", or a path; left out: the first that `llmlab engine` finds.
    engine: str | None = None
    flags: dict[str, Value] = field(default_factory=dict)  # llama-server's own long names, passed through
    limits: _Limits = field(default_factory=_Limits)  # a quota around the process
    env: dict[str, str | int | float | bool] = field(default_factory=dict)  # variables of its environment
    schema: Literal[1] = 1  # the version of this format


def _words(trouble: typed.Trouble, file: str) -> tuple[str, str]:
    """What is wrong with a server.toml, and how it is written."""
    *above, key = trouble.at
    if trouble.kind == "unknown" and above:
        return f"[limits] has no key {key!r}.", "it takes cpus and memory"
    if trouble.kind == "unknown":
        near = difflib.get_close_matches(key, trouble.known, 1)
        return (
            f"{file} has no key {key!r}.",
            f"did you mean {near[0]}?" if near else "flags belong below [flags]",
        )
    if key == "schema" and not above:
        return f"schema is {trouble.shown}, and should be 1.", "a newer llmlab reads it"
    if not above and trouble.expected == "str":
        return f"{key} must be text.", f'{key} = "{trouble.value}"'
    if not above:
        return f"{key} must be a table.", f"write [{key}] above its keys"
    if above == ["limits"] and key == "cpus":
        return f"cpus must be a number of cores above 0, not {trouble.shown}.", "cpus = 1.0"
    if above == ["limits"]:
        return f"{trouble.shown} is not a size.", 'write it like "512M" or "2G"'
    return f"{key} cannot be {trouble.shown}.", "text, a number, true or false"


def _plain(flags: Mapping[str, Value]) -> Mapping[str, Value]:
    """The flags with dashes, as llama-server lists them; as they are where one stands there twice, which the engine refuses."""
    plain = {name.replace("_", "-"): value for name, value in flags.items()}
    return plain if len(plain) == len(flags) else flags


def _may_set(name: str, where: str) -> None:
    """:raises LabError: where a file may not set a variable of that name."""
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in MAY_SET):
        near = difflib.get_close_matches(name, MAY_SET, 1)
        raise LabError(
            f"[env] may not set {name}: here stand llama-server's own variables only.",
            where=where,
            fix=f"did you mean {near[0]}?"
            if near
            else f"leave it out; what may stand here: {', '.join(MAY_SET)}",
        )
    flag = name.removeprefix("LLAMA_ARG_").lower().replace("_", "-")
    if flag in STARTS_PROGRAMS:
        raise starts_programs(name, where)


def starts_programs(name: str, where: str | None) -> LabError:
    """That a flag or variable is refused, because with it llama-server runs programs."""
    return LabError(
        f"{name} is not for a server.toml: with it llama-server starts programs, or lets a client start them.",
        where=where,
        fix="leave it out; on a machine of your own, start llama-server by hand with it",
    )


@dataclass(frozen=True, slots=True)
class Spec:
    """One server to start. `flags` are llama-server's long names; `limits` is the quota around it."""

    model: str = "tiny"
    flags: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    device: str = "cpu"
    limits: Limits = dataclasses.field(default_factory=Limits)
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    engine: str | None = None  # a path, or "wheel" / "built"; None: whatever `llmlab engine` finds first
    folder: Path = dataclasses.field(default_factory=Path.cwd)  # relative paths are meant from here
    source: Path | None = None  # the file it came from
    text: str = ""

    @classmethod
    def read(cls, path: str | Path) -> Spec:
        """Read a TOML file.

        :raises LabError: naming the file and line for anything that is not as it must be.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise LabError(
                f"There is no {path.name}.",
                where=str(path.resolve()),
                fix="llmlab reset brings the starter back",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise LabError(f"{path.name} cannot be read: {error}.", where=str(path.resolve())) from None
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise LabError(
                f"{path.name} is not valid TOML: {error}.",
                where=str(path),
                fix='text needs quotes ("20m"), switches are true or false',
            ) from None
        return cls._from(data, path=path, text=text)

    @classmethod
    def _from(cls, data: Mapping[str, Any], *, path: Path, text: str) -> Spec:
        def where(key: str) -> str:
            line = line_of(text, key)
            return f"{path}, line {line}" if line else str(path)

        try:
            read = typed.convert(data, _ServerToml)
        except typed.Trouble as trouble:
            what, fix = _words(trouble, path.name)
            raise LabError(what, where=where(trouble.at[-1]), fix=fix) from None
        for name in read.env:
            _may_set(name, where(name))
        limits = read.limits
        memory = None if limits.memory is None else parse_size(limits.memory, where=where("memory"))
        return cls(
            model=read.model,
            flags=_plain(read.flags),
            device=read.device,
            engine=read.engine,
            limits=Limits(cpus=limits.cpus, memory=memory),
            env={key: str(value) for key, value in read.env.items()},
            folder=path.resolve().parent,
            source=path,
            text=text,
        )

    def where(self, key: str) -> str | None:
        """`server.toml, line 7` for a key of the file this came from; None for a spec made in Python."""
        if self.source is None:
            return None
        line = line_of(self.text, key)
        return f"{self.source}, line {line}" if line else str(self.source)

    def model_path(self) -> str | Path:
        """The model as `llmlab.models.get` takes it: a name, or a path made absolute."""
        if self.model.endswith(".gguf") or "/" in self.model:
            return self.folder / Path(self.model).expanduser()
        return self.model

    def api_key(self) -> str | None:
        """The key a client must send, read from where the server reads it.

        :raises LabError: when the key stands in the flags, where every `ps` shows it.
        """
        if "api-key" in self.flags:
            raise LabError(
                "An API key does not belong in the flags: everyone on the machine can read a command line.",
                where=self.where("api-key"),
                fix='put it in a file and write api-key-file = "key.txt"',
                without="[env] with LLAMA_API_KEY works too",
            )
        name = self.flags.get("api-key-file")
        if isinstance(name, str):
            path = self.folder / name
            try:
                lines = path.read_text().splitlines()
            except OSError as error:
                raise LabError(
                    f"The API key file cannot be read: {error.strerror}.",
                    where=f"{self.where('api-key-file') or 'api-key-file'}: {path}",
                    fix=f"openssl rand -hex 16 > {path}",
                ) from None
            keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            if keys:
                return keys[0]
        key = self.env.get("LLAMA_API_KEY", os.environ.get("LLAMA_API_KEY"))
        return key.split(",")[0] if key else None
