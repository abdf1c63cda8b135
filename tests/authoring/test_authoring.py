"""One source, two notebooks: what goes where, what is refused, and what counts as drift."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupytext", reason="jupytext is missing: pip install -e '.[author]'")

import nbformat

from llmlab import authoring
from llmlab.errors import LabError

LAB = """\
# %% [markdown] tags=["objectives"]
# # Demo
#
# What you will learn: *everything*.

# %% tags=["parameters"]
seed = 0

# %% [markdown] id="expect" tags=["prediction"]
# I expect … because …

# %% id="sum" tags=["compare"]
from pathlib import Path

print(sum(range(10)), Path.cwd().name)

# %% id="answer-knee" tags=["answer"]
knee = 4  # learner: knee = None
if True:
    print("worked")  # learner:
    # learner: ...

# %% id="worked" tags=["solution"]
# The way there.
size = 12

# %% id="shell"
# %matplotlib inline
# !true

# %% [markdown] tags=["summary"]
# Done.

# %% [markdown]
# ## Next
# Lab 02.
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    lab = tmp_path / "labs" / "01-demo"
    lab.mkdir(parents=True)
    (lab / "lab.toml").write_text('title = "Demo"\n')
    (tmp_path / "solutions" / "01-demo").mkdir(parents=True)
    write(tmp_path, LAB)
    return tmp_path


def write(course: Path, text: str) -> Path:
    path = course / "solutions" / "01-demo" / "lab.py"
    path.write_text(text)
    return path


def notebook(course: Path, part: str) -> dict[str, Any]:
    return json.loads(path_of(course, part).read_text())  # type: ignore[no-any-return]


def path_of(course: Path, part: str) -> Path:
    return course / part / "01-demo" / ("01-demo.ipynb" if part == "labs" else "lab.ipynb")


def cells(course: Path, part: str) -> dict[str, dict[str, Any]]:
    return {cell["id"]: cell for cell in notebook(course, part)["cells"]}


def text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def refused(course: Path, source: str) -> LabError:
    path = write(course, source)
    with pytest.raises(LabError) as caught:
        authoring.read(path)
    assert str(path) in (caught.value.where or "")
    return caught.value


# -- what goes where -----------------------------------------------------------------------------------


def test_learner_gets_no_solution_no_answer_and_no_output(course: Path) -> None:
    authoring.build(course, execute=False)
    mine = cells(course, "labs")
    assert "worked" not in mine
    assert text(mine["answer-knee"]) == "knee = None\nif True:\n    ..."
    assert all(
        cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in mine.values()
    )
    assert "4" not in text(mine["answer-knee"])
    assert mine["sum"]["metadata"] == {}
    assert mine["lab01-02"]["metadata"] == {"tags": ["parameters"], "jupyter": {"source_hidden": True}}
    assert text(mine["shell"]) == "%matplotlib inline\n!true"


def test_solution_gets_the_worked_lines_and_nbval_ignores_all_but_compared_cells(course: Path) -> None:
    authoring.build(course, execute=False)
    worked = cells(course, "solutions")
    assert text(worked["answer-knee"]) == 'knee = 4\nif True:\n    print("worked")'
    assert text(worked["worked"]).startswith("# The way there.")
    for name, cell in worked.items():
        if cell["cell_type"] == "code":
            assert ("nbval-ignore-output" in cell["metadata"]["tags"]) == (name != "sum")


def test_notebooks_are_valid_and_have_stable_metadata(course: Path) -> None:
    for path in authoring.build(course, execute=False):
        nbformat.validate(nbformat.read(path, as_version=4))
        raw = path.read_bytes()
        assert raw.endswith(b"}\n")
        assert not raw.endswith(b"\n\n")
        book = json.loads(raw)
        assert book["metadata"]["kernelspec"]["name"] == "python3"
        assert book["metadata"]["language_info"] == {"name": "python"}
        assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
        assert set(book["metadata"]) == {"kernelspec", "language_info"}


def test_ids_are_shared_and_stay_when_the_text_changes(course: Path) -> None:
    authoring.build(course, execute=False)
    before = list(cells(course, "solutions"))
    assert before[:3] == ["lab01-01", "lab01-02", "expect"]
    assert set(cells(course, "labs")) == set(before) - {"worked"}
    write(course, LAB.replace("everything", "nothing"))
    authoring.build(course, execute=False)
    assert list(cells(course, "solutions")) == before


def test_building_twice_writes_nothing_the_second_time(course: Path) -> None:
    paths = authoring.build(course, execute=False)
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in paths]
    said: list[str] = []
    authoring.build(course, execute=False, say=said.append)
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in paths] == before
    assert [line.rpartition(": ")[2] for line in said] == ["unchanged", "unchanged"]


