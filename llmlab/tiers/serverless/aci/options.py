"""The options of `az container create`, read as azure-cli's own parser reads them, with its words where it refuses.

`options.json` is what that parser listed itself; its version and how it was got stand in it. Abbreviations are taken as az takes them.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

COMMAND = ("az", "container", "create")
#: What az says of values that it reads as `key=value` (azure-cli 2.91.0, container/_params.py).
PAIRS = {
    "environment": "Incorrectly formatted environment settings. Argument values should be in the format a=b c=d",
    "secure": "Incorrectly formatted secure environment settings. Argument values should be in the format a=b c=d",
    "config": "Incorrectly formatted config map key-value pairs. Argument values should be in the format a=b c=d",
}

#: Options of an older az that scripts still have, and why there are none of them (azure-cli 2.91.0 calls them unrecognized arguments).
GONE = dict.fromkeys(
    ("--gpu-count", "--gpu-sku", "--gpu"),
    "Container Instances have no GPUs since 2025-07-14; they had K80, P100 and V100 "
    "(MicrosoftDocs/azure-compute-docs, container-instances-gpu.md, 2025-11-17)",
)


class AzRefusal(Exception):
    """What az says instead of going on."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The options' values by az's own names for them; `given`: what was written of each, in order."""

    values: Mapping[str, Any]
    given: Mapping[str, tuple[str, ...]]


@functools.cache
def table() -> dict[str, Any]:
    """The file, as it is."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("options.json").read_text("utf-8"))
    return found


def version() -> str:
    """Whose options these are: azure-cli and its version."""
    return str(table()["version"])


def parse(words: Sequence[str], *, has_group: bool = False, unknown: Collection[str] = ()) -> Parsed:
    """Read the words after `az container create`.

    :param has_group: whether a default resource group was configured, so that --resource-group may be absent.
    :param unknown: words, and values behind `=`, of which only a run could tell a part: nothing is refused because of them.
    :raises AzRefusal: with az's words.
    """
    given: dict[str, list[str]] = {}
    parser = _CreateParser(prog=" ".join(COMMAND), add_help=False)
    for row in table()["options"]:
        kind = row.get("kind")
        more: dict[str, Any] = {"dest": row["dest"], "action": _action(given, kind)}
        if kind is None:
            more |= {key: row[key] for key in ("nargs", "choices") if key in row}
            read = _reader(row)
            if read is not None:
                more["type"] = _or_unknown(read, unknown)
        required = bool(row.get("required")) and not has_group
        parser.add_argument(*row["options"], required=required, **more)
    parser.unknown = unknown
    space, rest = parser.parse_known_args(list(words))
    if more_words := [text for text in rest if text not in unknown]:
        parser.error(f"unrecognized arguments: {' '.join(more_words)}")
    found = vars(space)
    if "help" in given:
        raise AzRefusal("--help is asked for: az prints its help and creates nothing")
    return Parsed(found, {name: tuple(written) for name, written in given.items()})


class _CreateParser(argparse.ArgumentParser):
    unknown: Collection[str] = ()

    def error(self, message: str) -> Any:
        raise AzRefusal(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices and value not in self.unknown:
            allowed = ", ".join(map(str, action.choices))
            raise AzRefusal(
                f"{self.prog}: '{value}' is not a valid value for '{action.option_strings[0]}'. Allowed values: {allowed}."
            )


def _action(given: dict[str, list[str]], kind: str | None) -> type[argparse.Action]:
    class Keep(argparse.Action):
        def __init__(self, **more: Any) -> None:
            if kind is not None:
                more["nargs"] = 0
            super().__init__(**more)

        def __call__(self, _: Any, space: argparse.Namespace, values: Any, option: str | None = None) -> None:
            given.setdefault(self.dest, []).append(str(option))
            setattr(space, self.dest, True if kind else values)

    return Keep


def _reader(row: Mapping[str, Any]) -> Callable[[str], Any] | None:
    """How az reads a value of an option."""
    if "choices" in row:
        return _either_case(row["choices"])
    if row.get("type") in PAIRS:
        return _pair(PAIRS[row["type"]])
    return {"float": float, "int": int}.get(row.get("type", ""))


def _or_unknown(read: Callable[[str], Any], unknown: Collection[str]) -> Callable[[str], Any]:
    def either(text: str) -> Any:
        return text if text in unknown else read(text)

    either.__name__ = getattr(read, "__name__", "value")  # argparse says it: invalid float value
    return either


def _either_case(choices: Sequence[str]) -> Callable[[str], str]:
    return lambda text: next((choice for choice in choices if choice.lower() == text.lower()), text)


def _pair(words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if "=" not in text:
            raise AzRefusal(words)
        return text

    return read
