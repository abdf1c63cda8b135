"""The house: rooms, floors, tiers and roles, and what looks the wrong way. `uv run python tests/rooms.py` prints it."""

from __future__ import annotations

import graphlib
from collections import Counter
from pathlib import Path

from imports import PACKAGE, imported

# Lowest first; those on one line are peers that know no other.
FLOORS = [
    ["errors", "plain", "say"],
    ["tier"],
    ["system"],
    ["engine", "models", "records"],
    ["machine"],
    ["serve"],
    ["load"],
    ["capacity"],
    ["doctor"],
    ["checks"],
    ["course"],
    ["submissions"],
    ["figures"],
    ["show"],
    ["tiers"],
    ["certificate", "image", "hub"],
    ["lab"],
    ["grade", "authoring"],
    ["cli"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
#: Below each tier, those that it may use; what these may use, it may too.
BELOW: dict[str, set[str]] = {
    "compose": {"docker"},
    "systemd": {"docker"},
    "aws": {"compose", "systemd"},
    "edge": {"regions"},
    "fleet": {"regions"},
    "gateway": {"kubernetes"},
    "serverless": {"aws", "docker", "kubernetes"},
}

#: What a file of a tier is, by its name or that of its folder; all others are its machinery.
ROLES = {
    "notebook": "notebook",
    "lost": "notebook",
    "offload": "notebook",
    "recorded": "notebook",
    "probes": "probes",
    "claims": "probes",
    "cuda": "probes",
    "landing": "probes",
    "figures": "figures",
    "command": "command",
    "tier": "tier",
    "for_labs": "for labs",
}
#: The rooms and roles that a role may not know. `figures` and `tier` know nothing but the rooms named in `ONLY`.
NEVER = {
    "probes": {"show", "figures", "notebook", "command", "for labs"},
    "machinery": {"show", "figures", "checks", "notebook", "probes", "command", "for labs"},
    "notebook": {"command", "for labs"},
    "for labs": {"command"},
}
ONLY = {"figures": {"errors", "records", "figures"}, "tier": {"tier"}}


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "template" not in path.parts)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tier(path: Path) -> str | None:
    """The tier that a file belongs to."""
    parts = path.relative_to(PACKAGE).parts
    return parts[1] if parts[0] == "tiers" and len(parts) > 2 else None


def below(name: str) -> set[str]:
    return {it for other in BELOW.get(name, set()) for it in (other, *below(other))}


def upward(path: Path) -> set[str]:
    """What a file imports that it should not know."""
    mine, own = room(path), tier(path)
    found = set()
    for other in imported(path):
        there, its = room(other), tier(other)
        if there == "__init__":  # the version
            continue
        fine = its in (None, own, *below(own)) if own and there == "tiers" else there == mine
        if not fine and FLOOR[there] >= FLOOR[mine]:
            found.add(str(other.relative_to(PACKAGE)))
    return found


def role(path: Path) -> str:
    if tier(path) is None:
        return room(path)
    names = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts[2:]]
    return next((ROLES[name] for name in names if name in ROLES), "machinery")


def out_of_role(path: Path) -> set[str]:
    """What a file of a tier imports that its role does not allow."""
    mine = role(path)
    return {
        str(other.relative_to(PACKAGE))
        for other in imported(path)
        if role(other) in NEVER.get(mine, ()) or (mine in ONLY and role(other) not in ONLY[mine])
    }


def graph() -> dict[str, set[str]]:
    """File → the files that it imports."""
    return {
        str(path.relative_to(PACKAGE)): {str(other.relative_to(PACKAGE)) for other in imported(path)}
        for path in FILES
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle, or nothing."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def show() -> None:
    lines = Counter({path: len(path.read_bytes().splitlines()) for path in FILES})

    def size(paths: list[Path]) -> str:
        return f"{len(paths)} files, {sum(lines[path] for path in paths):,} lines"

    print("floors, the lowest first")
    for names in FLOORS:
        print("  " + "; ".join(f"{name} ({size([p for p in FILES if room(p) == name])})" for name in names))
    print("tiers")
    for name in sorted({it for path in FILES if (it := tier(path))}):
        own = [path for path in FILES if tier(path) == name]
        uses = sorted(
            {it for path in own for other in imported(path) if (it := tier(other)) not in (None, name)}
        )
        print(f"  {name}: {size(own)}" + (f"; uses {', '.join(uses)}" if uses else ""))
    upwards = {str(path.relative_to(PACKAGE)): upward(path) for path in FILES if room(path) in FLOOR}
    print("upwards:", {file: others for file, others in upwards.items() if others} or "nothing")
    strays = {str(path.relative_to(PACKAGE)): out_of_role(path) for path in FILES if tier(path)}
    print("out of role:", {file: others for file, others in strays.items() if others} or "nothing")
    print("circle:", " → ".join(circle(graph())) or "none")


if __name__ == "__main__":
    show()
