"""What learning management systems make of names: whose a piece of an export is, and what its owner had called it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ..course.info import LabInfo
from .zips import names_in

PACKED = (".zip", ".ipynb")
METADATA = "submission_metadata.yml"  # Gradescope's own file
MAX_METADATA = 64 << 20  # bytes of it

_MOODLE = re.compile(
    r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext)(?:_(?P<rest>.*))?", re.DOTALL
)
# Canvas keeps the underscores of a name. There the file's own number is a long one, and no month: `my_lab_2026_10_05.ipynb`
_CANVAS = re.compile(
    r"(?P<name>[^_]+|\w+?(?=_(?:LATE_)?\d+_\d{4}))_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<number>\d+)_(?P<rest>.+)",
    re.DOTALL,
)
_CANVAS_ANONYMOUS = re.compile(
    r"(?:(?P<late>LATE)_)?(?P<name>anon)_(?P<id>[A-Za-z0-9]{5})_(?P<number>\d+)_(?P<rest>.+)", re.DOTALL
)
_BRIGHTSPACE = re.compile(
    r"(?P<id>\d+)-\d+ - (?P<name>.+?) - (?P<when>[^-]*\d{4}[^-]*?)(?: - (?P<rest>.+))?", re.DOTALL
)
_BLACKBOARD = re.compile(
    r"(?P<lab>.+)_(?P<name>[^_]+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<rest>.+)|\.txt)", re.DOTALL
)
_GRADESCOPE = re.compile(r"submission_\d+")
# A login has letters, the number is the user's own. Without a number only among others that have one
_ILIAS = re.compile(
    r"(?P<last>.+)_(?P<first>[^_]+)_(?P<login>(?=[^_]*[A-Za-z])[\w.@-]+?)_(?P<id>\d{3,})", re.DOTALL
)
_ILIAS_SHORT = re.compile(r"(?P<last>.+)_(?P<first>[^_]+)_(?P<login>(?=[^_]*[A-Za-z])[^_ ]+)", re.DOTALL)
# Canvas: handed in again
_NUMBERED = re.compile(r"(?P<name>.+)-(?P<n>\d{1,3})(?P<suffix>\.[^.]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the folder, and what its name says."""

    path: Path
    who: str  # the same for all of one learner's
    learner: str
    id: str = ""  # tells learners of one name apart
    attempt: tuple[float | str, ...] = ()  # the greatest is the newest; those of the same one belong together
    rest: str = ""  # the name it was handed in under
    late: bool = False
    spare: bool = False  # counts only where there is nothing else: Moodle's text beside the files


class ByName(Protocol):
    """A layout in which an entry's own name says whose it is."""

    def __call__(self, path: Path, name: str, *, folder: bool) -> Piece | None:
        """Whose an entry is, by its composed name; None where it is not of this layout."""