@pytest.mark.parametrize("name", ["1", "01", "demo", "01-demo", "labs/01-demo/"])
def test_labs_are_named_as_elsewhere(course: Path, name: str) -> None:
    assert len(authoring.build(course, [name], execute=False)) == 2


def test_a_lab_without_source_is_named(course: Path) -> None:
    with pytest.raises(LabError, match="no source for a lab 'dema'") as caught:
        authoring.build(course, ["dema"])
    assert "demo" in (caught.value.fix or "")


def test_header_saved_by_jupyterlab_is_ignored(course: Path) -> None:
    header = "# ---\n# jupyter:\n#   kernelspec:\n#     name: python3\n# ---\n\n"
    source = authoring.read(write(course, header + LAB))
    assert len(source.cells) == 9
    assert source.cells[0].line == 7


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ('tags=["solution"]', 'tags=["soluton"]', 23, "Unknown tag 'soluton'"),
        ('id="worked"', 'id="no spaces"', 23, "not valid"),
        ('id="worked"', 'id="sum"', 23, "Two cells have the id 'sum'"),
        ('id="worked"', 'id="lab01-01"', 23, "Two cells have the id"),
        ('id="worked"', 'id="worked" grade=3', 23, "not grade"),
        ("  # learner: knee = None", "", 16, None),
        ("size = 12", "size = 12  # learner: size = 0", 25, "only in a cell tagged answer"),
        ("# Done.", "# Done.\n# %% [raw]\n# x", 33, "not raw"),
    ],
)
def test_mistakes_are_named_with_their_line(
    course: Path, old: str, new: str, line: int, what: str | None
) -> None:
    assert old in LAB
    if what is None:
        assert authoring.read(write(course, LAB.replace(old, new)))  # other marks are left in that cell
        return
    error = refused(course, LAB.replace(old, new))
    assert what in error.what
    assert f":{line}" in (error.where or "")


def test_an_answer_without_a_mark_is_refused(course: Path) -> None:
    error = refused(course, '# %% tags=["answer"]\nlab.answer(knee=4)\n')
    assert "would give its answer" in error.what


def test_a_source_that_does_not_start_with_a_cell(course: Path) -> None:
    assert "starts with a cell" in refused(course, "import os\n\n# %%\nx = 1\n").what
    assert "starts with a cell" in refused(course, "").what


def test_two_parameter_cells_are_refused(course: Path) -> None:
    assert "one cell tagged parameters" in refused(course, '# %% tags=["parameters"]\na = 1\n' * 2).what


def test_missing_jupytext_says_how_to_get_it(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(LabError) as caught:
        authoring.read(course / "solutions" / "01-demo" / "lab.py")
    assert caught.value.fix == "pip install -e '.[author]'"


# -- outputs that are compared -------------------------------------------------------------------------


def test_compared_outputs_are_made_in_a_copy_and_kept(course: Path) -> None:
    before = sorted(p for p in course.rglob("*") if p.suffix != ".ipynb")
    authoring.build(course)
    worked = cells(course, "solutions")
    (output,) = worked["sum"]["outputs"]
    assert "".join(output["text"]) == "45 01-demo\n"
    assert all(not c.get("outputs") for n, c in worked.items() if n != "sum")
    assert sorted(p for p in course.rglob("*") if p.suffix != ".ipynb") == before
    assert authoring.check(course) == []
    authoring.build(course, execute=False)
    assert cells(course, "solutions") == worked


def test_nbval_compares_what_is_kept(course: Path) -> None:
    authoring.build(course)
    shutil.copytree(course / "solutions" / "01-demo", course / "solutions" / "02-wrong")
    wrong = course / "solutions" / "02-wrong" / "lab.ipynb"
    wrong.write_text(wrong.read_text().replace("45 01-demo", "46 02-wrong"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "solutions",
    ]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=120)
    assert "1 failed, 9 passed" in done.stdout, done.stdout
    assert "FAILED solutions/02-wrong/lab.ipynb::Cell 1" in done.stdout


def test_a_solution_that_fails_names_the_line(course: Path) -> None:
    write(course, LAB.replace("print(sum(range(10)), Path.cwd().name)", "raise ValueError('no knee')"))
    with pytest.raises(LabError) as caught:
        authoring.build(course)
    error = caught.value
    assert "ValueError: no knee" in error.what
    assert (error.where or "").endswith("lab.py:12")
    assert not (course / "labs" / "01-demo" / "01-demo.ipynb").exists()


def test_an_output_that_cannot_be_the_same_twice_is_refused(course: Path) -> None:
    write(course, LAB.replace("print(sum(range(10)), Path.cwd().name)", "print(object(), Path.cwd())"))
    with pytest.raises(LabError) as caught:
        authoring.build(course)
    error = caught.value
    assert "cannot be compared: it names a temporary folder" in error.what


# -- drift ---------------------------------------------------------------------------------------------


def drift(course: Path) -> list[str]:
    return [str(difference) for difference in authoring.check(course)]


def test_no_drift_after_build_and_not_built_before(course: Path) -> None:
    assert sum("not built" in difference for difference in drift(course)) == 2
    authoring.build(course, execute=False)
    (only,) = drift(course)
    assert "compare cell 'sum' has no stored output: llmlab author build 01" in only
    assert ":12:" in only


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda book: book["cells"][1].update(source=["seed = 1"]),
            "'lab01-02' (line 6 of the source) has another text",
        ),
        (lambda book: book["cells"].pop(2), "cell 'expect' is missing (line 9"),
        (lambda book: book["cells"][0].update(id="other"), "cell 'other' is not in the source"),
        (lambda book: book["cells"][1]["metadata"].update(tags=[]), "other tags or metadata"),
        (lambda book: book["cells"][1].update(execution_count=3), "an execution count"),
        (lambda book: book["cells"].reverse(), "in another order"),
        (lambda book: book["metadata"].update(x=1), "the notebook's metadata differ"),
        (
            lambda book: book["cells"][1].update(
                outputs=[{"output_type": "stream", "name": "stdout", "text": ["9"]}]
            ),
            "holds an output",
        ),
    ],
)
@pytest.mark.parametrize("part", ["labs", "solutions"])
def test_drift_says_what_differs(course: Path, part: str, change: Any, what: str) -> None:
    authoring.build(course, execute=False)
    book = notebook(course, part)
    change(book)
    path = path_of(course, part)
    path.write_text(json.dumps(book))
    found = drift(course)
    assert any(what in difference and str(path) in difference for difference in found), found
    authoring.build(course, execute=False)
    assert len(drift(course)) == 1


