"""The flags an engine takes, read from its own `--help`, and a learner's table of flags as a command line.

Nothing is renamed: a flag is called what llama-server calls it. What an engine does not list is refused with
the nearest name it does list, because llama-server's flags drift (about thirty changed in a year).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import LabError

Scalar = str | int | float | bool
Value = Scalar | Sequence[Scalar]

# what llama-server once took and now refuses; the engine's own --help is asked first
_REMOVED = {
    "no-mmap": 'write load-mode = "none"',
    "mmap": 'write load-mode = "mmap" (it is the default where the device allows it)',
    "mlock": 'write load-mode = "mlock"',
    "direct-io": 'write load-mode = "dio"',
    "no-direct-io": "leave it out",
    "draft": "write spec-draft-n-max",
    "draft-n": "write spec-draft-n-max",
    "draft-max": "write spec-draft-n-max",
    "draft-min": "write spec-draft-n-min",
    "draft-n-min": "write spec-draft-n-min",
    "grp-attn-n": "leave it out: a longer context is rope-scaling and yarn-* now",
    "grp-attn-w": "leave it out: a longer context is rope-scaling and yarn-* now",
    "log-format": "write log-jsonl = true for JSON lines, or leave it out",
    "embedding-only": "write embeddings = true",
    "system-prompt-file": "send the system prompt with each request",
}

# what people (and other servers) call it
_SYNONYMS = {
    "context": "ctx-size",
    "context-length": "ctx-size",
    "context-size": "ctx-size",
    "max-model-len": "ctx-size",
    "n-ctx": "ctx-size",
    "max-num-seqs": "parallel",
    "n-parallel": "parallel",
    "n-slots": "parallel",
    "gpu": "n-gpu-layers",
    "key": "api-key-file",
    "listen": "host",
}

#: Flags with which llama-server starts programs of somebody's choosing, or lets whoever asks it start them (its --help: "do not
#: enable in untrusted environments"). A file of somebody else's may not set them.
STARTS_PROGRAMS = frozenset(
    {
        "agent",
        "tools",
        "tools-runtime",
        "mcp-servers-config",
        "mcp-servers-json",
        "ui-mcp-proxy",
        "models-preset",
    }
)

_LIST = "its own list: llama-server --help, or python -m llmlab.engine.host --help"
_HEAD = re.compile(
    r"(?P<names>-[^\s,]+(?:,\s+-[^\s,]+)*)"  # every spelling, comma-separated
    r"(?:\s(?P<hint>[^\s-].*?|-(?=\s).*?))?"  # what value it takes, after one space
    r"(?:\s{2,}(?P<help>\S.*))?$"  # help begins after a gap
)
_ENV = re.compile(r"\(env: (\w+)\)")
_CHOICES = re.compile(r"^[\[{<](\w+(?:[|,]\w+)+)[\]}>]$")
_GONE = "the argument has been removed"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag as `--help` lists it. `hint` is its value's placeholder, None for a switch."""

    names: tuple[str, ...]
    long: str
    negation: str | None
    hint: str | None
    help: str
    env: str | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The words its value may be, where the hint lists them ("[on|off|auto]"); else nothing."""
        found = _CHOICES.match(self.hint or "")
        return tuple(re.split(r"[|,]", found.group(1))) if found else ()

    @property
    def removed(self) -> str | None:
        """What to use instead, where the engine lists the flag only to say that it is gone."""
        return self.help.removeprefix(_GONE).lstrip(". ") if self.help.startswith(_GONE) else None


class FlagTable:
    """The flags of one engine, by every long spelling."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._flags = tuple(flags)
        self._by_long = {name[2:]: flag for flag in flags for name in flag.names if name.startswith("--")}
        self._by_short = {
            name[1:]: flag for flag in flags for name in flag.names if not name.startswith("--")
        }

    @classmethod
    def parse(cls, text: str) -> FlagTable:
        """Read the `--help` of llama-server, or of llmlab's own host, which prints the same layout.

        :raises LabError: when the text lists no flags at all.
        """
        flags: list[Flag] = []
        head: re.Match[str] | None = None
        help_lines: list[str] = []

        def close() -> None:
            if head is not None:
                flags.append(_flag(head, " ".join(line.strip() for line in help_lines if line.strip())))

        for line in text.splitlines():
            if line.startswith("----"):  # a section's title
                continue
            if line.startswith("-"):
                close()
                head = _HEAD.match(line.rstrip())
                help_lines = [head["help"]] if head is not None and head["help"] else []
            elif line.startswith(" "):
                help_lines.append(line)
        close()
        if not flags:
            raise LabError("The engine's --help lists no flags.", fix="choose another engine: llmlab engine")
        return cls(flags)

    def __contains__(self, name: object) -> bool:
        flag = self._by_long.get(_plain(name)) if isinstance(name, str) else None
        return flag is not None and flag.removed is None

    def __iter__(self) -> Iterator[Flag]:
        return iter(self._flags)

    def __len__(self) -> int:
        return len(self._flags)

    def get(self, name: str) -> Flag:
        """The flag of that long name, any spelling, without dashes.

        :raises LabError: when this engine has no such flag, with the nearest it has.
        """
        return self._get(name, None)

    def nearest(self, name: str) -> str | None:
        """The long name of the flag most like `name` (by long and short names); None when none is like it."""
        plain = _plain(name)
        if plain in self._by_short:
            return self._by_short[plain].long
        pool = [long for long, flag in self._by_long.items() if flag.removed is None]
        if _SYNONYMS.get(plain) in pool:
            return _SYNONYMS[plain]
        close = difflib.get_close_matches(plain, pool, n=1, cutoff=0.6)
        if close:
            return close[0]
        # "layers" or "batch": no typo, but part of a longer name
        parts = sorted((long for long in pool if plain in long.split("-")), key=len)
        return parts[0] if parts else None

    def argv(self, flags: Mapping[str, Value], *, source: str | None = None) -> list[str]:
        """The command line for a table of flags: `{"ctx-size": 4096, "slots": False}` becomes
        `["--ctx-size", "4096", "--no-slots"]`. A list is joined by commas where the flag takes
        comma-separated values, and repeated otherwise.

        :param source: the file (and line) the flags come from, for the error.
        :raises LabError: a flag the engine lacks, a switch with a value, a value that is missing or not one
            of those listed, or one flag under two names.
        """
        out: list[str] = []
        seen: dict[Flag, str] = {}
        for name, value in flags.items():
            flag = self._get(name, source)
            if flag in seen:
                raise LabError(
                    f"{seen[flag]} and {name} are the same flag.", where=source, fix="leave one out"
                )
            seen[flag] = name
            out += _words(flag, _plain(name), value, source)
        return out

    def _get(self, name: str, source: str | None) -> Flag:
        plain = _plain(name)
        flag = self._by_long.get(plain)
        if flag is not None and flag.removed is None:
            return flag
        instead = _REMOVED.get(plain) or (flag.removed if flag is not None else None)
        if instead is not None:
            raise LabError(f"llama-server no longer takes --{plain}.", where=source, fix=instead)
        near = self.nearest(plain)
        raise LabError(
            f"llama-server has no flag {name!r}.",
            where=source,
            fix=f"did you mean {near!r}?"
            if near
            else "its own list: llama-server --help, or python -m llmlab.engine.host --help",
        )


