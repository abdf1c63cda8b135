"""What a file makes its reader do before anything runs: Compose reads other files, BuildKit fetches another reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from ...errors import LabError

#: A place in the file (`services.web.volumes` as a tuple), what is wrong with it, and the line where it is known.
Finding = tuple[tuple[str, ...], str, int | None]

#: What Compose reads while it resolves a file; of `extends` only its `file`.
_READ = {"env_file", "label_file", "include"}
_BINARY = "tag:yaml.org,2002:binary"
_GAP = r"(?:\s|[\\`]\r?\n)+"  # white space, lines that go on
_SYNTAX = re.compile(r"^[ \t]*(?:#|//)[ \t]*syntax[ \t]*=[ \t]*(\S*)", re.I | re.M)
_OFFICIAL = re.compile(r"(?:docker\.io/)?docker/dockerfile(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
_RUN = re.compile(
    rf"^[ \t]*(?:ONBUILD{_GAP})?RUN{_GAP}(?:--\S+{_GAP})*--(network=host|security=insecure)\b", re.I | re.M
)


def dockerfile(file: Path) -> None:
    """Refuse a Dockerfile that is read by somebody else's program, or that builds outside of its sandbox.

    :raises LabError: with the line.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff")
    except OSError:
        return  # the builder says so
    if text.lstrip().startswith("{"):  # BuildKit takes `{"syntax": …}` too
        raise LabError(f"{file.name} is no Dockerfile.", where=f"{file.name}:1")
    for found in _SYNTAX.finditer(text):
        if not _OFFICIAL.fullmatch(found[1]):
            what = (
                f"{found[1] or 'Something else'} is to read this file: only docker/dockerfile reads it here."
            )
            raise LabError(what, where=_at(file, text, found), fix="leave the line `# syntax=…` out")
    for found in _RUN.finditer(text):
        what = f"A step asks for --{found[1].lower()}: a build has a network and rights of its own, and no others."
        raise LabError(what, where=_at(file, text, found), fix=f"leave --{found[1].lower()} out")


def _at(file: Path, text: str, found: re.Match[str]) -> str:
    return f"{file.name}:{text.count(chr(10), 0, found.start()) + 1}"


def reads(file: Path, folder: Path, seen: set[Path] | None = None) -> Iterator[Finding]:
    """Where a Compose file makes Compose read what lies outside of `folder`, or fetch something.

    Every key of the file is looked at, wherever it stands: anchors, merges and further documents may bring it anywhere.

    :raises LabError: when it is no YAML.
    """
    seen = set() if seen is None else seen
    if file in seen:
        return
    seen.add(file)
    for key, node in _pairs(file):
        if key == "extends" and isinstance(node, yaml.MappingNode):
            values = [value for name, value in node.value if name.value == "file"]
        else:
            values = [node] if key in _READ else []
        for scalar in (inner for value in values for inner in _nodes(value)):
            if not isinstance(scalar, yaml.ScalarNode):
                continue
            text, line = str(scalar.value), scalar.start_mark.line + 1
            if why := _outside(text, {folder, file.parent.resolve()}, folder):
                yield (key,), f"{text[:100]} {why}", line if len(seen) == 1 else None
            elif key in ("include", "extends"):
                for base in {folder, file.parent.resolve()}:
                    if (base / text).is_file():
                        yield from reads((base / text).resolve(), folder, seen)


def _pairs(file: Path) -> Iterator[tuple[str, yaml.Node]]:
    try:
        for document in yaml.compose_all(file.read_bytes(), Loader=yaml.SafeLoader):
            for node in _nodes(document) if document is not None else ():
                if node.tag == _BINARY:  # Compose would read something else than stands there
                    where = f"{file.name}:{node.start_mark.line + 1}"
                    raise LabError("!!binary hides what this file says.", where=where, fix="write it as text")
                if isinstance(node, yaml.MappingNode):
                    yield from ((str(key.value), value) for key, value in node.value)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        raise LabError(f"{file.name} is no YAML: {getattr(error, 'problem', error)}.", where=where) from None
    except RecursionError:
        raise LabError(f"{file.name} is nested too deeply.", where=file.name) from None


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Every node once, however often it is referred to."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, yaml.MappingNode):
                left += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                left += node.value


def _outside(text: str, bases: set[Path], folder: Path) -> str | None:
    if "$" in text:
        return "depends on a variable"
    if "\0" in text:
        return "is no path"
    remote = "://" in text or text.startswith(("~", "git@", "oci:", "github.com/"))
    if remote or not all((base / text).resolve().is_relative_to(folder) for base in bases):
        return "lies outside of this folder"
    return None
