"""The options of `az container create`, read as azure-cli's own parser reads them, with its words where it refuses.

`options.json` is what that parser listed itself; its version and how it was got stand in it. Abbreviations are taken as az takes them.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Mapping, Sequence
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


def parse(words: Sequence[str], *, has_group: bool = False) -> Parsed:
    """Read the words after `az container create`.

    :param has_group: whether a default resource group was configured, so that --resource-group may be absent.
    :raises AzRefusal: with az's words.
    """
    given: dict[str, list[str]] = {}
    parser = _CreateParser(prog=" ".join(COMMAND), add_help=False)
    for row in table()["options"]:
        kind = row.get("kind")
        more: dict[str, Any] = {"dest": row["dest"], "action": _action(given, kind)}
        if kind is None:
            more |= {key: row[key] for key in ("nargs", "choices") if key in row}
            if "choices" in row:
                more["type"] = _either_case(row["choices"])
            elif row.get("type") in PAIRS:
                more["type"] = _pair(PAIRS[row["type"]])
            elif "type" in row:
                more["type"] = {"float": float, "int": int}[row["type"]]
        required = bool(row.get("required")) and not (has_group and row["dest"] == "resource_group_name")
        parser.add_argument(*row["options"], required=required, **more)
    found = vars(parser.parse_args(list(words)))
    if "help" in given:
        raise AzRefusal("--help is asked for: az prints its help and creates nothing")
    return Parsed(found, {name: tuple(written) for name, written in given.items()})


class _CreateParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise AzRefusal(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
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


def _either_case(choices: Sequence[str]) -> Callable[[str], str]:
    return lambda text: next((choice for choice in choices if choice.lower() == text.lower()), text)


def _pair(words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if "=" not in text:
            raise AzRefusal(words)
        return text

    return read
