"""On which line of a YAML file something stands: Compose names the place, and only sometimes the line."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ...errors import LabError, Unavailable
from ...system.yaml_nodes import line_of, scalar_line
from ..docker.daemon import failure

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
