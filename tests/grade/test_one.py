"""One submission, from Python: no course folder, no database; in bubblewrap, and in a process group."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest
import tinylab
from tinylab import GOOD, RIGHT, hand_in

from llmlab.errors import LabError
from llmlab.grade import Grading, Settings, grade
from llmlab.grade.batch import AGAIN
from llmlab.grade.cage import Allowance
from llmlab.grade.opened import seed
from llmlab.grade.rules import Rules, read_rules
from llmlab.grade.sandbox import Sandbox
from llmlab.load import turn
from llmlab.system import owned, without

pytestmark = [pytest.mark.needs("process"), pytest.mark.timeout(120)]


@pytest.fixture
def info(tmp_path):
    return tinylab.make(tmp_path / "course")


def test_a_result_without_a_course_folder(info, tmp_path, monkeypatch):
    """The lab's folder alone, from anywhere; the learner's inputs come from the secret and the name alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path / "nowhere"))
    first = grade(info.folder, hand_in(tmp_path / "alice"), secret=b"one")
    again = grade(str(info.folder), tmp_path / "alice", secret=b"one")
    other = grade(info.folder, tmp_path / "alice", secret=b"two")
    assert first.result is not None
    assert first.result.points == 6
    assert (first.seeds, first.fingerprint) == (again.seeds, again.fingerprint)
    assert other.seeds != first.seeds
    hidden = [graded.result["slots"].evidence.hidden for graded in (first, again, other)]
    assert hidden[0] == hidden[1] != hidden[2]
    assert owned.entries() == []


def test_an_answer_counts_though_the_notebook_was_stopped_later(info, tmp_path):
    """The answers come out at the notebook's end: one that stops before has told none, also of cells that ended well."""
    stops = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    graded = grade(info.folder, hand_in(tmp_path / "alice", answer_word=stops))
    assert graded.notebook.status == "stopped"
    assert "answer-slots" not in [cell.id for cell in graded.notebook.cells]
    assert graded.answers == {"slots": 2}
    assert graded.result is not None
    assert graded.result.failing == ["word"]


def test_seeds_differ_by_learner_lab_and_purpose():
    made = {seed(b"s", lab, key, what) for lab in ("01", "02") for key in ("a", "b") for what in ("x", "y")}
    assert len(made) == 8
    assert all(0 <= number < 2**31 for number in made)


DETACHED = """
import os, subprocess, sys
code = '''import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open("%s", "w").write(str(os.getpid()))
time.sleep(600)'''
subprocess.Popen([sys.executable, "-c", code], start_new_session=True).wait()
"""


