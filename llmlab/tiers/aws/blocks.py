"""Where the blocks of a Terraform configuration stand, and which modules it calls: read from the files, for `init` may not have run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError

_HEADER = re.compile(
    r"^[ \t]*(?P<kind>[A-Za-z_]\w*)(?P<labels>(?:[ \t]+\"[^\"\n]*\")*)[ \t]*\{", re.MULTILINE
)
_HEREDOC = re.compile(r"<<-?[ \t]*([A-Za-z_]\w*)[^\n]*\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block: `resource "aws_lb" "door"` has the kind `resource` and two labels."""

    kind: str
    labels: tuple[str, ...]
    path: str  # of its file, in the project
    line: int
    source: str | None = None  # of a module call, where it is a plain string
    source_line: int = 0

    @property
    def where(self) -> str:
        """`main.tf:12`."""
        return f"{self.path}:{self.line}"

    @property
    def remote(self) -> bool:
        """Whether it calls a module that is no folder here: from a registry, a repository or an address."""
        return self.source is not None and not self.source.startswith(("./", "../", "/"))


def blocks(folder: Path) -> list[Block]:
    """All of a folder's, file by file; files below it too, but for what Terraform itself put there."""
    return [
        block
        for path in sorted(folder.rglob("*.tf"))
        if ".terraform" not in path.relative_to(folder).parts
        for block in read(path.read_text(errors="replace"), path.relative_to(folder).as_posix())
    ]


def calls(project: Path) -> Iterator[tuple[Block, Path | None]]:
    """The module calls of a project and of the modules that it calls, each with its folder; None: it is none of the project's."""
    root, waiting, seen = project.resolve(), [project], set()
    while waiting:
        folder = waiting.pop(0)
        for path in sorted(folder.glob("*.tf")):
            for block in read(path.read_text(errors="replace"), path.relative_to(project).as_posix()):
                if block.source is None:
                    continue
                target = None if block.remote else Path(os.path.normpath(folder / block.source))
                if target is not None and not (target.is_dir() and target.resolve().is_relative_to(root)):
                    target = None
                yield block, target
                if target is not None and target not in seen:
                    seen.add(target)
                    waiting.append(target)


def absent(project: Path) -> LabError | None:
    """What a project calls and does not hold: with the module, its line, and what to do; None: it holds all of it."""
    lacking = [block for block, target in calls(project) if target is None]
    if not lacking:
        return None
    words = []
    for block in lacking:
        what = f'{block.path}:{block.source_line}: module "{block.labels[0]}" comes from "{block.source}"'
        words.append(f"{what}{'' if block.remote else ', which is no folder among these files'}.")
    if any(block.remote for block in lacking):
        words.append(
            "The modules of a registry or a repository cannot be fetched where this is graded: there is no network."
        )
    name = lacking[0].labels[0]
    return LabError(
        "\n".join(words),
        where=f"{lacking[0].path}:{lacking[0].source_line}",
        fix=f'write its resources in your own files, or put its files into modules/{name} and say source = "./modules/{name}"',
    )


def read(text: str, path: str) -> Iterator[Block]:
    """The top-level blocks of one file, as far as they are written to their end."""
    bare = masked(text)
    depth, at = 0, 0
    for found in _HEADER.finditer(bare):
        depth += bare.count("{", at, found.start()) - bare.count("}", at, found.start())
        at = found.start()
        if depth:
            continue
        labels = tuple(
            text[found.start("labels") + one.start() + 1 : found.start("labels") + one.end() - 1]
            for one in re.finditer(r'"[^"]*"', found["labels"])
        )
        source, line = _source(text, bare, found.end()) if found["kind"] == "module" else (None, 0)
        begin = text.count("\n", 0, found.start("kind")) + 1
        yield Block(found["kind"], labels, path, begin, source, line)


def _source(text: str, bare: str, begin: int) -> tuple[str | None, int]:
    """The `source` of the block whose body begins there, and its line."""
    depth = 1
    for found in re.finditer(r"[{}]|(?<![\w.])source[ \t]*=[ \t]*\"([^\"\n]*)\"", bare[begin:]):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            break
        if depth == 1 and found[1] is not None:
            value = text[begin + found.start(1) : begin + found.end(1)]
            return value, text.count("\n", 0, begin + found.start()) + 1
    return None, 0


def masked(text: str) -> str:
    """The same text with blanks for what stands in comments, strings and heredocs: its braces are those of blocks."""
    out, at = list(text), 0

    def blank(begin: int, end: int) -> None:
        out[begin:end] = ["\n" if one == "\n" else " " for one in text[begin:end]]

    while at < len(text):
        if text.startswith(("#", "//"), at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            blank(at, end)
        elif text.startswith("/*", at):
            end = text.find("*/", at)
            end = len(text) if end < 0 else end + 2
            blank(at, end)
        elif text[at] == '"':
            end = _string(text, at)
            blank(at + 1, end - 1)
        elif (found := _HEREDOC.match(text, at)) is not None:
            close = re.compile(rf"^[ \t]*{found[1]}[ \t]*$", re.MULTILINE).search(text, found.end())
            end = close.end() if close else len(text)
            blank(at, end)
        else:
            end = at + 1
        at = end
    return "".join(out)


def _string(text: str, at: int) -> int:
    """Where the string that begins here ends: it may hold `${…}` with strings of its own."""
    at += 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == '"':
            return at + 1
        elif text.startswith(("${", "%{"), at) and text[at - 1] != text[at]:
            depth, at = 1, at + 2
            while at < len(text) and depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                at = _string(text, at) if text[at] == '"' else at + 1
        elif text[at] == "\n":
            return at  # it is not closed: Terraform will say so
        else:
            at += 1
    return at


def where(project: Path, arn: str) -> str:
    """File and line of the resource that has this ARN in the project's state; empty: it is in none."""
    try:
        state = json.loads((project / "terraform.tfstate").read_text())
    except (OSError, ValueError):
        return ""
    for resource in state.get("resources", []):
        if any((one.get("attributes") or {}).get("arn") == arn for one in resource["instances"]):
            labels = (resource["type"], resource["name"])
            found = [one for one in blocks(project) if (one.kind, one.labels) == ("resource", labels)]
            return found[0].where if found else ""
    return ""
