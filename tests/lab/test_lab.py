"""The lab object, its hints and its panel: what a notebook uses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from llmlab import Lab, LabError
from llmlab.course.hints import read_hints
from llmlab.course.info import all_labs, find_lab
from llmlab.course.progress import index_page, standing
from llmlab.submissions.answers import from_notebook

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs", "solutions"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
    return tmp_path


@pytest.fixture
def lab(course, monkeypatch):
    monkeypatch.chdir(course / "labs" / "01-one-server")
    lab = Lab.here()
    yield lab
    lab.stop()


def test_here_finds_the_lab_of_the_folder_and_by_name_from_elsewhere(lab, course, monkeypatch):
    assert lab.info.number == "01"
    monkeypatch.chdir(course)
    with pytest.raises(LabError, match="no lab"):
        Lab.here()
    assert Lab.here("01-one-server").files == course / "labs" / "01-one-server"
    with pytest.raises(LabError, match="submission"):
        Lab.here("01", submission=course / "nowhere")
    assert [find_lab(name).number for name in ("1", "01", "one-server", ["labs", "01-one-server"][1])] == [
        "01"
    ] * 4


def test_serve_load_plot_and_stop(lab):
    live = lab.serve("server.toml")
    pid = live.pid
    assert live.props()["total_slots"] == 4
    assert "slots" in repr(live)
    run = live.load(concurrency=[1, 2], requests=4, max_tokens=8, quiet=True)
    assert list(run.table()["concurrency"]) == [1, 2]
    assert list(run.table()["failed"]) == [0, 0]
    assert run.path.exists()
    assert run.plot().alt
    assert "the file says" in lab.show()._repr_html_()
    again = lab.serve("server.toml")
    assert not _exists(pid)  # one lab serves one thing
    lab.stop()
    assert not _exists(again.pid or 0)
    with pytest.raises(LabError, match="not running"):
        again.load(concurrency=1)


def test_a_server_holds_conversations(lab):
    with lab.serve("server.toml") as live:
        run, again = (
            live.load(sessions=2, concurrency=1, turns=2, think=0, max_tokens=8, quiet=True) for _ in range(2)
        )
    assert list(run.table()["turns"]) == [2]
    assert list(run.table()["failed"]) == [0]
    assert run.lines() == [
        f"sessions of 2 turns, 1 user: 4 requests, 0 failed, {run.table()['tokens/s'][0]} tokens/s"
    ]
    assert run.plot().alt.startswith("Sessions, turn by turn.")
    first = [load.record.runs[0].samples[0].cached_tokens for load in (run, again)]
    assert first == [0, 0], "what an earlier load said is not said again"


def _exists(pid: int) -> bool:
    import psutil

    return bool(pid) and psutil.pid_exists(pid)


def test_a_taken_port_in_the_file_gives_a_free_one_and_says_so(lab):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        path = lab.files / "server.toml"
        path.write_text(path.read_text().replace("8080", str(port)).replace('host = "0.0.0.0"\n', ""))
        live = lab.serve()
        assert live.port != port
        assert str(port) in live._repr_html_()


def test_answers_predictions_and_reset(lab):
    assert lab.predict(x=3) == "noted: x = 3"
    lab.answer(knee=4, other=1)
    lab.answer(other=None)
    assert lab.answers() == {"knee": 4}
    lab.reset()
    assert lab.answers() == {}


def test_an_answer_in_a_notebook_that_was_only_copied_counts(lab):
    shutil.copy(lab.info.solution / "lab.ipynb", lab.info.notebook)
    assert lab.answers() == {"knee": 4}
    lab.answer(knee=3)  # given later, so it stands
    assert lab.answers() == {"knee": 3}


def test_a_worked_notebook_beside_ones_own_counts(lab):
    """As after `cp solutions/01-one-server/* labs/01-one-server/`: the lab's own notebook is still there, its answers open."""
    shutil.copy(COURSE / "labs" / lab.info.name / lab.info.notebook.name, lab.info.notebook)
    assert lab.answers() == {}
    shutil.copy(lab.info.solution / "lab.ipynb", lab.files)
    assert lab.answers() == {"knee": 4}


