"""A llama-server command line as settings of xllamacpp's `CommonParams`: the same flags, the same effect.

Each function says which handler of llama.cpp's common/arg.cpp it repeats where one flag sets several things.
`xllamacpp` itself is never imported here: the object to be set is handed in, so that a wrong flag is answered
before the engine is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import effects
from .hosted import Row, rows

# flags that print and end
ENDING = ("call:help", "call:version", "call:list_devices")


class InvalidSettings(Exception):
    """The command line cannot be served; the message is what llama-server would print."""


class Exit(Exception):
    """A flag that prints and ends: `--help`, `--version`, `--list-devices` (the message is its name)."""


Pair = tuple[Row, "str | bool"]


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> list[Pair]:
    """Every flag given, environment first and command line after it, so that a flag beats its variable.

    :raises Refused: an unknown flag, or one without its value (the texts of common_params_parse_ex).
    :raises Exit: for a flag that prints and ends.
    """
    table = rows()
    given: list[Pair] = []
    for row in table:
        given += _from_environment(row, environ)
    by_name = {name: row for row in table for name in row.names}
    words = iter(argv)
    for word in words:
        name = "--" + word[2:].replace("_", "-") if word.startswith("--") else word
        found = by_name.get(name)
        if found is None:
            raise InvalidSettings(f"error: invalid argument: {name}")
        if found.hint is None:
            given.append((found, not found.negates(name)))
            continue
        value = next(words, None)
        if value is None:
            raise InvalidSettings("expected value for argument")
        given.append((found, value))
    for row, _ in given:
        if row.sets in ENDING:
            raise Exit(row.sets.removeprefix("call:"))
    return given


def _from_environment(row: Row, environ: Mapping[str, str]) -> list[Pair]:
    if row.env is None:
        return []
    if row.sets.startswith(("pair", "unpair")) and row.env.replace("ARG_", "ARG_NO_") in environ:
        return [(row, False)]
    value = environ.get(row.env)
    if value is None:
        return []
    if row.hint is not None:
        return [(row, value)]
    if row.sets.startswith(("pair", "unpair")):
        if value not in effects.ON | effects.OFF:
            raise InvalidSettings(
                f'error while handling environment variable "{row.env}": invalid boolean value'
            )
        return [(row, value in effects.ON)]
    return [(row, True)] if value in effects.ON else []


def apply(given: Sequence[Pair], params: Any, module: Any) -> None:
    """Set everything in `params` (a CommonParams of `module`, which is xllamacpp).

    :raises Refused: a value that llama-server would refuse.
    """
    params.n_parallel = -1  # common_params_parser_init: the server's own default, auto
    params.port = 8080
    params.default_template_kwargs = {"preserve_reasoning": "true"}  # common_params_parse_ex, at its end
    seen_list: set[str] = set()
    for row, value in given:
        try:
            _apply_one(row, value, params, module, seen_list)
        except (ValueError, OverflowError, TypeError, OSError) as error:
            said = str(error) if not isinstance(error, OSError) else f"failed to open file '{value}'"
            raise InvalidSettings(f'error while handling argument "--{row.key}": {said}') from None
    if params.cpuparams_batch.n_threads < 0:  # postprocess_cpu_params: all of it follows the first
        for name in ("n_threads", "cpumask", "mask_valid", "priority", "strict_cpu", "poll"):
            setattr(params.cpuparams_batch, name, getattr(params.cpuparams, name))
    if not params.model.path:
        # the binary becomes a router here, which the wheel cannot
        raise InvalidSettings("error: --model is required (this engine has no router mode)")


def _apply_one(row: Row, value: str | bool, params: Any, module: Any, seen_list: set[str]) -> None:
    kind, _, attribute = row.sets.partition(" ")
    *path, last = attribute.split(".")
    target = params
    for name in path:
        target = getattr(target, name)
    if kind.startswith("call:"):
        effects.CALLS[kind.removeprefix("call:")](params, value, module)
    elif kind.startswith("enum:"):
        setattr(target, last, effects.member(module, kind.removeprefix("enum:"), str(value)))
    elif kind == "pair":
        setattr(target, last, bool(value))
    elif kind == "unpair":
        setattr(target, last, not value)
    elif kind == "on":
        setattr(target, last, True)
    elif kind == "int":
        setattr(target, last, effects.number(value))
    elif kind == "float":
        setattr(target, last, float(value))
    elif kind == "str":
        setattr(target, last, str(value))
    elif kind == "list":
        words = effects.split(value)
        if not words:
            raise ValueError(f"--{row.key} requires at least one value")
        setattr(target, last, words)
    elif kind == "set":
        before = getattr(target, last) if row.key in seen_list else set()
        seen_list.add(row.key)
        setattr(target, last, {*before, *effects.split(value)})
    else:
        raise AssertionError(f"hosted.txt: unknown kind {kind}")
