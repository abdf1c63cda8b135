"""The reference pages, made from the code whenever the site is built (`mkdocs.yml` names this file as a hook).

`pages` is all of it, as Markdown by file name; the rest of mkdocs is needed only by the three hooks at the end.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import msgspec
from msgspec import inspect as kinds

from llmlab import checks, tier
from llmlab.checks import result
from llmlab.cli import main
from llmlab.course import info
from llmlab.grade import manual, rules
from llmlab.grade import schema as graded
from llmlab.lab import Lab
from llmlab.records import schema as records
from llmlab.serve import Server, spec
from llmlab.tiers.regions import numbers

COURSE = Path(__file__).resolve().parents[1]
DOCUMENTS = (records.Record, records.Table, result.Result, graded.Graded)
#: Texts that stand elsewhere in the repository, and their pages.
TEXTS = {
    "README.md": "readme.md",
    "labs/instructors.md": "instructors.md",
    "CONTRIBUTING.md": "contributing.md",
}
WIDE = 100  # a longer signature has a line for each parameter


def pages() -> dict[str, str]:
    """All generated files: name → text."""
    places = _places()
    made = {
        "commands.md": commands(main._parser()),
        "files.md": files(),
        "results.md": results(),
        "notebook.md": notebook(places),
        "checks.md": for_checks(places),
        "good-guesses.md": good_guesses(),
    }
    made |= {f"tier-{room.name}.md": of_tier(room, places) for room in tier.tiers()}
    for document in DOCUMENTS:
        made[f"{document.__name__.lower()}.schema.json"] = json.dumps(msgspec.json.schema(document), indent=2)
    return made | {page: brought(COURSE / path) for path, page in TEXTS.items()}


def brought(path: Path) -> str:
    """A text of the repository as a page: its links lead to pages; what is none keeps its words and its path."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if ":" in target or not target:
            return found[0]
        there = (path.parent / target).resolve().relative_to(COURSE).as_posix()
        if there in TEXTS:
            return f"[{words}]({TEXTS[there]}{anchor})"
        return words if words in there else f"{words} (`{there}`)"

    return re.sub(r"!?\[([^]]+)\]\(([^)#\s]*)(#[^)\s]+)?\)", link, path.read_text(encoding="utf-8"))


# -- where good guesses are wrong ---------------------------------------------------------------------------------


def good_guesses() -> str:
    """The page of the tests' marks `guess`: what one would guess, what is so, where it was seen, and which test holds it."""
    parts = [
        "# What good guesses get wrong",
        "Behaviour of real programs that the labs rest on and that one would guess otherwise. Each line is held by a test, which fails "
        "when a new version does something else.",
    ]
    for path in sorted((COURSE / "tests").rglob("test_*.py")):
        for name, mark in guesses_in(path):
            parts.append(f"## Guess: {_prose(mark['guess'])}\n\n**In fact:** {_prose(mark['really'])}")
            rows = [
                ("Seen in", mark["version"]),
                ("See it", mark.get("see", "")),
                ("Source", mark.get("source", "")),
            ]
            rows.append(("Held by", f"`{path.relative_to(COURSE)}::{name}`"))
            parts.append("\n".join(f"- {what}: {words}" for what, words in rows if words))
    return "\n\n".join(parts) + "\n"


