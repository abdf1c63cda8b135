"""What YAML would take in silence and nobody means: refused with its line, before anything is made of it."""

from __future__ import annotations

import yaml

from ...errors import LabError

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
            below = [one for pair in node.value for one in pair]
        above.add(id(node))
        known[id(node)] = 1 + sum(_values(name, one, known, above) for one in below)
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
