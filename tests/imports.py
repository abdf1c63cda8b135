"""Which files of llmlab, and of its own lab, a file imports, wherever in it: at its top, in a function, or for types only."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
PACKAGE = COURSE / "llmlab"


@functools.cache
def imported(path: Path) -> tuple[Path, ...]:
    """The files of a file's imports."""
    package = list(path.relative_to(COURSE).with_suffix("").parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names += [
                f"{module}.{alias.name}" if _file(f"{module}.{alias.name}") else module
                for alias in node.names
            ]
    found = [_file(name) for name in names if name.partition(".")[0] in ("llmlab", "labs")]
    return tuple(sorted({file for file in found if file is not None and file != path}))


def _file(module: str) -> Path | None:
    """The file of a module; of a package, its `__init__`."""
    path = COURSE.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
