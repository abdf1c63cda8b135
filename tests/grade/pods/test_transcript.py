"""A pod's log: what is whole, lost, forged or too long."""

from __future__ import annotations

import io
import random

import pytest

from llmlab.grade.pods.transcript import HEAD, MOST, Log, LogWriter

TOKEN = "a-token"
PARTS = [
    {"part": "cell", "text": "x" * 50},
    {"part": "cell", "noise": random.Random(1).randbytes(40_000).hex()},
    {"part": "pod"},
]


@pytest.fixture
def lines():
    out = io.BytesIO()
    writer = LogWriter(out, TOKEN)
    for part in PARTS:
        writer.tell(part)
    writer.end()
    assert writer.written == len(out.getvalue()) < MOST
    return out.getvalue().splitlines()


def read(lines, token=TOKEN):
    log = Log(token)
    return list(log.parts(lines)), log.whole


def test_what_was_told_is_read(lines):
    assert read(lines) == (PARTS, True)
    assert max(map(len, lines)) < 16 << 10, "a runtime breaks longer lines"


def test_a_part_can_be_read_before_the_end_is_there(lines):
    assert read(lines[:1]) == (PARTS[:1], False)


@pytest.mark.parametrize("lost", [0, 1, -1])
def test_a_lost_line_is_seen(lines, lost):
    kept = list(lines)
    del kept[lost]
    assert not read(kept)[1]


def test_a_log_whose_beginning_was_rotated_away_is_not_whole(lines):
    assert read(lines[3:]) == ([], False)


def test_what_others_write_between_is_passed_over(lines):
    noisy = [
        line for pair in zip(lines, [b"llama_server: slot 0", b"", HEAD] * 40, strict=False) for line in pair
    ]
    assert read(noisy) == (PARTS, True)


def test_nobody_without_the_token_can_forge_a_line(lines):
    out = io.BytesIO()
    forger = LogWriter(out, "another token")
    forger.tell({"part": "pod", "points": 12})
    forger.end()
    forged = out.getvalue().splitlines()
    assert read([*forged, *lines]) == (PARTS, True)
    assert read(forged) == ([], False)


def test_a_line_that_was_changed_does_not_count(lines):
    changed = [lines[0].replace(b" + ", b" . "), *lines[1:]]
    assert read(changed) == ([], False)


def test_a_line_told_twice_counts_once(lines):
    assert read([*lines[:2], *lines]) == (PARTS, True)
