"""On which line of a YAML file something stands: Compose names the place, and only sometimes the line."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ...errors import LabError, Unavailable
from .daemon import failure

TAIL = 12


def unreadable(file: Path, said: str) -> LabError:
    """Compose's words for a file that it does not take, with the line where it can be told."""
    plain = failure(("compose",), said)
    if isinstance(plain, Unavailable):
        return plain
    lines = [line for line in said.strip().splitlines() if "level=warning" not in line]
    last = "\n".join(lines[-TAIL:]).replace(f"{file.parent}/", "")
    line = _searched(file, last) or _named(last)
    where = f"{file.name}:{line}" if line else file.name
    return LabError(f"Compose cannot read {file.name}:\n{last}", where=where)


def _named(said: str) -> int | None:
    found = re.search(r"line (\d+)", said)
    return int(found[1]) if found else None


def _searched(file: Path, said: str) -> int | None:
    """The line of what a message names: a place such as `services.llama.ports.0`, or a name that is not defined."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8", errors="replace"), Loader=yaml.SafeLoader)
    except (
        yaml.YAMLError
    ) as error:  # Compose names the line where the block began, this the one where it broke
        mark = getattr(error, "problem_mark", None)
        return mark.line + 1 if mark else None
    undefined = re.search(r'undefined \w+ "?([\w.-]+)"?', said)
    if undefined and (line := scalar_line(file, undefined[1])):
        return line
    extra = re.search(r"[Aa]dditional property (\S+) is not allowed", said)
    more = [extra[1]] if extra else []
    if "(root)" in said and extra:
        return line_of(root, more)
    best: int | None = None
    for dotted in re.findall(r"[A-Za-z_][\w-]*(?:\.[\w-]+)+", said):
        best = line_of(root, [*dotted.split("."), *more]) or best
    service = re.search(r'service "([^"]+)"', said)
    if best is None and service:
        best = line_of(root, ["services", service[1]])
    return best


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