class ByClass(Protocol):
    """A layout in which it takes all of a class's folder to say whose its entries are."""

    def __call__(self, where: Path, folders: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Folder → (learner, number) of what lies in `where`; empty where that is not of this layout."""


def _moodle(path: Path, name: str, *, folder: bool) -> Piece | None:
    match = _MOODLE.fullmatch(name)
    return match and Piece(
        path,
        f"moodle {match['id']}",
        display(match["name"].replace("_", " ")),
        match["id"],
        rest=match["rest"] or match["kind"],
        spare=match["kind"] == "onlinetext",
    )


def _canvas(path: Path, name: str, *, folder: bool) -> Piece | None:
    match = None if folder else _CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name)
    return match and Piece(
        path,
        f"canvas {match['name']} {match['id']}",
        display(match["name"]),
        match["id"],
        rest=match["rest"],
        late=bool(match["late"]),
    )


def _brightspace(path: Path, name: str, *, folder: bool) -> Piece | None:
    match = _BRIGHTSPACE.fullmatch(name)
    return match and Piece(
        path,
        f"brightspace {match['id']} {match['name']}",
        display(match["name"]),
        match["id"],
        (_when(match["when"]), match["when"]),
        match["rest"] or "",
    )


def _blackboard(path: Path, name: str, *, folder: bool) -> Piece | None:
    match = None if folder else _BLACKBOARD.fullmatch(name)
    return match and Piece(
        path,
        # a login may have an underscore: `lee` can be two learners, whose names begin in what is taken for the lab's
        f"blackboard {match['lab']} {match['name']}",
        display(match["name"]),
        match["lab"],
        attempt=(match["when"],),
        rest=match["rest"] or "attempt.txt",
        spare=not match["rest"],
    )


def piece_of(path: Path, *, folder: bool) -> Piece | None:
    """Whose an entry of an export is, by one of `BY_NAME`; None for any other name."""
    name = unicodedata.normalize("NFC", path.name)
    found = (layout(path, name, folder=folder) for layout in BY_NAME.values())
    return next((piece for piece in found if piece), None)


def named(where: Path, folders: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Folder → (learner, number) of a class's folder, by all of `BY_CLASS`."""
    return {name: who for layout in BY_CLASS.values() for name, who in layout(where, folders).items()}


def is_export(names: Sequence[str]) -> bool:
    """Whether any of a folder's names is an LMS's or nbgrader's own."""
    own = {METADATA, "submitted"}
    return any(name in own or piece_of(Path(name), folder=False) for name in names) or len(ilias(names)) > 1


def ilias(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Folder -> (learner, number or login) where a class's folders are ILIAS's `Last_First_login_number`; else nothing."""
    plain = {name: unicodedata.normalize("NFC", name) for name in names}
    full = {name: match for name, text in plain.items() if (match := _ILIAS.fullmatch(text))}
    # two of them with one number are of another make: `team_red_a_2026`
    if not full or len({match["id"] for match in full.values()}) < len(full):
        return {}
    if any(_MOODLE.fullmatch(text) for text in plain.values()) or 2 * len(full) < len(names):
        return {}
    found = {}
    for name, text in plain.items():
        match = full.get(name) or _ILIAS_SHORT.fullmatch(text)
        if match:
            number = match.groupdict().get("id") or match["login"]
            found[name] = display(f"{match['first']} {match['last'].replace('_', ' ')}"), number
    return found


def whole_class(path: Path) -> list[str]:
    """The learners in a zip that is an LMS's export of all of them, by the names in it; nothing where it is one learner's."""
    names = [name.rstrip("/").split("/") for name in names_in(path)]
    levels = [list(dict.fromkeys(parts[n] for parts in names if len(parts) > n)) for n in range(3)]
    for level in levels:
        pieces = [piece_of(Path(name), folder=False) for name in level]
        learners = {piece.who: piece.learner for piece in pieces if piece}
        learners |= {name: learner for name, (learner, _) in ilias(level).items()}
        if METADATA in level:  # the names are in that file: its folders are not opened here
            learners |= {name: name for name in level if _GRADESCOPE.fullmatch(name)}
        if len(learners) > 1:
            return list(learners.values())
    return []


def numbered(rest: str, info: LabInfo) -> tuple[str, int]:
    """`lab-1.zip` as Canvas calls the second lab.zip; a name the lab declares is left alone."""
    match = _NUMBERED.fullmatch(rest)
    if not match or rest in info.artifacts:
        return rest, 0
    plain = match["name"] + match["suffix"]
    mine = plain in info.artifacts or match["suffix"].lower() in PACKED
    return (plain, int(match["n"])) if mine else (rest, 0)


def gradescope(path: Path) -> dict[str, tuple[str, str]]:
    """Folder -> (names, student numbers) as Gradescope's own file has them; empty where it cannot be read."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_METADATA:
            return {}
        import yaml

        class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
            """Builds plain values, also where Ruby notes its own classes."""

        def plain(loader: Any, _: str, node: Any) -> Any:
            mapping = isinstance(node, yaml.MappingNode)
            return loader.construct_mapping(node, deep=True) if mapping else None

        Loader.add_multi_constructor("!ruby/", plain)
        data = yaml.load(path.read_bytes(), Loader)
    except Exception:  # a convenience: whatever is wrong with it, the folders are still there
        return {}
    found = {}
    for folder, about in data.items() if isinstance(data, dict) else ():
        people = _list(about, ":submitters")
        names = [
            str(person[":name"]) for person in people if isinstance(person, dict) and person.get(":name")
        ]
        numbers = [str(person.get(":sid") or "") for person in people if isinstance(person, dict)]
        if names:
            found[str(folder)] = (
                display(" & ".join(names)),
                " & ".join(filter(None, numbers)) or str(folder),
            )
    return found


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _when(text: str) -> float:
    """Brightspace's `Oct 5, 2026 1005 AM` in seconds; 0 where it is written in another way."""
    plain = re.sub(r"[,.]", "", " ".join(text.split()))
    for form in (
        "%b %d %Y %I%M %p",
        "%B %d %Y %I%M %p",
        "%d %B %Y %I%M %p",
        "%d %b %Y %I%M %p",
        "%d %B %Y %H%M",
    ):
        try:
            return datetime.strptime(plain, form).timestamp()
        except (ValueError, OverflowError):
            continue
    return 0.0


def display(name: str) -> str:
    """A learner's name as it is shown: composed, without control or half characters, not endless."""
    name = unicodedata.normalize("NFC", name)
    return (
        " ".join("".join(character if character.isprintable() else "�" for character in name).split())[:200]
        or "learner"
    )


def _gradescope(where: Path, folders: Sequence[str]) -> dict[str, tuple[str, str]]:
    return gradescope(where / METADATA)


def _ilias(where: Path, folders: Sequence[str]) -> dict[str, tuple[str, str]]:
    return ilias(folders)


#: The layouts that are known, by the name of what writes them; the first that knows a name has it, of two that know a class the last.
BY_NAME: Mapping[str, ByName] = {
    "moodle": _moodle,
    "canvas": _canvas,
    "brightspace": _brightspace,
    "blackboard": _blackboard,
}
BY_CLASS: Mapping[str, ByClass] = {"gradescope": _gradescope, "ilias": _ilias}