def test_other_formatting_broken_files_and_missing_sources_are_drift(course: Path) -> None:
    authoring.build(course, execute=False)
    path = course / "labs" / "01-demo" / "01-demo.ipynb"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert any("bytes differ (formatting)" in difference for difference in drift(course))
    path.write_text("{")
    assert any("not a notebook" in difference for difference in drift(course))
    (course / "labs" / "02-lost").mkdir()
    (course / "labs" / "02-lost" / "lab.toml").write_text("")
    assert any("this lab has no source" in difference for difference in drift(course))
    write(course, LAB.replace('tags=["solution"]', 'tags=["soluton"]'))
    assert any("Unknown tag 'soluton'" in difference for difference in drift(course))


# -- house rules ---------------------------------------------------------------------------------------


def findings(course: Path, source: str) -> list[str]:
    return [str(finding) for finding in authoring.lint(authoring.read(write(course, source)))]


def test_the_demo_keeps_the_house_rules(course: Path) -> None:
    assert findings(course, LAB) == []


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("# %%\n" + "x = 1\n" * 9, "9 lines of code"),
        ('# %% tags=["figure"]\n' + "x = 1\n" * 9, None),
        ("# %%\n" + "x = 1\n\n" * 8, None),
        ('# %%\ntext = """\nservices:\n  web:\n    image: x\n"""\n', "YAML in a string"),
        ('# %%\ntext = """resource "aws_instance" "a" {\n}\n"""\n', "HCL in a string"),
        ('# %%\ntext = """FROM debian\nRUN true\n"""\n', "a Dockerfile in a string"),
        ('# %%\nprint("one: line")\nprint("""two\nplain lines""")\n', None),
        ("# %%\n# %%writefile server.toml\n# x = 1\n", "no %%writefile"),
        ("# %%\nx = = 1\n", "not Python (solution's side)"),
        ('# %% tags=["answer"]\nx = 1  # learner: x = = 1\n', "not Python (learner's side)"),
    ],
)
def test_house_rules(course: Path, cell: str, what: str | None) -> None:
    found = findings(course, LAB + "\n" + cell)
    if what is None:
        assert found == []
    else:
        assert any(what in finding and "lab.py:" in finding for finding in found), found


def test_a_prediction_comes_before_the_first_measurement(course: Path) -> None:
    late = LAB.replace('# %% tags=["parameters"]\nseed = 0', "# %%\nrun = server.load(concurrency=[1, 2])")
    assert any(
        "no cell tagged prediction" in finding and "lab.py:6" in finding for finding in findings(course, late)
    )
    assert findings(course, LAB + "\n# %%\nrun = server.load(concurrency=[1])\n") == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (' tags=["objectives"]', "", "objectives"),
        (' tags=["summary"]', "", "summary"),
        ("## Next", "Then", "next"),
    ],
)
def test_sections_are_asked_for(course: Path, old: str, new: str, what: str) -> None:
    (only,) = findings(course, LAB.replace(old, new))
    assert f"tagged {what}" in only
