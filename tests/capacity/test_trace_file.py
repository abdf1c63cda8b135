"""Traces out of files, in three layouts, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmlab.capacity.trace import day
from llmlab.capacity.trace_file import read, write
from llmlab.errors import LabError

OWN = "arrival_s,prompt_tokens,output_tokens\n"
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:16:46.6805900,200,5\n"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-12 00:00:00.003928+00:00,2162,5\n2024-05-12 00:00:01+00:00,2399,6\n"
)
BURST = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n118,GPT-4,417,276,693,API log\n"
)
BURST_3 = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log\n19440161.0,d5983bf9,2,ChatGPT,36,29,65,Conversation log\n"
)


@pytest.fixture
def file(tmp_path):
    def made(text: str | bytes) -> Path:
        path = tmp_path / "day.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return made


def rows(trace) -> list[tuple]:
    return list(
        zip(trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True)
    )


def test_what_was_written_is_read_to_the_last_bit(tmp_path) -> None:
    trace = day(3, requests=2000)
    said: list[str] = []
    again = read(write(trace, tmp_path / "day.csv"), say=said.append)
    assert rows(again) == rows(trace)
    assert said == []


def test_azures_layout_is_read(file) -> None:
    assert [(round(at, 6), *more) for at, *more in rows(read(file(AZURE)))] == [
        (0.0, 374, 44), (4.314579, 396, 109), (60.0, 200, 5)
    ]  # fmt: skip
    assert [(round(at, 6), *more) for at, *more in rows(read(file(AZURE_2024)))] == [
        (0.0, 2162, 5),
        (0.996072, 2399, 6),
    ]


def test_burstgpts_layout_is_read_and_what_failed_is_left_out(file) -> None:
    said: list[str] = []
    assert rows(read(file(BURST), say=said.append)) == [(0.0, 472, 18), (113.0, 417, 276)]
    assert said == [
        "day.csv: not read: Model, Total tokens, Log Type.",
        "day.csv:3: a request without a prompt or a reply; all 1 such are left out.",
    ]
    assert rows(read(file(BURST_3))) == [(0.0, 906, 446), (51.0, 36, 29)]


def test_rows_out_of_order_are_sorted_and_said(file) -> None:
    said: list[str] = []
    assert rows(read(file(OWN + "1,2,3\n5,6,7\n4,8,9\n"), say=said.append)) == [
        (1.0, 2, 3),
        (4.0, 8, 9),
        (5.0, 6, 7),
    ]
    assert said == ["day.csv:4: earlier than the line before it; sorted by arrival."]


def test_more_columns_in_any_order_with_spaces_empty_lines_and_a_mark_at_the_start(file) -> None:
    said: list[str] = []
    text = (
        "\ufeffprompt_tokens, region ,arrival_s,output_tokens,note\r\n10,us,0.5,3,x\r\n\r\n20,eu,1.5,4,\r\n"
    )
    trace = read(file(text), say=said.append)
    assert rows(trace) == [(0.5, 10, 3), (1.5, 20, 4)]
    assert trace.region.tolist() == [1, 0]
    assert said == ["day.csv: not read: note."]


def test_prefixes_are_kept(file) -> None:
    trace = read(file(OWN.strip() + ",prefix,prefix_tokens\n0,9,1,2,5\n1,9,1,,\n"))
    assert trace.prefix.tolist() == [2, -1]
    assert trace.prefix_tokens.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (OWN + "0,1,1\n\n1,x,1\n2,y,1\n", "prompt_tokens: 'x' is not a number", ":4 (and 1 more)"),
        (OWN + "0,1,1\n-1,1,1\n", "arrival_s: '-1' is negative", ":3"),
        (OWN + "0,1,-5\n", "output_tokens: '-5' is negative", ":2"),
        (OWN + "0,1,2.5\n", "output_tokens: '2.5' is not a number of tokens", ":2"),
        (OWN + "0,1e30,2\n", "prompt_tokens: '1e30' is not a number of tokens", ":2"),
        (OWN + "nan,1,2\n", "arrival_s: 'nan' is not a number", ":2"),
        (OWN + "inf,1,2\n", "arrival_s: 'inf' is not a number", ":2"),
        (OWN + "0,1,\n", "output_tokens: 'nothing' is not a number", ":2"),
        (OWN + "0,1\n", "output_tokens: 'nothing' is not a number", ":2"),
        (OWN + "0,1,1\n0,1,1,9\n", "Expected 3 fields in line 3, saw 4", ""),
        (OWN + "0,1,1,9\n", "have more values than the first", ""),
        (OWN + "0,1,1\n0,1,1,9,9\n", "Expected 3 fields in line 3, saw 5", ""),
        (
            "arrival_s,prompt,output_tokens\n0,1,1\n",
            "no column prompt_tokens; there are arrival_s, prompt, output_tokens",
            ":1",
        ),
        ("", "The file is empty", ""),
        (OWN, "There is no request", ""),
        (OWN + "0,0,1\n", "No request of this trace", ""),
        (b"\xff\xfe\x00", "no text in UTF-8", ""),
        (AZURE + "yesterday,1,1\n", "TIMESTAMP: 'yesterday' is not a time", ":5"),
    ],
)
def test_a_mistake_is_named_with_its_line(file, text, words: str, line: str) -> None:
    with pytest.raises(LabError) as caught:
        read(file(text))
    assert words in caught.value.what
    assert caught.value.where == f"{file(text)}{line}"


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(LabError, match="No trace to read: No such file"):
        read(tmp_path / "day.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="was not written"):
        write(day(1, requests=5), tmp_path / "file" / "day.csv")