def test_answer_cells_are_read_and_never_run(tmp_path):
    import nbformat

    cells = [
        nbformat.v4.new_code_cell(
            "lab.answer(a=[1, 2], b=None, c=open('/etc/passwd').read())", metadata={"tags": ["answer"]}
        ),
        nbformat.v4.new_code_cell("lab.answer(d=1)"),
        nbformat.v4.new_code_cell("lab.answer(", metadata={"tags": ["answer"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "lab.ipynb")
    assert from_notebook(tmp_path / "lab.ipynb") == {"a": [1, 2]}
    (tmp_path / "lab.ipynb").write_text("not JSON")
    assert from_notebook(tmp_path / "lab.ipynb") == {}


def test_hints_come_one_by_one_and_start_with_what_failed(lab):
    with pytest.raises(LabError, match="context-per-slot"):
        lab.hint("context")
    steps = read_hints(lab.info.folder / "hints.md")["knee"]
    seen = [lab.hint("knee").lines() for _ in range(4)]
    assert [len(lines) - 1 for lines in seen] == [1, 2, 3, 3]
    assert steps[2].split()[0] in seen[3][2]
    assert "<details" in lab.hint("knee")._repr_html_()


def test_show_says_what_is_wrong_with_a_file_instead_of_failing(lab):
    (lab.files / "server.toml").write_text("[flags]\nparalel = 3\n")
    assert "parallel" in repr(lab.show())


def test_an_unknown_check_names_those_there_are(lab):
    with pytest.raises(LabError, match="context-per-slot"):
        lab.check("nonsense")


def test_the_panel_has_the_same_powers(lab):
    panel = lab.panel()
    panel.press("Start")
    panel.wait()
    assert "llama-server" in panel.status.value
    assert lab.running is not None
    panel.press("Hint")
    panel.wait()
    assert "hint 1 of 3" in panel.output.value
    (lab.files / "server.toml").write_text("# mine\n")
    for _ in range(2):
        panel.press("Reset")
        panel.wait()
    assert "starter files are back" in panel.status.value
    (lab.files / "server.toml").write_text("[flags]\nbogus = 1\n")
    panel.press("Start")
    panel.wait()
    assert "bogus" in panel.status.value
    assert "line 2" in panel.output.value
    panel._stop()
    assert lab.running is None


def test_the_index_page_shows_progress(lab, course):
    assert "opened" in standing(lab.info)
    page = index_page(course)
    for info in all_labs(course):
        assert info.title in page
        assert f"{info.name}/{info.name}.ipynb" in page


@pytest.mark.parametrize(
    ("before", "seed", "files"),
    [("", 0, "labs/01-one-server"), ("seed, submission = 7, 'theirs'", 7, "theirs")],
)
def test_here_takes_what_the_parameters_cell_has_set_and_needs_no_such_cell(course, before, seed, files):
    """Papermill's parameters count; after a restart of the kernel the cell of the lab is enough."""
    shutil.copytree(course / "labs/01-one-server", course / "theirs")
    say = "print(lab.seed, lab.files.relative_to(Path.cwd()))"
    cells = [before, "from pathlib import Path", f"from llmlab import Lab\nlab = Lab.here('01')\n{say}"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    NotebookClient(notebook, resources={"metadata": {"path": str(course)}}).execute()
    assert notebook.cells[-1].outputs[0].text.splitlines()[0] == f"{seed} {files}"


def test_here_takes_them_in_a_grader_too_which_runs_cells_without_a_kernel(course):
    cells = ["seed = 7", "from llmlab import Lab", "print('seed', Lab.here('01').seed)"]
    code = f"from IPython.core.interactiveshell import InteractiveShell as S\nfor cell in {cells}: S.instance().run_cell(cell)"
    done = subprocess.run([sys.executable, "-c", code], cwd=course, capture_output=True, text=True)
    assert "seed 7" in done.stdout, done.stderr