def guesses_in(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The marked tests of a file, and what each mark says."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.guess":
                yield node.name, {str(it.arg): ast.literal_eval(it.value) for it in decorator.keywords}


# -- commands ---------------------------------------------------------------------------------------------------


def commands(parser: argparse.ArgumentParser) -> str:
    """Every verb with its arguments and options."""
    codes = (main.__doc__ or "").partition("Exit codes: ")[2]
    return (
        "\n\n".join(["# Commands", f"Exit codes: {_prose(codes.strip())}", *_verb(parser, "Without a verb")])
        + "\n"
    )


def _verb(parser: argparse.ArgumentParser, title: str) -> Iterator[str]:
    parser.formatter_class = functools.partial(argparse.HelpFormatter, width=WIDE)
    verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    yield f"## {title} {{ #{parser.prog.replace(' ', '-')} }}"
    said = parser.description or ""
    yield _prose(f"{said[:1].upper()}{said[1:].rstrip('.')}.")
    yield _code(parser.format_usage().removeprefix("usage: ").strip(), "text")
    rows = [
        (_names(action), _said(action), _default(action))
        for action in parser._actions
        if action not in verbs and action.dest != "help"
    ]
    if rows:
        yield _table(("argument", "meaning", "default"), rows)
    for action in verbs:
        helps = {choice.dest: choice.help for choice in action._choices_actions}
        for name, child in action.choices.items():
            child.description = child.description or helps.get(name)
            yield from _verb(child, f"`{child.prog}`")


def _names(action: argparse.Action) -> str:
    shown = str(action.metavar or action.dest)
    if not action.option_strings:
        return f"`{shown}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _said(action: argparse.Action) -> str:
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return "; ".join(filter(None, [_prose(action.help or ""), choices and f"one of {choices}"]))


def _default(action: argparse.Action) -> str:
    if action.required and action.nargs != "*":
        return "required"
    said = "default" in (action.help or "") or action.default in (None, "", [], argparse.SUPPRESS)
    return "" if said or action.default is False else f"`{action.default}`"


# -- the files that people write, and the documents that llmlab writes --------------------------------------------

#: File → what it is, an example, and its tables: heading → (struct, where its comments stand, defaults that stand elsewhere).
_USUAL = {
    key: f'"{value >> 20}M"' if key in ("memory", "disk") else value
    for key, value in dataclasses.asdict(rules.Rules()).items()
}
#: A question in prose, for the example of manual.toml.
_ASKED = info.Question(
    "regions", "What does a second region cost, and whom?", ("names the users who wait longer",), 2
)
FILES: dict[str, tuple[str, Callable[[], str], dict[str, tuple[Any, Any, Mapping[str, Any]]]]] = {
    "lab.toml": (
        "What a lab says of itself: `labs/NN-slug/lab.toml`.",
        lambda: _example(info),
        {
            "": (info._LabToml, info._LabToml, {}),
            "grade": (rules._Grade, rules.Rules, _USUAL),
            "late": (info._Late, info._Late, {}),
            "question": (info.Question, info.Question, {}),
            "starter": (info._Starter, info._Starter, {}),
        },
    ),
    "server.toml": (
        "What to serve, in the labs whose server is a process.",
        lambda: _example(spec),
        {
            "": (spec._ServerToml, spec._ServerToml, {}),
            "limits": (spec._Limits, spec._Limits, {}),
        },
    ),
    "manual.toml": (
        "What an instructor adds by hand: a table for each learner, beside the results of `llmlab grade`.",
        lambda: manual.template([_ASKED]),
        {
            "LEARNER": (manual._Learner, manual._Learner, {}),
            "LEARNER.checks.NAME": (manual._Check, manual._Check, {}),
        },
    ),
    "regions.yaml": (
        "The numbers of the routing in lab 13.",
        lambda: (COURSE / "solutions/13-regions/starter/regions.yaml").read_text(encoding="utf-8"),
        {
            "": (numbers._regions_yaml(), numbers, {}),
            "health": (numbers._Health, numbers._Health, {}),
            "promise": (numbers._Promise, numbers._Promise, {}),
        },
    ),
}


def files() -> str:
    """The files that people write: each key with its type, default and meaning, and an example that has them."""
    out = [
        "# Files that you write",
        "A key that is not listed is refused, with its line and the nearest that is.",
    ]
    for name, (said, example, tables) in FILES.items():
        out += [f"## {name} {{ #{name} }}", said, _code(example().strip(), name.partition(".")[2])]
        for heading, (struct, comments, defaults) in tables.items():
            if heading:
                title = f"`[{heading}]`" if name.endswith("toml") else f"`{heading}`"
                out.append(f"### {title} {{ #{name}-{heading} }}")
            out.append(_keys(struct, comments, defaults, written=True))
    return "\n\n".join(out) + "\n"


def _example(module: ModuleType) -> str:
    """What stands below the first line of a module's docstring."""
    return (module.__doc__ or "").partition("\n")[2]


def results() -> str:
    """The documents that llmlab writes."""
    out = [
        "# Records and results",
        "Each measurement, and what a check or a grader found, is a document in JSON. Times are seconds from the start of their run "
        "and sizes bytes, where nothing else is said; what was not measured is null, never zero.",
    ]
    told: set[Any] = set()
    for document in DOCUMENTS:
        title = document.__name__
        schema = f"[JSON Schema]({title.lower()}.schema.json)"
        out += [f"## {title} {{ #{title} }}", f"{_doc(document)}\n\nAs `{_version(document)}`: {schema}."]
        out.append(_keys(document, document, {}))
        for part in _parts(document):
            if part not in told:
                out += [f"### {part.__name__} {{ #{part.__name__} }}", _doc(part), _keys(part, part, {})]
            told.add(part)
    return "\n\n".join(out) + "\n"


def _version(document: Any) -> str:
    return str(next(field.default for field in msgspec.structs.fields(document) if field.name == "schema"))


def _parts(struct: Any) -> list[Any]:
    """The structs inside a struct, in their order; those that have a chapter of their own are left out."""
    found: list[Any] = []

    def walk(kind: Any) -> None:
        if isinstance(kind, kinds.StructType) and kind.cls not in (struct, *found):
            found.append(kind.cls)
            for field in kind.fields:
                walk(field.type)
        for inner in (
            *getattr(kind, "types", ()),
            getattr(kind, "item_type", None),
            getattr(kind, "value_type", None),
        ):
            if inner is not None:
                walk(inner)

    for field in kinds.type_info(struct).fields:  # type: ignore[attr-defined]
        walk(field.type)
    return [part for part in found if part not in DOCUMENTS]


def _keys(struct: Any, comments: Any, defaults: Mapping[str, Any], *, written: bool = False) -> str:
    """One struct as a table; `written`: by people, so that nothing in it is null."""
    rows = [
        (
            f"`{key.encode_name}`",
            _kind(key.type, written=written),
            _usual(key, defaults),
            _prose(comment(comments, key.name)),
        )
        for key in kinds.type_info(struct).fields  # type: ignore[attr-defined]
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _usual(field: kinds.Field, defaults: Mapping[str, Any]) -> str:
    if field.name in defaults:
        value = defaults[field.name]
        return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT or isinstance(field.default, msgspec.Struct):
        return "empty"
    if isinstance(field.default, float):
        return f"`{field.default:g}`"
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


_WORDS: dict[type, str] = {
    kinds.StrType: "text",
    kinds.BoolType: "true or false",
    kinds.DateTimeType: "date and time with Z or an offset",
    kinds.AnyType: "anything",
    kinds.NoneType: "null",
}


def _kind(kind: Any, *, written: bool) -> str:
    """A type in words. In a file that people write, what may be null is left out instead."""
    match kind:
        case kinds.IntType() | kinds.FloatType():
            number = "whole number" if isinstance(kind, kinds.IntType) else "number"
            return number + _bounds(kind)
        case kinds.ListType() | kinds.VarTupleType():
            return f"list of {_grouped(_kind(kind.item_type, written=written))}"
        case kinds.DictType():
            return f"table of {_grouped(_kind(kind.value_type, written=written))}"
        case kinds.LiteralType():
            return " or ".join(f"`{json.dumps(value)}`" for value in kind.values)
        case kinds.StructType():
            name = kind.cls.__name__
            return "table" if written else f"[{name}](#{name})"
        case kinds.UnionType():
            chosen = [inner for inner in kind.types if not (written and isinstance(inner, kinds.NoneType))]
            words = [_kind(inner, written=written) for inner in chosen]
            if "number" in words and "whole number" in words:
                words.remove("whole number")
            return " or ".join(sorted(words, key=lambda word: word == "null"))
    return _WORDS[type(kind)]


def _grouped(words: str) -> str:
    return f"({words})" if " or " in words and words != _WORDS[kinds.BoolType] else words


def _bounds(kind: Any) -> str:
    bounds = [("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt)]
    found = ", ".join(f"{words} {value:,.10g}" for words, value in bounds if value is not None)
    return f", {found}" if found else ""


@functools.cache
def _source(thing: Any) -> list[str]:
    return inspect.getsource(thing).splitlines()


def comment(thing: Any, name: str) -> str:
    """What stands beside a field of a class or a constant of a module, or above it with `#:`."""
    lines = _source(thing)
    for number, line in enumerate(lines):
        if re.match(rf"\s*{re.escape(name)}\s*[:=]", line):
            above: list[str] = []
            while number and lines[number - 1].strip().startswith("#:"):
                number -= 1
                above.insert(0, lines[number].strip().removeprefix("#:").strip())
            return " ".join(above) or line.partition("  # ")[2].strip()
    bases = [base for base in getattr(thing, "__mro__", ())[1:] if base.__module__.startswith("llmlab")]
    return next(filter(None, (comment(base, name) for base in bases)), "")


# -- objects of notebooks and checks ------------------------------------------------------------------------------

Places = dict[Any, str]  # a class → page#anchor
COMMON = "notebook.md"


def _openers(room: tier.Tier) -> dict[str, Any]:
    return {name: tier.load(f"{room.home}.{what}") for name, what in {**room.opens, **room.gives}.items()}


def labs_modules(room: tier.Tier) -> list[ModuleType]:
    """What a lab's checks may import of a tier."""
    if room is tier.MACHINE:
        return []
    folder = Path(importlib.import_module(room.home).__file__ or "").parent
    found = sorted(folder.rglob("for_labs.py"), key=lambda path: len(path.parts))
    names = [".".join(path.relative_to(folder).with_suffix("").parts) for path in found]
    return [importlib.import_module(f"{room.home}.{name}") for name in names]


def _page(thing: Any, otherwise: str = COMMON) -> str:
    home = thing.__module__ + "."
    return next(
        (
            f"tier-{room.name}.md"
            for room in tier.tiers()
            if room is not tier.MACHINE and home.startswith(room.home + ".")
        ),
        otherwise,
    )


def _places() -> Places:
    """All classes that a notebook or a check gets into its hands, and where they are described."""
    openers = [thing for room in tier.tiers() for thing in _openers(room).values()]
    places: Places = {}
    left: list[Any] = [Lab, Server, *openers]
    while left:
        thing = left.pop(0)
        if inspect.isclass(thing) and thing not in places:
            places[thing] = f"{_page(thing)}#{thing.__name__}"
            left += [cls for _, member in members(thing) for cls in gives(member)]
        elif inspect.isfunction(thing):
            left += gives(thing)
    for room in tier.tiers():
        for module in labs_modules(room):
            for name in module.__all__:
                if inspect.isclass(getattr(module, name)):
                    places.setdefault(
                        getattr(module, name), f"tier-{room.name}.md#{_anchor(room, module, name)}"
                    )
    for name in checks.__all__:
        if inspect.isclass(getattr(checks, name)):
            places.setdefault(getattr(checks, name), f"checks.md#{name}")
    return places


def members(cls: type) -> list[tuple[str, Any]]:
    """Public methods and properties, those of our own bases too."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("llmlab") or base is cls:
            for name, member in vars(base).items():
                if isinstance(
                    member, FunctionType | property | classmethod | staticmethod | functools.cached_property
                ):
                    found.setdefault(name, member)
    return [(name, member) for name, member in found.items() if not name.startswith("_")]


def _function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    return inspect.unwrap(getattr(member, "__func__", member))


def gives(member: Any) -> list[Any]:
    """The classes of ours that a method's annotation says it gives back."""
    function = _function(member)
    said = str(getattr(function, "__annotations__", {}).get("return", ""))
    module = inspect.getmodule(function)
    found = [_named(module, name) for name in re.findall(r"\b[A-Z]\w+", said)]
    return [
        cls
        for cls in found
        if inspect.isclass(cls)
        and cls.__module__.startswith("llmlab")
        and not issubclass(cls, msgspec.Struct)
    ]


def _named(module: ModuleType | None, name: str) -> Any:
    """What a name means in a module, also where it is imported for types only."""
    if module is None or hasattr(module, name):
        return getattr(module, name, None)
    home = _imports(module).get(name)
    return getattr(importlib.import_module(home), name, None) if home else None


@functools.cache
def _imports(module: ModuleType) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            found |= dict.fromkeys((alias.name for alias in node.names), _home(module, node))
    return {name: home for name, home in found.items() if home.startswith("llmlab")}


def _home(module: ModuleType, node: ast.ImportFrom) -> str:
    """The full name of the module that a module imports from."""
    assert module.__spec__ is not None
    return importlib.util.resolve_name("." * node.level + (node.module or ""), module.__spec__.parent)


class _Bare(str):
    """An annotation as it is written, without quotes."""

    __repr__ = str.__str__


def signature(function: Any, name: str, *, skip: int = 0, back: bool = True) -> str:
    """`name(…) -> …` as in the source."""
    found = inspect.signature(function)
    words = [
        parameter.replace(
            annotation=parameter.empty
            if parameter.annotation is parameter.empty
            else _Bare(parameter.annotation),
            default=_Bare("…")
            if callable(parameter.default) and parameter.default is not parameter.empty
            else parameter.default,
        )
        for parameter in list(found.parameters.values())[skip:]
    ]
    end = f" -> {found.return_annotation}" if back and isinstance(found.return_annotation, str) else ""
    line = f"{name}{inspect.Signature(words)}{end}"
    if len(line) <= WIDE:
        return line
    inside = str(inspect.Signature(words))[1:-1]  # with the `*` and `/` that belong between them
    return f"{name}(\n" + "\n".join(f"    {part}," for part in _split(inside)) + f"\n){end}"


def _split(text: str) -> list[str]:
    """At the commas that stand in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def notebook(places: Places) -> str:
    """`lab`, and what several tiers give."""
    out = [
        "# In a notebook",
        "`lab = llmlab.Lab.here()` is the lab of the folder that a notebook lies in. What the tiers add to it, such as `lab.cluster()`, "
        "has the pages of the tiers.",
    ]
    for cls, place in places.items():
        if place.startswith(f"{COMMON}#"):
            out += _class(cls, COMMON, places)
    return "\n\n".join(out) + "\n"


def for_checks(places: Places) -> str:
    """`llmlab.checks`."""
    out = [
        "# For checks",
        f"{_doc(checks)}\n\nWhat checks may use of a tier, its `for_labs`, stands on the tier's page.",
    ]
    for name in checks.__all__:
        out += _thing(checks, name, name, "checks.md", places)
    return "\n\n".join(out) + "\n"


def of_tier(room: tier.Tier, places: Places) -> str:
    """One tier: its needs, what it adds to `lab`, and what checks may use of it."""
    page = f"tier-{room.name}.md"
    own = room is not tier.MACHINE
    out = [f"# The tier {room.name}" if own else "# The machine"]
    out.append(_doc(importlib.import_module(room.home)) if own else "What no tier is about.")
    if room.needs:
        rows = [
            (
                f"`{name}`",
                _prose(inspect.getdoc(tier.load(f"{room.home}.{what}")) or ""),
                "<br>".join(mends(room, name)),
            )
            for name, what in room.needs.items()
        ]
        out += [
            "## Needs { #needs }",
            "As `llmlab doctor` says them.",
            _table(("need", "what it is", "brought by"), rows),
        ]
    openers = _openers(room)
    classes = [cls for cls, place in places.items() if place == f"{page}#{cls.__name__}"]
    if openers or classes:
        out.append("## In a notebook { #notebook }")
    for name, made in openers.items():
        back = [made] if inspect.isclass(made) else gives(made)
        out.append(f"### lab.{name} {{ #lab.{name} }}")
        out.append(_code(signature(made, f"lab.{name}", skip=1, back=not inspect.isclass(made))))
        out.append(_doc(made))
        out.append(_links(back, page, places))
    opened = {made: f"What `lab.{name}` gives." for name, made in openers.items()}
    for cls in classes:
        out += _class(cls, page, places, said=opened.get(cls, ""))
    for module in labs_modules(room):
        tail = module.__name__.removeprefix(room.home + ".")
        out += [f"## For checks: `{module.__name__}` {{ #{tail} }}", _doc(module)]
        for name in module.__all__:
            out += _thing(module, name, _anchor(room, module, name), page, places)
    return "\n\n".join(filter(None, out)) + "\n"


def _anchor(room: tier.Tier, module: ModuleType, name: str) -> str:
    return f"{module.__name__.removeprefix(room.home + '.')}.{name}"


def _links(classes: Iterable[Any], page: str, places: Places) -> str:
    links = [
        f"[{cls.__name__}]({places[cls].removeprefix(page)})"
        for cls in dict.fromkeys(classes)
        if cls in places
    ]
    return f"Gives {' or '.join(links)}." if links else ""


def _class(
    cls: type, page: str, places: Places, anchor: str = "", title: str = "", said: str = ""
) -> list[str]:
    anchor = anchor or cls.__name__
    text = said or _doc(cls)
    out = [f"### {title or cls.__name__} {{ #{anchor} }}", text]
    fields = [(name, it) for name, it in attributes(cls, page, places) if f"- `{name}`: {it}" not in text]
    plain = [f"`{name}`" for name, said in fields if not said]
    out.append("\n".join(f"- `{name}`: {said}" for name, said in fields if said))
    out.append(f"It {'also ' if len(plain) < len(fields) else ''}has {', '.join(plain)}." if plain else "")
    for name, member in members(cls):
        function = _function(member)
        out.append(f"#### {cls.__name__}.{name} {{ #{anchor}.{name} }}")
        if isinstance(member, property | functools.cached_property):
            back = getattr(function, "__annotations__", {}).get("return")
            out.append(_code(f"{name}: {back}" if back else name))
        else:
            out.append(_code(signature(function, name, skip=0 if isinstance(member, staticmethod) else 1)))
        out += [_doc(member), _links([other for other in gives(member) if other is not cls], page, places)]
    return [text for text in out if text]


def attributes(cls: type, page: str, places: Places) -> list[tuple[str, str]]:
    """Public attributes: the fields of a dataclass or a struct, else what `__init__` sets; each with its comment or class."""
    if dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct):
        listed = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else msgspec.structs.fields(cls)
        return [
            (field.name, _prose(comment(cls, field.name)))
            for field in listed
            if not field.name.startswith("_")
        ]
    made = vars(cls).get("__init__")
    if not inspect.isfunction(made):
        return []
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(made)))):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(part, ast.Attribute) and getattr(part.value, "id", "") == "self":
                    found.setdefault(
                        part.attr,
                        _prose(comment(made, f"self.{part.attr}") or _parameter(cls, part.attr))
                        or _made_of(node.value, made, page, places),
                    )
    return [(name, said) for name, said in found.items() if not name.startswith("_")]


def _parameter(cls: type, name: str) -> str:
    """What the class says of the parameter that an attribute is named after."""
    said = re.search(rf"^:param {name}: (.+(?:\n(?!:|\n).+)*)", inspect.getdoc(cls) or "", re.MULTILINE)
    return " ".join(said[1].split()) if said else ""


def _made_of(value: Any, function: Any, page: str, places: Places) -> str:
    """The class that an attribute is made of or that its parameter names, if it has an entry."""
    name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
    if isinstance(value, ast.Name):
        name = str(function.__annotations__.get(value.id, ""))
    cls = _named(inspect.getmodule(function), name) if name.isidentifier() else None
    return (
        f"[{cls.__name__}]({places[cls].removeprefix(page)})"
        if inspect.isclass(cls) and cls in places
        else ""
    )


def _thing(home: ModuleType, name: str, anchor: str, page: str, places: Places) -> list[str]:
    """A name that checks may use: a class, a function, a module of functions, or a value."""
    thing = getattr(home, name)
    if inspect.isclass(thing):
        if places[thing] != f"{page}#{anchor}":
            link = places[thing].removeprefix(page)
            return [f"### {name} {{ #{anchor} }}", f"A class: [{thing.__name__}]({link})."]
        return _class(thing, page, places, anchor, name)
    out = [f"### {name} {{ #{anchor} }}"]
    if inspect.isroutine(thing) or callable(thing):
        return [*out, _code(signature(thing, name)), _doc(thing), _links(gives(thing), page, places)]
    if inspect.ismodule(thing):
        out.append(_doc(thing))
        for inner, member in vars(thing).items():
            if getattr(member, "__module__", "") != thing.__name__ or inner.startswith("_"):
                continue
            out += [f"#### {name}.{inner} {{ #{anchor}.{inner} }}"]
            if inspect.isfunction(inspect.unwrap(member)):
                out.append(_code(signature(member, f"{name}.{inner}")))
            out += [
                _doc(member),
                *([_links(gives(member), page, places)] if inspect.isroutine(member) else []),
            ]
        return out
    said = _prose(_constant(home, name))
    return [*out, said, _code(textwrap.shorten(f"{name} = {thing!r}", 300))]


def _constant(home: ModuleType, name: str) -> str:
    """What its module says beside a value; a `for_labs` may call it by another name."""
    for node in ast.parse(inspect.getsource(home)).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    module = importlib.import_module(_home(home, node))
                    return comment(module, alias.name) or _constant(module, alias.name)
    return comment(home, name)


# -- needs --------------------------------------------------------------------------------------------------------


def mends(room: tier.Tier, need: str) -> list[str]:
    """What brings a need: `llmlab fetch` where it can, and whatever else its own words say, read off the source."""
    function = tier.load(f"{room.home}.{room.needs[need]}")
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    said: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Need":
            starred = any(isinstance(word, ast.Starred) for word in node.args)  # met and detail
            said += [text for word in node.args[2 if starred else 3 :] for text in _texts(word)]
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "mend":
            said += _texts(node.value)
    fetched = [f"llmlab fetch {need}"] if need in room.fetches else []
    plain = dict.fromkeys([*fetched, *(text.removeprefix("uv run ") for text in said if text)])
    command = re.compile(r"(llmlab|sudo|brew|unset|xcode-select) [^,]*")
    return [f"`{text}`" if command.fullmatch(text) else _prose(text) for text in plain]


def _texts(node: ast.expr) -> list[str]:
    """The texts that an expression can be."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return [*_texts(node.body), *_texts(node.orelse)]
        case ast.BoolOp():
            return [text for value in node.values for text in _texts(value)]
    return []


# -- Markdown -----------------------------------------------------------------------------------------------------


def _doc(thing: Any) -> str:
    """A docstring; its `:param` and `:raises` become a list."""
    body, *fields = re.split(
        r"^:(?=param|raises|returns?\b)", inspect.getdoc(thing) or "", flags=re.MULTILINE
    )
    listed = []
    for field in fields:
        head, _, said = field.partition(":")
        kind, _, name = head.partition(" ")
        start = {"param": f"`{name}`: ", "raises": f"raises `{name}`: "}.get(kind, "gives ")
        listed.append(f"- {start}{_prose(' '.join(said.split()))}")
    return "\n\n".join(filter(None, [_prose(body.strip()), "\n".join(listed)]))


def _prose(text: str) -> str:
    """Plain words as Markdown: what is no code is escaped."""
    parts = text.split("`")
    plain = [re.sub(r"([*_\\\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    parts[::2] = plain
    return "`".join(parts)


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "&#124;").replace("\n", " ") for cell in row) + " |"
        for row in lines
    )


# -- hooks of mkdocs ----------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """The pages of the tiers stand in the menu."""
    config.nav.append({"Tiers": [{room.name: f"tier-{room.name}.md"} for room in tier.tiers()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """The generated pages are files like the others, though nobody writes them."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files
