"""On which line of a YAML file something stands; and what YAML would take in silence and nobody means, refused with its line."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ..errors import LabError

#: More than any manifest has, less than what an alias of aliases stands for.
VALUES = 20_000


def nothing(node: yaml.Node) -> bool:
    """Whether a document is only comments, or a --- with nothing below it."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def plain(name: str, top: yaml.Node) -> None:
    """Refuse a key that stands twice in one place, and aliases that blow a file up.

    :param name: of the file.
    :raises LabError: with the line.
    """
    if _values(name, top, {}, set()) > VALUES:
        raise LabError(f"{name} stands for more than {VALUES:,} values.", where=name)


def _values(name: str, node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """How many values a node stands for once its aliases are written out."""
    if id(node) in above:
        raise LabError("An alias stands for itself.", where=f"{name}:{node.start_mark.line + 1}")
    if id(node) not in known:
        below: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            below = node.value
        elif isinstance(node, yaml.MappingNode):
            _once(name, [key for key, _ in node.value])
            below = [child for pair in node.value for child in pair]
        above.add(id(node))
        known[id(node)] = 1 + sum(_values(name, child, known, above) for child in below)
        above.discard(id(node))
    return known[id(node)]


def _once(name: str, keys: list[yaml.Node]) -> None:
    seen: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        line = key.start_mark.line + 1
        if key.value in seen:
            raise LabError(
                f"{key.value} stands twice in one place, first in line {seen[key.value]}: that one would be lost in silence.",
                where=f"{name}:{line}",
                fix="keep one",
            )
        seen[key.value] = line


def scalar_line(file: Path, text: str) -> int | None:
    """The line of the first key or value that holds `text` as a whole word; None when there is none, or no YAML."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8", errors="replace"), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    word = re.compile(rf"(?<![\w.-]){re.escape(text)}(?![\w.-])")
    left, lines = [root] if root else [], []
    while left:
        node = left.pop()
        if isinstance(node, yaml.ScalarNode) and word.search(node.value):
            lines.append(node.start_mark.line + 1)
        elif isinstance(node, yaml.MappingNode):
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
        if len(lines) + len(left) > 10_000:  # anchors may multiply
            break
    return min(lines, default=None)


def line_of(node: yaml.Node | None, path: list[str]) -> int | None:
    """The line (from 1) of the deepest part of `path` that is there; None when not even its first is."""
    line: int | None = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
