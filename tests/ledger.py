"""What was proved, for which content: with --full or --until, a slow test of a lab (a notebook, a fault) that passed on the same content
is not run again.

The content is the lab (starter, checks, worked files), the fault, the modules of llmlab that its checks can reach, the tests' own
code, the engine and what `doctor` says of the lab's needs (it names versions). `--fresh` proves everything again; so does an empty cache.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from imports import COURSE, imported

from llmlab import doctor, engine, tier
from llmlab.system.paths import cache_dir, replace_file


def key(item: pytest.Item, *, full: bool = True) -> str | None:
    """A digest of all that the test's verdict stands on; None for a test that keeps no ledger.

    :param full: whether it is run with --full, which proves more.
    """
    if not any(map(item.get_closest_marker, ("full", "ledger"))) or not item.nodeid.startswith("tests/labs/"):
        return None
    if not hasattr(item, "callspec"):
        return None
    params = item.callspec.params
    fault = params.get("fault")
    from llmlab.course.info import find_lab

    info = params["info"] if "info" in params else find_lab(fault["lab"], COURSE)
    digest = hashlib.sha256(
        json.dumps([item.name, fault, *([] if full else ["quick"])], sort_keys=True).encode()
    )
    for need in info.needs:
        digest.update(doctor.need(need).detail.encode())
    digest.update(engine.find().line().encode())
    start = [info.folder / "checks.py", COURSE / "llmlab/checks/run.py"]
    start += [] if fault else [COURSE / "llmlab/lab/__init__.py", COURSE / "llmlab/lab/lab.py", *openers()]
    for path in sorted(
        {
            *reached(start),
            *_below(info.folder),
            *_below(info.solution),
            Path(__file__).parent / "labs/test_labs.py",
        }
    ):
        digest.update(str(path.relative_to(COURSE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def proved(item: pytest.Item, *, full: bool = True) -> str | None:
    """When this very content passed, or None; what passed with --full passed without."""
    lines = _read()
    names = [key(item), *([] if full else [key(item, full=False)])]
    return next((lines[name].partition("  ")[0] for name in names if name in lines), None)


def last() -> dict[str, str]:
    """When each test passed last, whatever its content was then: by the name of the test."""
    return {
        name.strip(): when for when, _, name in (line.partition("  ") for line in sorted(_read().values()))
    }


def note(item: pytest.Item, *, full: bool = True) -> None:
    """It passed just now."""
    name = key(item, full=full)
    if name:
        path = _file(name)
        replace_file(path, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC  {item.name}\n".encode())


def reached(start: Iterable[Path]) -> set[Path]:
    """The files that these import, wherever in them, and what those import: parts of a lab's checks, modules of llmlab with the data beside them."""
    waiting, seen = list(start), set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        waiting += [*imported(path), *named(path)]
    packages = {path.parent for path in seen if (COURSE / "llmlab") in path.parents}
    return seen | {
        file
        for folder in packages
        for file in _below(folder)
        if file.suffix != ".py" and _package(file) == folder
    }


def named(path: Path) -> list[Path]:
    """The modules that a file names in a string: what it runs with `python -m`, or imports when it is asked for."""
    if path.suffix != ".py":
        return []
    names = re.findall(r'"(llmlab(?:\.\w+)+)"', path.read_text(encoding="utf-8"))
    return [COURSE / f"{name.replace('.', '/')}.py" for name in names]


def openers() -> set[Path]:
    """The modules of what a notebook opens by name: no import says so."""
    named = {what.partition(":")[0] for part in ("opens", "gives") for what in tier.all_of(part).values()}
    return {COURSE / f"{name.replace('.', '/')}.py" for name in named}


def _below(folder: Path) -> list[Path]:
    skip = {"__pycache__", ".llmlab", "records", ".ipynb_checkpoints"}
    return [path for path in folder.rglob("*") if path.is_file() and not skip & set(path.parts)]


def _package(file: Path) -> Path:
    """The innermost package that holds a data file."""
    return next(folder for folder in file.parents if (folder / "__init__.py").is_file())


def _file(name: str) -> Path:
    return cache_dir() / "proved" / name


def _read() -> dict[str, str]:
    folder = cache_dir() / "proved"
    return {path.name: path.read_text() for path in folder.glob("*")} if folder.is_dir() else {}
