"""Everything that a user can name has its entry in the reference, which is made from the code (`docs/reference.py`)."""

from __future__ import annotations

import argparse
import functools
import inspect
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
import reference
import yaml

from llmlab import checks, tier
from llmlab.cli import main
from llmlab.course.info import read_info
from llmlab.grade.rules import read_rules
from llmlab.lab import Lab
from llmlab.serve import Spec
from llmlab.tiers.regions import numbers

COURSE = Path(__file__).parents[1]
pages = functools.cache(reference.pages)


def entries(text: str) -> set[str]:
    """The anchors of a page."""
    return set(re.findall(r"\{ #(\S+) \}$", text, re.MULTILINE))


def rows(text: str, heading: str = "") -> set[str]:
    """What stands in code in the first column of the tables; `heading`: of those below it."""
    if heading:
        text = re.split(r"^#.*\{ #", text.partition(f"{{ #{heading} }}")[2], flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def parsers(parser: argparse.ArgumentParser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


@pytest.mark.parametrize("parser", list(parsers(main._parser())), ids=lambda parser: parser.prog)
def test_every_verb_has_its_options_and_each_says_what_it_is(parser):
    anchor = parser.prog.replace(" ", "-")
    assert anchor in entries(pages()["commands.md"])
    written = " ".join(rows(pages()["commands.md"], anchor))
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.dest != "help":
            assert action.help, action
            assert (action.option_strings or [action.metavar or action.dest])[0] in written


def test_a_verb_to_come_has_its_entry():
    parser = argparse.ArgumentParser(prog="llmlab")
    parser.add_subparsers().add_parser("fly", help="leave").add_argument(
        "--high", action="store_true", help="up"
    )
    made = reference.commands(parser)
    assert {"llmlab", "llmlab-fly"} <= entries(made)
    assert rows(made, "llmlab-fly") == {"--high"}


@pytest.mark.parametrize("name", reference.FILES)
def test_every_key_of_a_file_has_a_meaning_and_stands_in_the_example(name):
    _, example, tables = reference.FILES[name]
    for heading, (struct, comments, _) in tables.items():
        keys = {field.name for field in msgspec.structs.fields(struct)}
        assert keys <= rows(pages()["files.md"], "-".join(filter(None, [name, heading])))
        assert [key for key in keys if not reference.comment(comments, key)] == []
        # A starter leaves the version out.
        missing = {key for key in keys if not re.search(rf"(^|[\s\[.{{]){key}\b", example(), re.MULTILINE)}
        assert missing <= ({"schema"} if name == "regions.yaml" else set())


def test_the_examples_are_read(tmp_path):
    folder = tmp_path / "20-example"
    folder.mkdir()
    for name, (_, example, _) in reference.FILES.items():
        (folder / name).write_text(example())
    assert read_info(folder).late.at_most == 0.5
    assert read_rules(folder).cpus == 2
    assert Spec.read(folder / "server.toml").engine == "wheel"
    assert (
        numbers.read(folder / "regions.yaml").ttl
        == yaml.safe_load(reference.FILES["regions.yaml"][1]())["ttl"]
    )
    tomllib.loads((folder / "manual.toml").read_text())


@pytest.mark.parametrize("document", reference.DOCUMENTS, ids=lambda document: document.__name__)
def test_every_document_has_its_fields_and_a_schema(document):
    fields = {field.encode_name for field in msgspec.structs.fields(document)}
    assert fields <= rows(pages()["results.md"], document.__name__)
    schema = msgspec.json.decode(pages()[f"{document.__name__.lower()}.schema.json"])
    assert fields == set(schema["$defs"][document.__name__]["properties"])


@pytest.mark.parametrize("room", tier.tiers(), ids=lambda room: room.name)
def test_every_tier_has_its_needs_openers_and_what_it_has_for_labs(room):
    text = pages()[f"tier-{room.name}.md"]
    assert set(room.needs) == (rows(text, "needs") if room.needs else set())
    assert {f"lab.{name}" for name in (*room.opens, *room.gives)} <= entries(text)
    for what in room.opens.values():
        made = tier.load(f"{room.home}.{what}")
        assert {f"{made.__name__}.{name}" for name, _ in reference.members(made)} <= entries(text)
        assert [name for name, member in reference.members(made) if not inspect.getdoc(member)] == []
    for module in reference.labs_modules(room):
        assert {reference._anchor(room, module, name) for name in module.__all__} <= entries(text)


def test_no_need_is_without_what_brings_it():
    assert [name for room in tier.tiers() for name in room.needs if not reference.mends(room, name)] == []


def test_the_lab_and_what_checks_are_made_with_have_theirs():
    assert {f"Lab.{name}" for name in vars(Lab) if not name.startswith("_")} <= entries(
        pages()["notebook.md"]
    )
    assert set(checks.__all__) <= entries(pages()["checks.md"])


def test_every_attribute_has_a_meaning():
    for name, text in pages().items():
        assert not re.findall(r"^It (?:also )?has `.*", text, re.MULTILINE), name


def variables(folders: list[Path]) -> set[str]:
    """All that the code names."""
    files = [path for folder in folders for path in (folder.rglob("*.py") if folder.is_dir() else [folder])]
    return {name for path in files for name in re.findall(r"\bLLMLAB_[A-Z_]+\b", path.read_text())}


READ = [COURSE / "llmlab", COURSE / "tests/conftest.py", COURSE / "tests/meter.py"]


def test_every_variable_has_its_row_and_no_row_is_stale():
    assert variables(READ) == rows((COURSE / "docs/environment.md").read_text())


def test_a_variable_to_come_would_be_missed(tmp_path):
    (tmp_path / "new.py").write_text('os.environ["LLMLAB_NEW"]')
    assert variables([*READ, tmp_path]) - variables(READ) == {"LLMLAB_NEW"}


def test_the_menu_names_the_pages():
    menu = {
        name
        for entry in yaml.safe_load((COURSE / "mkdocs.yml").read_text())["nav"]
        for name in entry.values()
    }
    written = {path.name for path in (COURSE / "docs").glob("*.md")}
    tiers = {f"tier-{room.name}.md" for room in tier.tiers()}
    assert menu == written | {name for name in pages() if name.endswith(".md")} - tiers


def test_what_good_guesses_get_wrong_is_held_by_tests_that_say_which_version():
    marks = [
        mark
        for path in sorted((COURSE / "tests").rglob("test_*.py"))
        for _, mark in reference.guesses_in(path)
    ]
    assert len(marks) >= 6
    for mark in marks:
        assert (
            {"guess", "really", "version", "see"}
            <= set(mark)
            <= {"guess", "really", "version", "see", "source"}
        ), mark
        assert re.search(r"\d", mark["version"]), "a version has a number"
        assert mark["guess"].rstrip(".").replace("`", "") in pages()["good-guesses.md"].replace("`", "")
