"""Hostile and unlucky submissions, each with the outcome it deserves: one class, graded as an instructor would."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import tinylab
from tinylab import GOOD, RIGHT, document, hand_in

from llmlab.system.waiting import wait

pytestmark = [pytest.mark.needs("process"), pytest.mark.timeout(600)]

SECRET = "the-grader's-secret-5b1f"
ONE_SLOT = GOOD.replace("parallel = 2", "parallel = 1")
SLOTS = RIGHT["answer-slots"]
#: Without a sandbox it is the machine's: another run's is another, and the kernel deals none out so low.
PORT = 18000 + os.getpid() % 10000


@dataclass(frozen=True)
class Case:
    """One submission: its answer cells or files, and what must come of it."""

    name: str
    points: float
    cell: str | None = None  # instead of the right answer to "how many slots"
    word: str | None = None  # instead of the right word
    server: str | None = GOOD
    fails: tuple[str, ...] = ()
    ran: str = "ran"  # how its notebook went
    says: str = ""  # in a remark, a reason or a cell's message
    files: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # of the machine


CASES = [
    Case("good", 6),
    Case(
        "broken server",
        1,
        server='model = "tiny"\n\n[flags]\nparalel = 2\n',
        fails=("starts",),
        says="paralel",
    ),
    Case("one slot", 2, server=ONE_SLOT, fails=("slots", "answer")),
    Case("infinite loop", 6, cell=SLOTS + "\nwhile True: pass", says="time for this cell"),
    Case("loop first", 4, cell="while True: pass\n" + SLOTS.replace("2)", "2 + 0)"), fails=("answer",)),
    Case(
        "stubborn loop",
        6,
        cell=SLOTS + "\nimport signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        ran="stopped",
        says="could not be stopped",
    ),
    Case(
        "fork bomb",
        6,
        cell=SLOTS + "\nimport os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        ran="either",
    ),
    Case("fork", 6, cell=SLOTS + "\nimport os\nos.fork()"),
    Case("memory hog", 6, cell=SLOTS + "\nx = b'x' * (3 << 30)", ran="stopped", says="memory"),
    Case("os exit", 6, cell=SLOTS + "\nimport os; os._exit(0)", ran="stopped", says="before the last cell"),
    Case("sys exit", 6, cell=SLOTS + "\nimport sys; sys.exit(0)"),
    Case(
        "stderr",
        6,
        cell="import sys, warnings\nwarnings.warn('old')\nprint('noise', file=sys.stderr)\n" + SLOTS,
    ),
    Case("huge output", 6, cell="for _ in range(300): print('x' * 1_000_000)\n" + SLOTS),
    Case("raw output", 6, cell="import os\nfor _ in range(300): os.write(1, b'x' * 100_000)\n" + SLOTS),
    Case(
        "full disk",
        6,
        cell="try:\n    open('big', 'wb').write(b'x' * (100 << 20))\nexcept OSError: import os; os.unlink('big')\n"
        + SLOTS,
    ),
    Case("await", 6, cell="import asyncio\nawait asyncio.sleep(0)\n" + SLOTS),
    Case("shell", 6, cell="!echo hello\n" + SLOTS),
    Case("asks me", 4, cell="lab.answer(slots=int(input('slots? ')))", fails=("answer",), says="EOFError"),
    Case(
        "always equal",
        4,
        cell="class A:\n    __eq__ = lambda *_: True\nlab.answer(slots=A())",
        fails=("answer",),
    ),
    Case(
        "equal int",
        4,
        cell="class I(int):\n    __eq__ = lambda *_: True\nlab.answer(slots=I(7))",
        fails=("answer",),
    ),
    Case("not a number", 4, cell="lab.answer(slots=float('nan'))", fails=("answer",)),
    Case("long answer", 4, cell="lab.answer(slots='2' * 10_000_000)", fails=("answer",)),
    Case("deep", 4, cell="lab.answer(slots=" + "[" * 3000 + "]" * 3000 + ")", fails=("answer",)),
    Case(
        "patches us", 4, cell="type(lab).check = lambda *_: 'all passed'\nlab.result = 6", fails=("answer",)
    ),
    Case("kills up", 6, cell="import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + SLOTS),
    Case(
        "leaves threads",
        6,
        cell="import threading, itertools\nthreading.Thread(target=lambda: all(True for _ in itertools.count())).start()\n"
        + SLOTS,
    ),
    Case(
        "forged result",
        2,
        server=ONE_SLOT,
        cell=(
            "import json, os, pathlib\n"
            "forged = json.dumps({'event': 'result', 'result': {'lab': '90-tiny', 'points': 6}, 'token': 'x'})\n"
            "for place in ('.llmlab/result.json', '/work/result.json', '/tmp/result.json', 'result.json'):\n"
            "    pathlib.Path(place).parent.mkdir(exist_ok=True); pathlib.Path(place).write_text(forged)\n"
            "os.write(1, forged.encode() + b'\\n')\nos.write(2, forged.encode() + b'\\n')\n" + SLOTS
        ),
        fails=("slots", "answer"),
    ),
    Case(
        "holds a port",
        6,
        cell=(
            "import subprocess, sys\n"
            "code = '''import os, socket, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\n"
            f"s = socket.socket(); s.bind((\"0.0.0.0\", {PORT})); s.listen(); time.sleep(600)'''\n"
            "subprocess.Popen([sys.executable, '-c', code], start_new_session=True).wait()\n" + SLOTS
        ),
    ),
    Case("wants that port", 6, server=GOOD + f"port = {PORT}\n"),
    Case(
        "ready too late",
        1,
        server=GOOD.replace("tiny", "200m") + "\n[limits]\ncpus = 0.02\n",
        fails=("starts",),
        says="not ready within 4 s",
    ),
    Case(
        "never ready",
        1,
        server=GOOD.replace("tiny", "200m") + "\n[limits]\ncpus = 0.01\n",
        fails=("starts",),
        says="not ready within 4 s",
    ),
    Case("a pipe as model", 1, server=GOOD.replace('"tiny"', '"/dev/stdin"'), fails=("starts",), says="pipe"),
    Case(
        "canned",
        1,
        server='engine = "./canned.py"\n' + GOOD,
        files={"canned.py": "#!/usr/bin/env python3\nprint('ok')\n"},
        fails=("starts",),
    ),
    Case("a program as engine", 1, server='engine = "/usr/bin/env"\n' + GOOD, fails=("starts",)),
    Case(
        "a variable that is not llama.cpp's",
        1,
        server=GOOD + '\n[env]\nEDITOR = "vi"\n',
        fails=("starts",),
        says="may not set EDITOR",
    ),
    Case("tools for clients", 1, server=GOOD + 'tools = "all"\n', fails=("starts",), says="starts programs"),
    # What is left beside it is too little for the lab's own server: that check could not be judged, and it is the submission's doing.
    Case(
        "no memory left",
        1,
        server=GOOD.replace("tiny", "20m").replace("ctx-size = 512", "ctx-size = 106496"),
        fails=("starts",),
        says="used it up",
        needs=("memory-quota",),
    ),
    Case("a file as log", 6, server=GOOD + 'log-file = "/proc/1/fd/1"\n'),
    Case("edited check", 6, files={"edit": "check"}, says="check"),
    Case("deleted check", 6, files={"edit": "delete"}, says="check"),
    Case("deleted answer", 4, files={"edit": "delete answer"}, fails=("answer",), says="answer-slots"),
    Case("double ids", 6, files={"edit": "double"}, says="answer-slots"),
    Case("not JSON", 3, files={"edit": "not json"}, fails=("answer", "word"), says="JSON"),
    Case("no notebook", 3, files={"edit": "none"}, fails=("answer", "word")),
    Case("no file", 0, server=None, fails=("starts", "slots", "answer", "word"), says="server.toml"),
    Case("two gigabytes", 6, files={"edit": "2 GB"}, says="big.bin"),
    Case("Zoë Müller, Jr.", 6),
]
#: Also without --full.
QUICK = {
    "good", "broken server", "one slot", "os exit", "forged result", "holds a port", "wants that port",
    "edited check", "not JSON", "Zoë Müller, Jr.",
}  # fmt: skip


def marks(case: Case) -> list[pytest.MarkDecorator]:
    """When it runs."""
    return [pytest.mark.needs(*case.needs), *([] if case.name in QUICK else [pytest.mark.full])]


READER = """
import os, glob
found = [name for name in os.environ if "SECRET" in name]
for path in glob.glob("/proc/[0-9]*/environ"):
    try: found += [path] if b"{secret}" in open(path, "rb").read() else []
    except OSError: pass
