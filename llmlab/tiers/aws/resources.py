"""The resources of a project and what refers to what, also where it is not declared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .events import Diagnostic

_NODE = re.compile(r'^\s*"(?P<from>[^"]+)"(?: -> "(?P<to>[^"]+)")?')
_UNDECLARED = re.compile(
    r'A (?P<kind>managed|data) resource "(?P<type>\w+)" "(?P<name>\w+)" has not been declared'
)
_OWNER = re.compile(r'(?P<kind>resource|data) "(?P<type>\w+)" "(?P<name>\w+)"')


@dataclass(frozen=True, slots=True)
class Graph:
    """Addresses, and (address, address that it refers to); `missing`: those of the latter that nobody declared."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    missing: tuple[str, ...] = ()


def graph(dot: str, objections: Sequence[Diagnostic] = ()) -> Graph:
    """From the output of `terraform graph` and what `validate` objects to."""
    nodes: dict[str, None] = {}
    edges: dict[tuple[str, str], None] = {}
    for line in dot.splitlines():
        found = _NODE.match(line)
        if found:
            nodes.setdefault(found["from"])
            if found["to"]:
                nodes.setdefault(found["to"])
                edges.setdefault((found["from"], found["to"]))
    missing: dict[str, None] = {}
    for objection in objections:
        what = _UNDECLARED.search(objection.detail)
        if what:
            address = ("data." if what["kind"] == "data" else "") + f"{what['type']}.{what['name']}"
            missing.setdefault(address)
            nodes.setdefault(address)
            owner = _OWNER.search(objection.owner)
            if owner:
                prefix = "data." if owner["kind"] == "data" else ""
                edges.setdefault((f"{prefix}{owner['type']}.{owner['name']}", address))
    return Graph(tuple(nodes), tuple(edges), tuple(missing))
