"""A lab's checks in more than one file: found in order, shared with nobody, seen anew, and named where they err."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from llmlab import checks
from llmlab.checks.parts import load_checks
from llmlab.errors import LabError

DOOR = '''
"""The door."""
from llmlab.checks import check, fixture, passed
from .shared import WORD, made

@check(title="second", points=2, needs=("zeroth",))
def opens(ctx):
    return passed(expected="", observed=f"{WORD} {made(ctx)}")

@check(title="third")
def errs(ctx):
    from .shared import divided
    return divided()
'''
SHARED = '''
"""What the parts share."""
from llmlab.checks import fixture
WORD = "one"
count = []

@fixture
def made(ctx):
    count.append(1)
    return len(count)

def divided():
    return 1 / 0
'''
PLAN = '''
"""The plan."""
from llmlab.checks import check, passed
from .shared import made

@check(title="first")
def zeroth(ctx):
    return passed(expected="", observed=f"{made(ctx)}")
'''
HERE = '''
"""All of it."""
from llmlab.checks import check, passed
from . import door, plan

PARTS = (plan, door)

@check(title="last")
def closes(ctx):
    return passed(expected="", observed="")
'''


@pytest.fixture
def lab(tmp_path) -> Path:
    folder = tmp_path / "labs" / "90-trial"
    folder.mkdir(parents=True)
    for name, text in {"checks": HERE, "door": DOOR, "plan": PLAN, "shared": SHARED}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def names(folder: Path) -> list[str]:
    return [check.name for check in load_checks(folder)]


def test_parts_come_in_the_order_that_is_said_and_then_what_checks_py_has_itself(lab):
    assert names(lab) == ["zeroth", "opens", "errs", "closes"]


def test_it_is_graded_shares_its_fixtures_and_an_error_names_the_part(lab, tmp_path):
    (tmp_path / "shared.py").write_text("raise SystemExit('a file that is handed in is no part')")
    result = checks.run(lab, tmp_path, artifacts=["shared.py"])
    assert [(it.check, it.status) for it in result.outcomes] == [
        ("zeroth", "passed"),
        ("opens", "passed"),
        ("errs", "error"),
        ("closes", "passed"),
    ]
    assert result["opens"].evidence.observed == "one 1"
    assert f'{lab / "shared.py"}", line ' in result["errs"].reason
    assert "ZeroDivisionError" in result["errs"].reason


def test_two_copies_share_nothing_and_what_was_changed_is_seen(lab, tmp_path):
    copy = tmp_path / "other" / "90-trial"
    shutil.copytree(lab, copy)
    (copy / "shared.py").write_text(SHARED.replace('"one"', '"another"'))

    def word(folder: Path) -> str:
        opens = next(check for check in load_checks(folder) if check.name == "opens")
        return opens.function.__globals__["WORD"]

    assert (word(lab), word(copy), word(lab)) == ("one", "another", "one")
    (lab / "shared.py").write_text(SHARED.replace('"one"', '"changed"'))
    (lab / "new.py").write_text(PLAN.replace("zeroth", "newest"))
    (lab / "checks.py").write_text(
        HERE.replace("door, plan", "door, new, plan").replace("(plan,", "(new, plan,")
    )
    assert word(lab) == "changed"
    assert names(lab)[:2] == ["newest", "zeroth"]


def test_what_would_not_be_run_is_refused_by_name(lab):
    (lab / "checks.py").write_text(HERE.replace("(plan, door)", "(plan,)"))
    with pytest.raises(LabError, match="check opens stands in no file of PARTS") as caught:
        load_checks(lab)
    assert caught.value.where == f"{lab / 'door.py'}:6"
    (lab / "checks.py").write_text(HERE.replace("def closes", "def opens"))
    with pytest.raises(LabError, match="check opens is called as another one"):
        load_checks(lab)


def test_a_part_that_does_not_load_leaves_nothing_behind(lab):
    (lab / "door.py").write_text("from . import nowhere")
    before = set(sys.modules)
    with pytest.raises(ImportError, match="nowhere"):
        load_checks(lab)
    assert {name for name in set(sys.modules) - before if "llmlab_checks" in name} == set()
