"""Where the blocks of a Terraform configuration stand, and which modules it calls: read from the files, for `init` may not have run."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LabError

if TYPE_CHECKING:
    from lark import Token, Tree

LARGEST = 1 << 20  # characters of a file that are parsed: some seconds
_LOCAL = re.compile(r"^[ \t]*source[ \t]*=[ \t]*\"(\.\.?/[^\"\n]*)\"", re.MULTILINE)
_PLAIN = re.compile(r'"[^"$%\n]*"')


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
    lacking = [block for block, target in calls(project) if target is None and block.labels]
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


@functools.lru_cache(maxsize=256)
def read(text: str, path: str) -> tuple[Block, ...]:
    """The top-level blocks of one file, by python-hcl2.

    Of a file that the library does not take, only the calls of local modules, so that their folders come along: Terraform takes a
    few forms more (`${~ x ~}`, letters beyond ASCII in a name), and what is no HCL at all it refuses itself, in good words.
    """
    import hcl2  # 0.4 s, and only for who writes Terraform
    from lark.exceptions import LarkError

    text = text.removeprefix("\ufeff")
    try:
        tree = hcl2.parses_to_tree(text + "\n") if len(text) <= LARGEST else None
    except LarkError:
        tree = None
    if tree is None:
        calls = [(found[1], text.count("\n", 0, found.start(1)) + 1) for found in _LOCAL.finditer(text)]
        return tuple(Block("module", (), path, line, source, line) for source, line in calls)
    return tuple(_block(part, text, path) for part in _parts(tree.children[0], "block"))


def _block(tree: Tree[Token], text: str, path: str) -> Block:
    kind, *labels = [_text(part, text).strip('"') for part in _parts(tree, "identifier", "string")]
    source, line = None, 0
    if kind == "module":
        (body,) = _parts(tree, "body")
        for attribute in _parts(body, "attribute"):
            name, value = (_text(part, text) for part in _parts(attribute, "identifier", "expr_term"))
            if name == "source" and _PLAIN.fullmatch(value):
                source, line = value[1:-1], attribute.meta.line
    return Block(kind, tuple(labels), path, tree.meta.line, source, line)


def _parts(tree: Tree[Token], *names: str) -> list[Tree[Token]]:
    return [part for part in tree.children if not isinstance(part, str) and part.data in names]


def _text(tree: Tree[Token], text: str) -> str:
    return text[tree.meta.start_pos : tree.meta.end_pos]


def where(project: Path, arn: str) -> str:
    """File and line of the resource that has this ARN in the project's state; empty: it is in none."""
    try:
        state = json.loads((project / "terraform.tfstate").read_text())
    except (OSError, ValueError):
        return ""
    for resource in state.get("resources", []):
        if any((instance.get("attributes") or {}).get("arn") == arn for instance in resource["instances"]):
            return written(project, resource["type"], resource["name"])
    return ""


def written(project: Path, kind: str, name: str) -> str:
    """File and line of the block of a resource; empty: no file of the project holds it."""
    found = (block for block in blocks(project) if (block.kind, block.labels) == ("resource", (kind, name)))
    return next((block.where for block in found), "")


def spelt(kind: str) -> str:
    """A resource's type as most write it: the provider knows `aws_lb` and what belongs to it as `aws_alb` as well.

    Source: the provider's documentation of aws_lb, "`aws_alb` is known as `aws_lb`. The functionality is identical."
    """
    return kind.replace("aws_alb", "aws_lb", 1) if kind.startswith("aws_alb") else kind