def _plain(name: str) -> str:
    # llama-server itself reads --ctx_size as --ctx-size
    return name.lstrip("-").replace("_", "-")


def _flag(head: re.Match[str], text: str) -> Flag:
    names = tuple(re.split(r",\s+", head["names"]))
    longs = [name for name in names if name.startswith("--")]
    positives = [name for name in longs if not name.startswith("--no-")]
    negations = [name for name in longs if name.startswith("--no-")] if positives else []
    first = (positives or longs or list(names))[0]
    found = _ENV.search(text)
    return Flag(
        names=names,
        long=first.lstrip("-"),
        negation=negations[0] if negations else None,
        hint=head["hint"],
        help=_ENV.sub("", text).strip(),
        env=found.group(1) if found else None,
    )


def _words(flag: Flag, name: str, value: Value, source: str | None) -> list[str]:
    def wrong(what: str, fix: str) -> LabError:
        return LabError(what, where=source, fix=fix)

    if flag.hint is None:
        if not isinstance(value, bool):
            raise wrong(f"{name} is a switch and takes no value, not {value!r}.", f"write {name} = true")
        negated = name.startswith("no-") and flag.negation is not None
        if value:
            return [f"--{name}"]
        if negated:
            raise wrong(f"{name} = false says it twice over.", f"write {flag.long} = true")
        if flag.negation is None:
            raise wrong(f"{name} cannot be switched off: it is off unless given.", "leave it out")
        return [flag.negation]
    if isinstance(value, bool):
        example = flag.choices[0 if value else 1] if len(flag.choices) > 1 else None
        fix = f'write {name} = "{example}"' if example else f"write {name} = … ({flag.hint})"
        raise wrong(f"{name} takes a value ({flag.hint}), not {str(value).lower()}.", fix)
    if isinstance(value, (str, int, float)):
        return [f"--{name}", _word(flag, name, value, source)]
    if not value:
        raise wrong(f"{name} is an empty list.", "leave it out")
    words = [_word(flag, name, item, source) for item in value]
    if "comma-separated" in flag.help or "," in flag.hint:
        # said once: a flag given twice keeps only its last value (common/arg.cpp warns of it)
        return [f"--{name}", ",".join(words)]
    return [part for word in words for part in (f"--{name}", word)]


def _word(flag: Flag, name: str, value: Scalar, source: str | None) -> str:
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if "\0" in word or word == "":
        raise LabError(
            f"{name} has an empty or unusable value.", where=source, fix=f"{name} = … ({flag.hint})"
        )
    if isinstance(value, str) and _takes_numbers(flag) and not _is_number(word):
        raise LabError(f"{name} must be a number, not {word!r}.", where=source, fix=f"{name} = 4")
    # llama-server also takes 1/0, true/false and enabled/disabled where it lists on and off
    aliases = {"1", "0", "-1", "true", "false", "enabled", "disabled"} if "on" in flag.choices else set()
    if flag.choices and "," not in word and word not in {*flag.choices, *aliases}:
        near = difflib.get_close_matches(word, flag.choices, n=1, cutoff=0.5)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise LabError(
            f"{name} cannot be {word!r}.", where=source, fix=f"one of {', '.join(flag.choices)}{hint}"
        )
    return word


def _takes_numbers(flag: Flag) -> bool:
    """Whether its value is a number and no word: its default, as `--help` has it, is one."""
    return flag.hint == "N" and re.search(r"default: -?\d", flag.help) is not None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
