"""A lab's checks and the files that they stand in: `checks.py`, and the parts beside it that it names.

A lab with many checks has a file for each subject; its `checks.py` then imports them (`from . import door, plan`) and says their order:
`PARTS = (plan, door)`.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..errors import LabError
from .check import Check

_loads = itertools.count(1)


def files_of(lab: Path) -> list[Path]:
    """The Python files that a lab's checks may stand in, `checks.py` first."""
    first = lab / "checks.py"
    return [first, *(path for path in sorted(lab.glob("*.py")) if path != first)]


def load_checks(lab: Path) -> list[Check]:
    """The checks of a lab in their order: those of each part that `PARTS` names, then those of `checks.py`, each file's as it defines them.

    The files are read anew each time, as a package of their own: two labs, two copies of a lab or two loads of one share no module. What
    was loaded stays (a check may import a part while it runs).

    :raises LabError: a part is imported, and a check in it would not be run; `PARTS` is no tuple.
    """
    package = f"llmlab_checks_{lab.name[:2]}_{next(_loads)}"
    home = ModuleType(package)
    home.__path__ = [str(lab.absolute())]
    sys.path_importer_cache.pop(str(lab.absolute()), None)  # it may not know of a new file yet
    sys.modules[package] = home
    try:
        module = _run(f"{package}.checks", lab / "checks.py")
        found: dict[str, Check] = {}
        parts = getattr(module, "PARTS", ())
        if not isinstance(parts, tuple):
            raise LabError(
                f"PARTS is a {type(parts).__name__}, no tuple of parts.",
                where=str(lab / "checks.py"),
                fix="PARTS = (door,)",
            )
        for part in (*parts, module):
            for check in _checks_in(part):
                found.setdefault(check.name, check)
        _refuse_left_out(package, found)
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        raise
    return list(found.values())


def _run(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _checks_in(module: ModuleType) -> Iterator[Check]:
    return (value for value in vars(module).values() if isinstance(value, Check))


def _refuse_left_out(package: str, found: dict[str, Check]) -> None:
    for name, module in list(sys.modules.items()):
        if not name.startswith(f"{package}."):
            continue
        for check in _checks_in(module):
            if found.get(check.name) is not check:
                why = "is called as another one" if check.name in found else "stands in no file of PARTS"
                raise LabError(
                    f"The check {check.name} {why}, and would not be run.",
                    where=f"{module.__file__}:{check.function.__code__.co_firstlineno}",
                    fix="name each part once in PARTS, in checks.py, and each check as no other",
                )