for path in {paths!r}:
    found += [path] if os.path.exists(path) else []
for place in ("/course", "/work", "/tmp", "/etc", "/root"):
    found += glob.glob(place + "/**/*neighbour*", recursive=True) + glob.glob(place + "/**/shadow", recursive=True)
lab.answer(word=" ".join(found) or "slot")
"""
CALLER = """
import socket
got = []
for address in (("127.0.0.1", {port}), ("192.0.2.1", 80), ("{me}", {port})):
    try:
        socket.create_connection(address, 1).close(); got.append(address[0])
    except OSError: pass
try: got.append(socket.gethostbyname("example.org"))
except OSError: pass
lab.answer(word=" ".join(got) or "slot")
"""


def build(case: Case, folder: Path) -> None:
    """Write one submission as its learner hands it in."""
    cells = {"answer_slots": case.cell} if case.cell else {}
    cells |= {"answer_word": case.word} if case.word else {}
    edit = case.files.get("edit")
    raw = None
    if edit and edit not in ("2 GB", "none"):
        data = document()
        at = {cell["id"]: cell for cell in data["cells"]}
        if edit == "check":
            at["check"]["source"] = ["print('6 of 6 points')"]
        elif edit == "delete":
            data["cells"].remove(at["check"])
        elif edit == "delete answer":
            data["cells"].remove(at["answer-slots"])
        elif edit == "double":
            data["cells"] += [
                {**at["answer-slots"], "source": ["lab.answer(slots=None)"]},
                at["answer-slots"],
            ]
        raw = "<<<<<<< HEAD" if edit == "not json" else json.dumps(data)
    hand_in(folder, server=case.server, raw=raw, **cells)
    for name, text in case.files.items():
        if name != "edit":
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
    if edit == "none":
        (folder / "lab.ipynb").unlink()
    if edit == "2 GB":
        with open(folder / "big.bin", "wb") as file:
            file.truncate(2 << 30)


@pytest.fixture(scope="module")
def place(tmp_path_factory, pytestconfig):
    """The course, the class's folder and a listener that nobody in a sandbox may reach."""
    root = tmp_path_factory.mktemp("class")
    info = tinylab.make(root / "course")
    for case in (case for case in CASES if case.name in QUICK or pytestconfig.getoption("--full")):
        build(case, root / "submissions" / case.name)
    listener = socket.create_server(("0.0.0.0", 0))
    listener.settimeout(0.01)
    port, me = listener.getsockname()[1], socket.gethostbyname(socket.gethostname())
    paths = [str(root / "submissions"), str(root / "grades"), str(root / "state"), str(Path.home() / ".ssh")]
    hand_in(
        root / "submissions" / "reads",
        answer_word=READER.replace("{paths!r}", repr(paths)).replace("{secret}", SECRET),
    )
    hand_in(
        root / "submissions" / "calls", answer_word=CALLER.replace("{port}", str(port)).replace("{me}", me)
    )
    shutil.make_archive(str(root / "submissions" / "zipped"), "zip", hand_in(root / "aside" / "zipped"))
    shutil.copy(hand_in(root / "aside" / "lone") / "lab.ipynb", root / "submissions" / "lone.ipynb")
    with zipfile.ZipFile(root / "submissions" / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("server.toml", b"#" * (64 << 20))
        bomb.writestr("../../escaped.toml", "x")
    (root / "submissions" / "broken.zip").write_bytes(b"PK\3\4 and nothing more")
    (root / "submissions" / "link").symlink_to(hand_in(root / "aside" / "neighbour"))
    yield root, info, listener
    listener.close()


def environment(root: Path) -> dict[str, str]:
    (root / "tmp").mkdir(exist_ok=True)
    own = {"LLMLAB_STATE": str(root / "state"), "TMPDIR": str(root / "tmp"), "GRADER_SECRET": SECRET}
    return os.environ | own


def grade(root: Path, info, out: str, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "llmlab",
        "grade",
        str(info.folder),
        str(root / "submissions"),
        "--out",
        str(root / out),
        *more,
    ]


@pytest.fixture(scope="module")
def graded(place):
    """The class, graded once by the command line."""
    root, info, _ = place
    done = subprocess.run(grade(root, info, "grades"), env=environment(root), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with open(root / "grades" / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        return {row["learner"]: row for row in csv.DictReader(file)}, root / "grades", done.stdout


def result(out: Path, key: str) -> dict:
    return json.loads((out / key / "result.json").read_text())


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=marks(case)) for case in CASES],
)
def test_each_submission_gets_what_it_deserves(graded, case):
    rows, out, _ = graded
    row = rows[case.name]
    found = result(out, row["key"])
    said = json.dumps(found, ensure_ascii=False)
    checks = found["result"]["outcomes"]
    failed = {check["check"] for check in checks if check["status"] == "failed"}
    ran = found["notebook"]["status"]
    assert (found["status"], failed) == ("graded", set(case.fails)), said
    assert case.ran in (ran, "either"), said
    assert float(row["score"]) == case.points
    assert case.says in said
    assert found["leftovers"] == []
    page = (out / row["key"] / "feedback.html").read_text()
    assert all(check["title"] in page for check in checks)
    assert "drawn:" not in page, "a hidden input is told only after the deadline"


