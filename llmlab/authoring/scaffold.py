"""A small lab that works, made from the files in `template/`: what an author changes into one of their own."""

from __future__ import annotations

import json
import os
import re
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..course.info import all_labs
from ..errors import LabError
from .build import build

NAME = re.compile(r"\d\d(?:-[a-z0-9]+)+")
MOST = 60  # characters of a name or a title


def course_for(into: Path | None = None) -> Path:
    """Where a new lab goes: `into`, else the course that `LLMLAB_COURSE` names or that is found upwards, else here.

    Never the course beside the package, which an author who is elsewhere did not mean.
    """
    if into is not None:
        return into.expanduser().resolve()
    if os.environ.get("LLMLAB_COURSE"):
        return Path(os.environ["LLMLAB_COURSE"]).resolve()
    here = Path.cwd()
    found = (folder for folder in (here, *here.parents) if any((folder / "labs").glob("*/lab.toml")))
    return next(found, here)


def new(name: str, course: Path, *, title: str | None = None) -> list[Path]:
    """Make `labs/NAME` and `solutions/NAME` in a course (any folder, also an empty or a new one), notebooks built.

    :param name: `NN-slug`, e.g. `20-short-replies`.
    :param title: default: the slug in words.
    :return: every file made, sorted. They are built aside and moved into place when all is well.
    :raises LabError: for a name that is none or is taken, a title that does not fit a line, a folder that cannot
        be written, or when jupytext is missing.
    """
    if not NAME.fullmatch(name) or len(name) > MOST:
        raise LabError(
            f"{name!r} is no name for a lab: it is two digits and a slug, in small letters and digits.",
            fix=f"llmlab author new {_nearly(name)}",
        )
    number, _, slug = name.partition("-")
    title = slug.replace("-", " ").capitalize() if title is None else title.strip()
    if not title or len(title) > MOST or not title.isprintable():
        raise LabError(
            f"The title {title!r} does not fit a line of 1 to {MOST} characters.",
            fix='--title "Short replies"',
        )
    _refuse_taken(name, course)
    values = {"@@NAME@@": name, "@@NUMBER@@": number, "@@TITLE@@": title}
    try:
        course.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".llmlab-new-", dir=course) as folder:
            draft = Path(folder)
            _fill(files(__package__) / "template", draft, name, values)
            starter = draft / "solutions" / name / "starter"
            for path in starter.iterdir():
                (draft / "labs" / name / path.name).write_bytes(path.read_bytes())
            build(draft)
            for home in ("labs", "solutions"):
                (course / home).mkdir(exist_ok=True)
            for home in ("labs", "solutions"):
                (draft / home / name).rename(course / home / name)
    except OSError as error:
        raise LabError(
            f"The lab was not made: {error.strerror}.", where=str(error.filename or course)
        ) from None
    return sorted(
        path for home in ("labs", "solutions") for path in (course / home / name).rglob("*") if path.is_file()
    )


def _refuse_taken(name: str, course: Path) -> None:
    """A lab is found by its number and by its slug: both must be new to the course."""
    for home in ("labs", "solutions"):
        if os.path.lexists(course / home / name):
            raise LabError(
                f"There is a {name} already, and nothing is written over it.",
                where=str(course / home / name),
                fix="choose another name",
            )
    labs = all_labs(course)
    number, _, slug = name.partition("-")
    for present in labs:
        if number == present.number or slug == present.slug:
            taken = {lab.number for lab in labs}
            free = next((f"{n:02}" for n in range(20, 100) if f"{n:02}" not in taken), "NN")
            what = f"number {number}" if number == present.number else f"name {slug}"
            other = f"{free}-{slug}" if slug != present.slug else f"{number}-another-slug"
            raise LabError(
                f"The {what} is taken by {present.name}.",
                where=str(present.folder),
                fix=f"llmlab author new {other}",
            )


def _nearly(name: str) -> str:
    """What may have been meant."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    number = words.pop(0) if words and re.fullmatch(r"\d{1,2}", words[0]) else "20"
    return f"{int(number):02}-{'-'.join(words) or 'my-lab'}"[:MOST].rstrip("-")


def _fill(source: Traversable, target: Path, name: str, values: dict[str, str]) -> None:
    """Copy the template: below `labs` and `solutions` lies what belongs into the lab's own folders."""
    for home in ("labs", "solutions"):
        _copy(source / home, target / home / name, values)


def _copy(source: Traversable, target: Path, values: dict[str, str]) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                _copy(entry, target / entry.name, values)
        else:
            text = entry.read_text(encoding="utf-8")
            for mark, value in values.items():
                # a JSON text is a TOML text, quotes and backslashes included
                text = text.replace(
                    mark, json.dumps(value, ensure_ascii=False) if entry.name == "lab.toml" else value
                )
            (target / entry.name).write_text(text, encoding="utf-8")