def test_without_bubblewrap_a_process_group_and_it_says_so(info, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    note = tmp_path / "pid"
    wait = f"\nimport pathlib\nwhile not pathlib.Path({str(note)!r}).exists(): pass\n"
    found = grade(
        info, hand_in(tmp_path / "bob", answer_slots=DETACHED % note + wait + RIGHT["answer-slots"])
    )
    assert found.result is not None
    assert found.result.points == 6, found
    assert "NOT separated" in found.isolation
    if sys.platform.startswith("linux"):
        assert not psutil.pid_exists(int(note.read_text())), "a detached process outlived its sandbox"


def test_the_executed_notebook_reads_as_in_jupyter(info, tmp_path):
    """Streams, results, pictures, tracebacks and progress bars, in their order, as nbformat keeps them."""
    cell = """
import sys
from IPython.display import HTML, display, clear_output
print("one"); print("gone"); clear_output(); print("two"); print("noise", file=sys.stderr)
for n in range(1000): print(f"\\rstep {n}", end="", file=sys.stderr)
handle = display(HTML("<b>first</b>"), display_id="x")
display(HTML("<b>second</b>"), display_id="x", update=True)
lab.answer(slots=2)
1 / 0
"""
    hand_in(tmp_path / "in" / "gus", answer_slots=cell)
    with Grading(info, tmp_path / "in", tmp_path / "out") as grading:
        ((graded, score),) = grading.run()
    assert score.score == 6
    assert [(cell.id, cell.status) for cell in graded.notebook.cells] == [("answer-slots", "error")]
    notebook = nbformat.read(tmp_path / "out" / "gus" / "lab.ipynb", 4)
    nbformat.validate(notebook)
    outputs = next(cell.outputs for cell in notebook.cells if cell.id == "answer-slots")
    assert [output.output_type for output in outputs] == ["stream", "stream", "display_data", "error"]
    assert [outputs[0].text, outputs[1].text] == ["two\n", "noise\nstep 999"]
    assert outputs[2].data["text/html"] == "<b>second</b>"
    assert outputs[3].ename == "ZeroDivisionError"
    checked = next(cell.outputs for cell in notebook.cells if cell.id == "check")
    assert "6 of 6 points" in checked[0].data["text/html"]


@pytest.mark.needs("sandbox")
@pytest.mark.parametrize("group", [False, True])
def test_a_sandbox_that_is_left_leaves_nothing(info, tmp_path, monkeypatch, group):
    if group:
        monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    with Sandbox(lab=info.folder, env={"MARK": "here"}) as box:
        process = box.popen(
            [
                "-c",
                "import os\nos.fork(); os.fork()\nprint(os.environ['MARK'], flush=True)\nimport time; time.sleep(600)",
            ]
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 3
        labels = [entry.label for entry in owned.entries()]
        assert any("sandbox" in label for label in labels)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert box.outlived == []
    assert owned.entries() == []


@pytest.mark.parametrize("group", [False, True])
def test_a_file_may_not_outgrow_the_disk_it_is_lent(info, monkeypatch, group):
    if group:
        monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    code = "open('big', 'wb').write(b'x' * (9 << 20))"
    with Sandbox(lab=info.folder, allowance=Allowance(disk=8 << 20)) as box:
        process = box.popen(["-c", f"import os; os.chdir({str(box.work)!r}); {code}"])
        _, noise = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"OSError" in noise, noise


def test_what_was_taken_away_is_taken_away_inside(info, monkeypatch):
    monkeypatch.setenv("LLMLAB_SANDBOX", "group")
    monkeypatch.setenv(without.VARIABLE, "gpu")
    code = "from llmlab.system import without; print(without.taken('gpu'))"
    with Sandbox(lab=info.folder) as box:
        out, noise = box.popen(["-c", code]).communicate(timeout=30)
    assert out == b"True\n", noise


@pytest.mark.needs("sandbox")
def test_what_a_sandbox_may_not(info, tmp_path):
    """Read what is not its own, write outside its scratch space, keep a capability, see other processes."""
    code = """
import json, os, pathlib
def tries(work):
    try: work()
    except OSError as error: return error.strerror
    return "done"
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({
    "shadow": tries(lambda: open("/etc/shadow")),
    "secret": tries(lambda: open(SECRET)),
    "root": tries(lambda: open("/new", "w")),
    "package": tries(lambda: open(os.path.join(os.path.dirname(__import__("llmlab").__file__), "new"), "w")),
    "lab": tries(lambda: open("/course/labs/90-tiny/checks.py", "a")),
    "work": tries(lambda: open("/work/new", "w")),
    "caps": status["CapEff"].strip(),
    "privileges": status["NoNewPrivs"].strip(),
    "pids": [name for name in os.listdir("/proc") if name.isdigit()],
    "env": sorted(name for name in os.environ if "SECRET" in name),
}))
"""
    secret = tmp_path / "secret.key"
    secret.write_text("hidden")
    os.environ["MY_SECRET"] = "hidden"
    try:
        with Sandbox(lab=info.folder) as box:
            out, noise = box.popen(["-c", code.replace("SECRET)", f"{str(secret)!r})")]).communicate()
    finally:
        del os.environ["MY_SECRET"]
    found = json.loads(out or noise)
    assert found["work"] == "done"
    assert "done" not in (found["shadow"], found["secret"], found["root"], found["package"], found["lab"])
    assert int(found["caps"], 16) == 0
    assert found["privileges"] == "1"
    assert len(found["pids"]) <= 3
    assert found["env"] == []


def test_rules_come_from_lab_toml_and_say_what_is_wrong_with_them(info):
    assert read_rules(info.folder).memory == 700 << 20
    path = info.folder / "lab.toml"
    text = path.read_text()
    path.write_text(text.replace("ready = 4", "redy = 4"))
    with pytest.raises(LabError, match=r"redy.*\n.*lab\.toml: grade\.redy\n.*ready"):
        read_rules(info.folder)
    path.write_text(text.replace("ready = 4", 'ready = "soon"'))
    with pytest.raises(LabError, match="ready = 60"):
        read_rules(info.folder)
    path.write_text(text[: text.index("[grade]")])
    assert read_rules(info.folder) == Rules()


def test_a_lab_that_does_not_run_its_notebook_reads_answers_as_they_stand(info, tmp_path):
    path = info.folder / "lab.toml"
    path.write_text(path.read_text().replace("notebook = 40", "notebook = 0"))
    found = grade(info.folder, hand_in(tmp_path / "carol", answer_word="lab.answer(word='sl' + 'ot')"))
    assert (found.notebook.status, found.answers) == ("none", {"slots": 2})


def test_a_bug_of_a_check_costs_nothing_and_stops_nobody(info, tmp_path):
    checks = info.folder / "checks.py"
    checks.write_text(
        checks.read_text().replace('said = ctx.answers.get("word")', "raise RuntimeError('ours')")
    )
    found = grade(info, hand_in(tmp_path / "dave"))
    assert found.result is not None
    assert (found.result["word"].status, found.result.points, found.result.max_points) == ("error", 5, 5)
    checks.write_text("import nothing_of_that_name")
    found = grade(info, tmp_path / "dave")
    assert (found.status, "nothing_of_that_name" in (found.reason or "")) == ("error", True)


def test_a_lab_in_parts_is_graded_by_its_own_and_a_changed_part_is_a_reason_to_grade_again(info, tmp_path):
    (info.folder / "checks.py").rename(info.folder / "answers.py")
    checks = '"""In one part."""\nfrom . import answers\nPARTS = (answers,)\n'
    (info.folder / "checks.py").write_text(checks)
    theirs = hand_in(tmp_path / "frank", answer_word="lab.answer(word=None)")
    for name in ("checks.py", "answers.py"):
        (theirs / name).write_text("raise SystemExit('no file of a submission is a check')")
    found = grade(info.folder, theirs)
    assert found.result is not None
    assert (found.result.failing, found.result.max_points) == (["word"], 6)
    part = info.folder / "answers.py"
    part.write_text(part.read_text() + "\n")
    assert grade(info.folder, theirs).fingerprint != found.fingerprint


@pytest.mark.full
def test_interrupted_it_keeps_what_is_done(info, tmp_path):
    """Ctrl-C as a terminal sends it; the same command goes on."""
    for name in ("a", "b", "c", "d"):
        hand_in(tmp_path / "in" / name)
    line = [
        sys.executable,
        "-m",
        "llmlab",
        "grade",
        str(info.folder),
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        [*line, "--jobs", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("[1/4]"):
        pass
    process.send_signal(2)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Interrupted" in said
    assert "goes on from there" in said
    assert owned.entries() == []
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, "graded before" in done.stdout) == (0, True), done.stderr
    assert done.stdout.count("6 of 6") == 4


UNSURE = '''
from pathlib import Path
from llmlab.checks import Context, Verdict, check, inconclusive, passed

@check(title="Now and then", points=6, timed=True)
def now_and_then(ctx: Context) -> Verdict:
    """Too noisy the first time."""
    seen = Path({seen!r})
    if seen.exists():
        return passed(expected="x", observed="x")
    seen.write_text("")
    return inconclusive("noise", expected="x", observed="?")
'''


def test_what_was_inconclusive_is_measured_once_more_alone(info, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_SANDBOX", "group")  # so that the check can leave a note outside
    monkeypatch.delenv(
        turn.VARIABLE, raising=False
    )  # it measures nothing: it need not wait for other tests that do
    (info.folder / "checks.py").write_text(UNSURE.format(seen=str(tmp_path / "seen")))
    hand_in(tmp_path / "in" / "erin")
    with Grading(info, tmp_path / "in", tmp_path / "out") as grading:
        ((graded, score),) = grading.run()
    assert (score.score, score.uncounted) == (6, 0)
    assert AGAIN in graded.remarks


@pytest.mark.full
def test_regrade_manual_points_and_a_deadline(info, tmp_path):
    hand_in(tmp_path / "in" / "Zoë, Jr.", server=GOOD.replace("parallel = 2", "parallel = 1"))
    out = tmp_path / "out"

    def run(**settings):
        with Grading(info, tmp_path / "in", out, Settings(**settings)) as grading:
            return grading.run()[0]

    graded, score = run()
    assert score.score == 2
    (out / "manual.toml").write_text(
        f'["{graded.key}"]\npoints = 1\ncomment = "Nearly."\nsubmitted = 2026-01-03T12:00:00Z\n'
    )
    before = (out / graded.key / "result.json").stat().st_mtime_ns
    _, score = run()
    assert (score.score, score.comment) == (3, "Nearly.")
    assert (out / graded.key / "result.json").stat().st_mtime_ns == before
    from datetime import UTC, datetime

    _, score = run(regrade=frozenset([graded.learner]), due=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert (out / graded.key / "result.json").stat().st_mtime_ns != before
    assert (score.late_days, score.score) == (2, 2 * 0.8 + 1)
    _, score = run()
    assert score.late_days == 2, "the deadline is kept for later runs"
    with pytest.raises(LabError, match="nobody"):
        run(regrade=frozenset(["nobody"]))
    assert "Nearly." in (out / graded.key / "feedback.html").read_text()


def test_two_graders_do_not_share_a_folder_nor_two_labs(info, tmp_path):
    hand_in(tmp_path / "in" / "a")
    with (
        Grading(info, tmp_path / "in", tmp_path / "out") as _,
        pytest.raises(LabError, match="Another llmlab grade"),
    ):
        Grading(info, tmp_path / "in", tmp_path / "out").__enter__()
    (tmp_path / "out" / "grading.json").write_text('{"lab": "02-budgets", "due": null}')
    with pytest.raises(LabError, match="02-budgets"):
        Grading(info, tmp_path / "in", tmp_path / "out").__enter__()
    for out in (tmp_path / "in", tmp_path, tmp_path / "in" / "grades"):
        with pytest.raises(LabError, match="over the submissions"):
            Grading(info, tmp_path / "in", out)


@pytest.mark.parametrize("kind", ["folder", "zip", "notebook"])
def test_plain_papermill_runs_and_grades_one(info, tmp_path, kind):
    """As the issue has it: papermill lab.ipynb out.ipynb -p submission path -p seed 7."""
    path = hand_in(tmp_path / "fay")
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "fay.zip", "w") as made:
            for file in path.iterdir():
                made.write(file, f"fay/{file.name}")
        path = tmp_path / "fay.zip"
    elif kind == "notebook":
        path = path / "lab.ipynb"
    out = tmp_path / "out.ipynb"
    line = [sys.executable, "-m", "papermill", str(info.folder / "lab.ipynb"), str(out), "--no-progress-bar"]
    env = os.environ | {"LLMLAB_COURSE": str(tmp_path / "course")}
    done = subprocess.run(
        [*line, "-p", "submission", str(path), "-p", "seed", "7"], env=env, capture_output=True, text=True
    )
    if kind == "notebook":  # server.toml is not in it: the notebook cannot serve, and says so
        assert "server.toml" in done.stderr
        return
    assert done.returncode == 0, done.stderr[-2000:]
    assert "6 of 6 points" in Path(out).read_text()
