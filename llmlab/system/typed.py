"""Whether the data of a file are what one of our structs says; where not: at which key, on which line, what should stand there.

msgspec does the checking; here its messages become something that a `LabError` can say.
"""

from __future__ import annotations

import datetime
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import inspect

from ..errors import LabError

T = TypeVar("T", bound=msgspec.Struct)
#: TOML and YAML have times of their own: text is none.
_TIMES = (datetime.datetime, datetime.date, datetime.time)
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": "a date and time with Z or an offset, without quotes",
}
_BOUNDS = {">=": "of at least", ">": "above", "<=": "of at most", "<": "below"}


class Trouble(Exception):
    """What is wrong first. `at`: the keys that lead there; `value`: what stands there; `known`: the keys that could."""

    def __init__(
        self,
        kind: Literal["unknown", "missing", "wrong"],
        at: Sequence[str],
        *,
        value: object = None,
        expected: str = "",
        wanted: str = "",
        known: Sequence[str] = (),
    ) -> None:
        super().__init__(kind, at)
        self.kind, self.at, self.value, self.known = kind, list(at), value, list(known)
        self.expected, self.wanted = expected, wanted  # as msgspec calls it; in words
        self.shown = str(value) if isinstance(value, _TIMES) else repr(value)

    def error(self, file: str, where: str, examples: Mapping[str, str] | None = None) -> LabError:
        """In our usual words. `examples`: how a key is written."""
        *above, key = self.at or [file]
        table, example = ".".join(above), (examples or {}).get(key)
        owner = f"[{table}]" if table else file
        if self.kind == "missing":
            return LabError(f"{owner} lacks {key}.", where=where, fix=example)
        if self.kind == "unknown":
            near = difflib.get_close_matches(key, self.known, 1)
            fix = f"did you mean {near[0]}?" if near else "its keys are " + ", ".join(self.known)
            return LabError(f"{owner} has no key {key!r}.", where=where, fix=fix)
        name = f"{owner} {key}" if table else key
        return LabError(f"{name} is {self.shown}, and should be {self.wanted}.", where=where, fix=example)


def convert(data: Any, kind: type[T]) -> T:
    """The data as this struct. A number with a bound above and below is finite: TOML and YAML can write what is not.

    :raises Trouble: when they are not.
    """
    if isinstance(data, Mapping) and isinstance(data.get("schema"), bool):  # which counts as 1 for a Literal
        raise Trouble("wrong", ["schema"], value=data["schema"], expected="enum", wanted="1")
    try:
        return msgspec.convert(data, kind, builtin_types=_TIMES)
    except msgspec.ValidationError as error:
        raise _trouble(str(error), data, kind) from None


def _trouble(said: str, data: Any, kind: type[T]) -> Trouble:
    said, _, path = said.partition(" - at `")
    if path.startswith("key` in `"):  # YAML's keys may be numbers
        at = _keys(path.removeprefix("key` in `"), data, kind, said)
        odd = next(key for key in _node(data, at) if not isinstance(key, str))
        return Trouble("unknown", [*at, str(odd)], known=_known(kind, at))
    at = _keys(path, data, kind, said)
    if named := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        return Trouble("unknown", [*at, named[1]], known=_known(kind, at))
    if named := re.fullmatch(r"Object missing required field `(.*)`", said):
        return Trouble("missing", [*at, named[1]], known=_known(kind, at))
    expected, wanted = _wanted(said, kind, at)
    if at and isinstance(_node(data, at[:-1]), list):  # what has a name is the list
        at, expected, wanted = at[:-1], "array", f"a list of {wanted}"
    return Trouble("wrong", at, value=_node(data, at), expected=expected, wanted=wanted)


def _keys(path: str, data: Any, kind: type[T], said: str) -> list[str]:
    """The path as keys. Of a free table msgspec says `[...]`: the key is the one that alone gives the same message."""
    at: list[str] = []
    for name, index in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        if index != "...":
            at.append(name or index)
            continue
        table = _node(data, at)
        at.append(next((key for key in table if _alone(data, at, key, kind, said)), next(iter(table))))
    return at


def _alone(data: Any, at: list[str], key: str, kind: type[T], said: str) -> bool:
    try:
        msgspec.convert(_with(data, at, {key: _node(data, at)[key]}), kind, builtin_types=_TIMES)
    except msgspec.ValidationError as error:
        return str(error).startswith(said)
    return False


def _with(node: Any, at: list[str], new: Any) -> Any:
    return {**node, at[0]: _with(node[at[0]], at[1:], new)} if at else new


def _node(data: Any, at: Sequence[str]) -> Any:
    for key in at:
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data


def _type(kind: type[T], at: Sequence[str]) -> Any:
    """The type that stands at a path, without a None beside it."""
    found: Any = inspect.type_info(kind)
    for key in [*at, None]:
        if isinstance(found, inspect.UnionType):
            found = next((kind for kind in found.types if not isinstance(kind, inspect.NoneType)), found)
        if key is None:
            break
        if isinstance(found, inspect.StructType):
            found = next(field.type for field in found.fields if field.encode_name == key)
        else:
            found = getattr(found, "value_type", None) or getattr(found, "item_type", None)
    return found


def _known(kind: type[T], at: Sequence[str]) -> list[str]:
    return [field.encode_name for field in getattr(_type(kind, at), "fields", ())]


def _wanted(said: str, kind: type[T], at: Sequence[str]) -> tuple[str, str]:
    found = re.match(r"Expected `([^`]+)`(?: (>=|>|<=|<) ([\d.e+-]+))?", said)
    if said.startswith("Invalid enum value"):
        values = [repr(value) for value in getattr(_type(kind, at), "values", ())]
        return "enum", f"one of {', '.join(values)}" if len(values) > 1 else values[0]
    if not found:
        return "float", _WORDS["float"]  # out of range
    names = [name for name in found[1].split(" | ") if name != "null"]
    words = " or ".join(_WORDS.get(name, name) for name in names)
    return names[0], f"{words} {_BOUNDS[found[2]]} {float(found[3]):g}" if found[2] else words


def toml_line(text: str, wanted: Sequence[str]) -> int | None:
    """The line on which `wanted`, or as much of its path as can be found, is written (tomllib does not say)."""
    wanted = list(wanted)
    here: list[str] = []
    best: tuple[int, int] | None = None
    lists: dict[tuple[str, ...], int] = {}  # how many [[tables]] of a name there have been
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("[[") and (name := _path(line)):
            count = lists[tuple(name)] = lists.get(tuple(name), -1) + 1
            here = path = [*name, str(count)]
        elif line.lstrip().startswith("["):
            here = path = _path(line) or here
        elif key := re.match(r"""\s*((?:"(?:\\.|[^"\\])*"|'[^']*'|[^=#"'])+?)\s*=""", line):
            path = [*here, *(_path(f"{key[1]} = 0") or ["\0"])]
        else:
            continue
        common = min(len(path), len(wanted))
        if path[:common] == wanted[:common] and (best is None or common > best[0]):
            best = (common, number)
    return best[1] if best else None


def _path(line: str) -> list[str] | None:
    """The keys that one line of TOML names, read by tomllib itself."""
    try:
        node: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    out = []
    while isinstance(node, dict) and node:
        key = next(iter(node))
        out.append(key)
        node = node[key]
    return out