def test_nobody_reads_the_neighbours_or_the_graders_secrets(graded):
    _, out, _ = graded
    if "bubblewrap" not in result(out, "reads")["isolation"]:
        pytest.skip("a process group does not hide files. Bring it: sudo apt-get install bubblewrap")
    assert result(out, "reads")["answers"]["word"] == "slot"


def test_nobody_reaches_a_network(place, graded):
    _, out, _ = graded
    if "bubblewrap" not in result(out, "calls")["isolation"]:
        pytest.skip(
            "a process group does not separate the network. Bring it: sudo apt-get install bubblewrap"
        )
    assert result(out, "calls")["answers"]["word"] == "slot"
    with pytest.raises(TimeoutError):
        place[2].accept()


def test_packages_and_lone_notebooks(graded):
    rows, out, _ = graded
    assert float(rows["zipped"]["score"]) == 6
    lone = result(out, "lone")
    assert [outcome["status"] for outcome in lone["result"]["outcomes"]] == ["failed"] * 4
    assert "server.toml" in json.dumps(lone)
    for name, why in (("bomb", "server.toml"), ("broken", "broken"), ("link", "link")):
        found = result(out, name)
        assert why in json.dumps(found)
        assert float(rows[name]["score"]) == 0
    assert "escaped.toml" in json.dumps(result(out, "bomb"))
    assert not list(out.parent.rglob("escaped.toml"))


