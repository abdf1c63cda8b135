"""A process of the grader's own: what counts as its word, how it ends, and whose turn it is to measure."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

from llmlab.checks.talk import converse
from llmlab.load.turn import Turn

PRELUDE = "from llmlab.checks.talk import Asked\nasked = Asked()\n"


def start(code: str) -> subprocess.Popen[bytes]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", PRELUDE + code], **pipes)


def talk(code: str, **more):
    events = []
    ended = converse(start(code), {"x": 1}, on_event=events.append, **more)
    return ended, events


def test_it_gets_its_order_and_is_heard():
    ended, events = talk("asked.emit({'event': 'end', 'got': asked.order})")
    assert (ended.why, events) == ("end", [{"event": "end", "got": {"x": 1}}])


@pytest.mark.parametrize(
    "code",
    [
        'print(\'{"event": "result"}\', flush=True)',
        'import os; os.write(1, b\'{"event": "result", "token": "x"}\\n\')',
        'import os; os.write(asked._out.fileno(), b\'{"event": "result", "token": "x"}\\n\')',
        "import os; os.write(asked._out.fileno(), b'no json\\n[1]\\n\"x\"\\n' + b'[' * 100000 + b'\\n')",
        "import os\nif os.fork() == 0: asked.emit({'event': 'forged'}); os._exit(0)\nos.wait()",
    ],
    ids=["print", "stdout", "without token", "garbage", "fork"],
)
def test_nothing_else_counts(code):
    ended, events = talk(code + "\nasked.emit({'event': 'end'})")
    assert events == [{"event": "end"}]
    assert ended.why == "end"


def test_out_of_time_it_is_gone():
    process = start("import time\ntime.sleep(600)")
    ended = converse(process, {}, on_event=lambda _: None, wall=1)
    assert ended.why == "wall"
    assert process.poll() is not None


def test_who_writes_without_end_is_ended():
    code = "while True: asked.emit({'event': 'x', 'text': 'x' * 100_000})"
    ended, _ = talk(code, most=10 << 20)
    assert ended.why == "flood"
    code = "import os\nwhile True: os.write(asked._out.fileno(), b'x' * 1_000_000)"
    ended, _ = talk(code)
    assert ended.why == "flood"


def test_its_last_words_are_kept_and_not_more():
    ended, _ = talk(
        "import sys\nfor _ in range(200): sys.stderr.write('x' * 100_000)\nraise SystemExit('goodbye')"
    )
    assert "goodbye" in ended.noise[-200:]
    assert len(ended.noise) < 10_000


MEASURE = """
import time
with asked.turn():
    with asked.turn():
        asked.emit({'event': 'in', 'at': time.monotonic()})
        time.sleep(0.4)
    asked.emit({'event': 'out', 'at': time.monotonic()})
asked.emit({'event': 'end'})
"""


def test_only_one_measures_at_a_time():
    turn, spans = Turn(), []

    def one():
        _, events = talk(MEASURE, turn=turn, wall=30)
        spans.append([event["at"] for event in events if "at" in event])

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans.sort()
    assert len(spans) == 3
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), spans


def test_waiting_for_its_turn_is_not_its_time():
    began = time.monotonic()
    talk(MEASURE, turn=Turn())
    wall = 4 * (time.monotonic() - began)  # longer than it takes without waiting, also on a crowded machine
    turn = Turn()
    assert turn.take(lambda: True)
    release = threading.Timer(wall + 0.5, turn.give_back)
    release.start()
    ended, events = talk(MEASURE, turn=turn, wall=wall)
    release.join()
    assert (ended.why, events[-1]) == ("end", {"event": "end"})


def test_who_keeps_the_turn_loses_it():
    turn = Turn(longest=0.5)
    process = start("asked.turn().__enter__()\nasked.emit({'event': 'in'})\nimport time; time.sleep(600)")
    heard = threading.Event()
    thread = threading.Thread(
        target=converse,
        args=(process, {}),
        kwargs={"on_event": lambda _: heard.set(), "wall": 5, "turn": turn},
    )
    thread.start()
    assert heard.wait(60)
    began = time.monotonic()
    assert turn.take(lambda: True)
    assert time.monotonic() - began < 4, "before its process was ended"
    turn.give_back()
    process.kill()
    thread.join()


def test_who_dies_with_the_turn_gives_it_back():
    turn = Turn()
    talk("asked.turn().__enter__()\nimport os; os._exit(1)", turn=turn)
    assert turn.take(lambda: False)
    turn.give_back()


def test_programs_that_know_nothing_of_each_other_take_turns_by_a_file(tmp_path, monkeypatch):
    """LLMLAB_TURN: another process that measures holds the file; ours waits until it lets go."""
    monkeypatch.setenv("LLMLAB_TURN", str(tmp_path / "turn"))
    holder = "from llmlab.load import turn\nwith turn.take():\n    print('holds', flush=True)\n    input()\nprint('gone', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "holds\n"
        turn, tries = Turn(), iter([True, False])
        assert not turn.take(lambda: next(tries)), "the other one measures"
        other.stdin.write("\n")
        other.stdin.flush()
        assert turn.take(lambda: True)
        turn.give_back()
        assert other.stdout.readline() == "gone\n"