def test_the_executed_notebook_holds_the_graders_verdict(graded):
    _, out, _ = graded
    text = (out / "good" / "lab.ipynb").read_text()
    assert "6 of 6 points" in text
    forged = (out / "edited check" / "lab.ipynb").read_text()
    assert "print('6 of 6 points')" not in forged


def test_afterwards_nothing_is_left(place, graded):
    root, _, _ = place
    line = [sys.executable, "-m", "llmlab", "clean", "--list"]
    assert (
        subprocess.run(line, env=environment(root), capture_output=True, text=True).stdout
        == "nothing is running\n"
    )
    assert not [path for path in (root / "tmp").iterdir() if path.name.startswith("llmlab")]
    assert not listening_on(PORT)


def listening_on(port: int) -> list:
    """Who holds a port; what was closed there stays with the kernel for a minute (TIME_WAIT), and is nobody's."""
    return [
        connection
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    ]


def test_a_port_is_held_by_who_listens_and_not_by_what_was_closed_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert len(listening_on(port)) == 1
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # closed here first: this end waits its time
    assert any(connection.laddr.port == port for connection in psutil.net_connections("tcp")), (
        "it is still known"
    )
    assert listening_on(port) == []


def test_a_second_run_resumes_and_gives_the_same_gradebook(place, graded):
    root, info, _ = place
    before = (root / "grades" / "gradebook.csv").read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in (root / "grades").glob("*/result.json")}
    done = subprocess.run(grade(root, info, "grades"), env=environment(root), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused = {"broken", "link"}  # looking at them again is cheap
    assert done.stdout.count("graded before") == len(stamps) - len(refused)
    assert (root / "grades" / "gradebook.csv").read_bytes() == before
    again = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert {path.parent.name for path in again} <= refused


@pytest.mark.full
def test_killed_in_the_middle_it_goes_on_to_the_same_gradebook(place, graded, tmp_path):
    """kill -9 while submissions are in flight: nothing of them stays, and a second run ends as if nothing had been."""
    root, info, _ = place
    few = ["good", "holds a port", "not JSON", "one slot", "os exit", "wants that port"]
    for name in few:
        shutil.copytree(root / "submissions" / name, tmp_path / "submissions" / name)
    env = environment(tmp_path)
    secret = root / "grades" / "secret.key"
    process = subprocess.Popen(
        grade(tmp_path, info, "grades", "--secret", str(secret)), env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[2/"):
            break
    # The line of one may come before the next one's process.
    grader = psutil.Process(process.pid)
    below = wait("submissions in flight", lambda: grader.children(recursive=True), 30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    kept = len(list((tmp_path / "grades").glob("*/result.json")))
    assert 2 <= kept < len(few)
    done = subprocess.run(
        grade(tmp_path, info, "grades", "--secret", str(secret)), env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("graded before") == kept
    whole = {
        line
        for line in (root / "grades" / "gradebook.csv").read_text().splitlines()
        if line.split('"')[1] in few
    }
    assert set((tmp_path / "grades" / "gradebook.csv").read_text().splitlines()[1:]) == whole
    line = [sys.executable, "-m", "llmlab", "clean", "--list"]
    assert subprocess.run(line, env=env, capture_output=True, text=True).stdout == "nothing is running\n"
