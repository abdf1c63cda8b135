"""A submission is read without trusting it: what counts is taken, all else is named, nothing is followed or run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import stat
import struct
import sys
import tempfile
import time
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmlab.course.info import LabInfo, read_info
from llmlab.errors import LabError
from llmlab.records import store
from llmlab.records.schema import Machine, Record
from llmlab.submissions import pile, submission, zips
from llmlab.submissions.submission import Taken, take

TOML = (
    b"title='t'\nminutes=1\nobjectives=['o']\nneeds=[]\npoints=1\nartifacts=['server.toml','k8s/pod.yaml']\n"
)
SERVER, POD = b"[flags]\r\nparallel = 4\r\n", b"kind: Pod\n"
OLD, NEW = 1_700_000_000, 1_710_000_000
A = {"answer-knee": "lab.answer(knee=4)\n"}


def cell(name: str | None, source: object, *, kind: str = "code", tags: object = ()) -> dict:
    out = {"cell_type": kind, "metadata": {"tags": list(tags)} if tags else {}, "source": source}
    if name is not None:
        out["id"] = name
    return out | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def template() -> list[dict]:
    return [
        cell("objectives", "# What", kind="markdown"),
        cell("parameters", "seed = 0", tags=["parameters"]),
        cell("answer-knee", ["lab.answer(knee=None)\n"], tags=["answer"]),
        cell("answer-why", "lab.answer(why=None)", tags=["answer"]),
        cell("check", "lab.check()"),
    ]


def book(cells: list | None = None, **answers: str) -> bytes:
    cells = template() if cells is None else cells
    for part in cells:
        if isinstance(part, dict) and part.get("id") in answers:
            part["source"] = answers[part["id"]]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def filled() -> bytes:
    return book(**A)


def record(**more: object) -> bytes:
    machine = Machine(cpu="c", cores=2, memory=1, system="L", python="3", llmlab="0", profile="laptop")
    return store.dumps(
        Record(kind="load", created="2026", machine=machine, servers=[], runs=[], versions={}, **more)
    )


def full() -> dict[str, bytes]:
    return {
        "lab.ipynb": filled(),
        "server.toml": SERVER,
        "k8s/pod.yaml": POD,
        "records/20260101T000000000-load.json": record(),
    }


@pytest.fixture
def info(tmp_path: Path) -> LabInfo:
    folder = tmp_path / "course" / "labs" / "01-one"
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_bytes(TOML)
    (folder / "lab.ipynb").write_bytes(book())
    return read_info(folder)


@pytest.fixture
def read(info: LabInfo, tmp_path: Path):
    def run(path) -> Taken:
        into = tmp_path / "copies" / f"{time.monotonic_ns()}"
        return take(path, info, into)

    return run


@pytest.fixture
def lay(tmp_path: Path):
    """Write files into a folder of their own and return it."""

    def write(files: dict[str, bytes], name: str = "alice") -> Path:
        folder = tmp_path / "class" / name
        for path, data in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return write


def zipped(path: Path, files: dict[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def packed(files: dict[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def said(taken: Taken) -> str:
    return "\n".join(taken.remarks)


def copied(taken: Taken) -> dict[str, bytes]:
    return {
        str(p.relative_to(taken.folder)): p.read_bytes() for p in taken.folder.rglob("*") if not p.is_dir()
    }


# What is taken


def test_a_journal_beside_the_records_is_read_and_is_no_part_of_what_is_graded(read, lay, tmp_path):
    line = b'{"at":"2026-11-30T10:00:00+00:00","what":"gain","predicted":2,"observed":1.6}\n'
    without = read(lay(full()))
    files = full() | {"records/journal.jsonl": b"{" + line + line + b"x" * 5000 + b"\n" + line}
    for taken in (read(lay(files, "folder")), read(zipped(tmp_path / "j.zip", files))):
        assert [entry.words() for entry in taken.journal] == ["gain: you said 2, measured 1.6"] * 2
        assert (taken.remarks, taken.sha256) == ((), without.sha256)
        assert "records/journal.jsonl" not in copied(taken)
    large = read(lay(full() | {"records/journal.jsonl": line * 20_000}, "large"))
    assert large.journal == ()
    assert "journal.jsonl was not read: it is larger than 1 MiB" in said(large)


def test_a_folder_a_zip_and_a_nested_zip_say_the_same(read, lay, tmp_path):
    files = full()
    taken = [
        read(lay(files)),
        read(zipped(tmp_path / "a.zip", files)),
        read(zipped(tmp_path / "b.zip", {f"Zoë Müller, Jr/my lab/{n}": d for n, d in files.items()})),
        read(lay({"hand in.zip": packed(files)}, "moodle")),
        read(zipped(tmp_path / "c.zip", {"x/lab.zip": packed(files)})),
        read(lay({"up.zip": packed({"lab.zip": packed(files)})}, "twice")),
    ]
    for hand_in in taken:
        assert hand_in.artifacts == ("server.toml", "k8s/pod.yaml")
        assert hand_in.missing == {}
        assert hand_in.cells == A
        assert hand_in.remarks == ()
        assert hand_in.notebook.endswith("lab.ipynb")
        assert copied(hand_in) == {n: d for n, d in files.items() if n != "lab.ipynb"}
    assert {hand_in.sha256 for hand_in in taken} == {taken[0].sha256}
    changed = read(lay(files | {"server.toml": SERVER + b"#"}, "other"))
    assert changed.sha256 != taken[0].sha256
    assert read(lay(files | {"lab.ipynb": book()}, "third")).sha256 != taken[0].sha256


def test_a_lone_notebook_has_its_cells_and_no_artifacts(read, lay):
    taken = read(lay({"Zoë's lab (1).ipynb": filled()}) / "Zoë's lab (1).ipynb")
    assert taken.cells == A
    assert taken.artifacts == ()
    assert taken.missing == {"server.toml": "was not handed in", "k8s/pod.yaml": "was not handed in"}
    assert taken.notebook == "Zoë's lab (1).ipynb"
    assert copied(taken) == {}


def test_the_copy_is_ours(read, lay):
    folder = lay(full())
    (folder / "server.toml").chmod(0o4777)
    before = os.umask(0o077)
    try:
        taken = read(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((taken.folder / "server.toml").stat().st_mode) == 0o644
    assert (taken.folder / "server.toml").read_bytes() == SERVER  # line endings as they were


def test_several_files_of_one_learner_are_one_submission(info, lay, tmp_path):
    folder = lay({"m_1_2_lab-1.ipynb": filled(), "m_1_3_server.toml": SERVER, "k/pod.yaml": POD})
    parts = {
        "lab.ipynb": folder / "m_1_2_lab-1.ipynb",
        "server.toml": folder / "m_1_3_server.toml",
        "k8s": folder / "k",
    }
    taken = take(parts, info, tmp_path / "into")
    assert taken.artifacts == ("server.toml", "k8s/pod.yaml")
    assert taken.cells == A
    link = tmp_path / "link"
    link.symlink_to(folder / "m_1_3_server.toml")
    linked = take({"server.toml": link, "gone.toml": tmp_path / "gone"}, info, tmp_path / "into2")
    assert linked.missing["server.toml"] == "is a link"
    assert "gone.toml was not read: it cannot be opened" in said(linked)


def test_the_time_is_that_of_the_newest_that_was_taken(read, lay, tmp_path):
    folder = lay({**full(), "notes.txt": b"later"})
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    os.utime(folder / "server.toml", (NEW, NEW))
    os.utime(folder / "notes.txt", (NEW + 9, NEW + 9))
    assert read(folder).submitted == datetime.fromtimestamp(NEW, UTC)
    member = zipfile.ZipInfo("server.toml", (2024, 1, 2, 3, 4, 6))
    local = read(zipped(tmp_path / "local.zip", {member: SERVER})).submitted
    assert local == datetime(2024, 1, 2, 3, 4, 6).astimezone(UTC)
    member = zipfile.ZipInfo("server.toml", (2024, 1, 2, 3, 4, 6))
    member.extra = struct.pack("<HHBi", 0x5455, 5, 1, NEW)
    assert read(zipped(tmp_path / "utc.zip", {member: SERVER})).submitted == datetime.fromtimestamp(NEW, UTC)
    member = zipfile.ZipInfo("server.toml", (2024, 0, 0, 0, 0, 0))
    assert read(zipped(tmp_path / "none.zip", {member: SERVER})).submitted is None


def test_names_with_accents_and_old_zips(read, lay, tmp_path, info):
    (info.folder / "lab.toml").write_bytes(TOML.replace(b"server.toml", "größe.toml".encode()))
    info = read_info(info.folder)
    nfd = unicodedata.normalize("NFD", "größe.toml")
    for n, source in enumerate(
        (
            lay({nfd: SERVER}),
            zipped(
                tmp_path / "mac.zip", {f"Zoë/{nfd}": SERVER, f"__MACOSX/Zoë/._{nfd}": b"x", ".DS_Store": b"x"}
            ),
        )
    ):
        taken = take(source, info, tmp_path / "into" / str(n))
        assert taken.artifacts == ("größe.toml",)
        assert taken.remarks == ()
    # UTF-8 without the flag that says so, as the Mac's own zip writes it
    data = packed({"größe.toml": SERVER})
    data = data.replace(struct.pack("<HH", 20, 0x800), struct.pack("<HH", 20, 0))
    (tmp_path / "unflagged.zip").write_bytes(data)
    assert take(tmp_path / "unflagged.zip", info, tmp_path / "into" / "u").artifacts == ("größe.toml",)


# Which files


def test_artifacts_beside_the_notebook_come_first(read, lay):
    taken = read(lay({"server.toml": b"top", "work/lab.ipynb": filled(), "work/server.toml": SERVER}))
    assert copied(taken)["server.toml"] == SERVER
    assert "There are several server.toml that differ: work/server.toml was taken, not server.toml." in said(
        taken
    )


def test_without_a_notebook_the_shallowest_is_taken_and_copies_are_no_news(read, lay):
    taken = read(lay({"a/b/server.toml": b"deep", "x/server.toml": SERVER, "x/y/server.toml": SERVER}))
    assert copied(taken) == {"server.toml": SERVER}
    assert "not a/b/server.toml." in said(taken)
    assert "y/server" not in said(taken)


def test_another_case_is_taken_and_said(read, lay):
    taken = read(lay({"Server.TOML": SERVER}))
    assert taken.artifacts == ("server.toml",)
    assert "Server.TOML was taken as server.toml." in taken.remarks
    assert copied(taken) == {"server.toml": SERVER}
    folder = lay({"Server.TOML": b"other", "server.toml": SERVER}, "both")
    os.utime(folder / "server.toml", (OLD, OLD))
    both = read(folder)
    assert copied(both) == {"server.toml": SERVER}


def test_a_misnamed_artifact_is_pointed_out(read, lay):
    assert "server.toml.txt" in read(lay({"server.toml.txt": SERVER})).missing["server.toml"]


def test_folders_are_looked_into_to_a_depth(read, lay, tmp_path):
    six, seven = "a/b/c/d/e/f", "a/b/c/d/e/f/g"
    assert read(lay({f"{six}/server.toml": SERVER}, "six")).artifacts == ("server.toml",)
    deep = read(lay({f"{seven}/server.toml": SERVER}, "seven"))
    assert deep.artifacts == ()
    assert "deep were not looked into" in said(deep)
    assert read(zipped(tmp_path / "6.zip", {f"{six}/server.toml": SERVER})).artifacts == ("server.toml",)
    assert "deep were not" in said(read(zipped(tmp_path / "7.zip", {f"{seven}/server.toml": SERVER})))


def test_the_notebook_with_most_of_the_labs_cells_is_read(read, lay):
    some = book([cell("check", "lab.check()"), cell("answer-knee", "lab.answer(knee=9)", tags=["answer"])])
    taken = read(
        lay(
            {
                "lab.ipynb": some,
                "sub/My solution.ipynb": filled(),
                "other.ipynb": book([cell("x", "1")]),
                ".ipynb_checkpoints/lab-checkpoint.ipynb": book(**{"answer-knee": "lab.answer(knee=5)"}),
                "__MACOSX/lab.ipynb": b"x",
                "._lab.ipynb": b"x",
            }
        )
    )
    assert taken.notebook == "sub/My solution.ipynb"
    assert taken.cells == A
    assert 'There are several notebooks: "sub/My solution.ipynb" was read, not lab.ipynb.' in taken.remarks
    assert "other.ipynb has no cell of this lab: it was ignored." in taken.remarks
    assert "checkpoint" not in said(taken)
    assert "_lab" not in said(taken)


def test_of_equal_notebooks_the_shallowest_then_the_newest(read, lay):
    folder = lay(
        {
            "a.ipynb": book(**{"answer-knee": "old"}),
            "b.ipynb": book(**{"answer-knee": "new"}),
            "x/c.ipynb": filled(),
        }
    )
    for name, when in (("a.ipynb", OLD), ("b.ipynb", NEW), ("x/c.ipynb", NEW + 9)):
        os.utime(folder / name, (when, when))
    assert read(folder).cells == {"answer-knee": "new"}
    course = lay(
        {"labs/01/lab.ipynb": filled(), "solutions/01/lab.ipynb": book(**{"answer-knee": "new"})}, "course"
    )
    os.utime(course / "labs/01/lab.ipynb", (OLD, OLD))
    assert read(course).notebook == "labs/01/lab.ipynb"


def test_a_zip_is_opened_for_what_does_not_lie_outside(read, lay):
    inner = packed({"server.toml": b"inner", "lab.ipynb": filled()})
    taken = read(lay({"server.toml": SERVER, "old.zip": inner}))
    assert copied(taken) == {"server.toml": SERVER}
    assert taken.cells == A
    assert "old.zip/lab.ipynb was taken out of a zip." in taken.remarks
    assert (
        "There are several server.toml that differ: server.toml was taken, not old.zip/server.toml."
        in taken.remarks
    )
    taken = read(lay(full() | {"old.zip": inner}, "whole"))
    assert copied(taken)["server.toml"] == SERVER
    assert taken.remarks == ("old.zip was not opened: what counts lies outside it.",)
    # an untouched notebook outside is no answer
    assert (
        read(lay(full() | {"lab.ipynb": book(), "lab.ipynb.zip": packed({"lab.ipynb": filled()})}, "u")).cells
        == A
    )
    assert read(lay({"readme.txt": b"x", "sub/lab.zip": inner}, "b")).notebook == "sub/lab.zip/lab.ipynb"
    folder = lay({"lab.zip": inner}, "linked")
    (folder / "server.toml").symlink_to("/etc/passwd")
    taken = read(folder)
    assert copied(taken) == {"server.toml": b"inner"}
    assert "server.toml was not read: it is a link." in taken.remarks
    broken = read(lay({"lab.zip": inner[:-30]}, "c"))
    assert broken.artifacts == ()
    assert "lab.zip was not read: it is damaged, or no zip at all." in broken.remarks


# Cells


def test_the_rest_of_the_notebook_changes_nothing_and_is_mentioned(read, lay):
    cells = template()
    cells[0]["source"] = "# Mine"
    cells[1]["source"] = "seed = 0  \r\n"  # says the same
    cells[4]["source"] = "print('100 points')"
    del cells[0]
    cells += [cell("panel", "x"), cell("check", "lab.check()"), cell(None, "y")]
    taken = read(lay({"lab.ipynb": book(cells, **A)}))
    assert taken.cells == A
    assert set(taken.remarks) == {
        "The cell check was edited: the course's own copy was used.",
        "The cell objectives was deleted: the course's own copy was used.",
        "The cell check was duplicated: the course's own copy was used.",
        '2 cells were added (panel, "one without an id"): they were not used.',
    }


def test_of_a_duplicated_answer_the_first_that_was_filled_in(read, lay):
    cells = template()
    cells.insert(0, cell("answer-knee", "lab.answer(knee=None)"))
    cells += [cell("answer-knee", "first"), cell("answer-knee", "second")]
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {"answer-knee": "first"}
    assert (
        "The answer cell answer-knee is there 4 times: the first that was filled in counts." in taken.remarks
    )


def test_a_deleted_answer_is_said(read, lay):
    taken = read(lay({"lab.ipynb": book([part for part in template() if part["id"] != "answer-why"], **A)}))
    assert taken.cells == A
    assert (
        "The answer cell answer-why is not in the notebook, nor another cell that calls lab.answer(why=…): "
        "it counts as not filled in." in taken.remarks
    )


@pytest.mark.parametrize("ids", [None, "new"])
def test_lost_ids_are_mended_by_tag_and_order(read, lay, ids):
    cells = template()
    cells[2]["source"], cells[3]["source"] = "knee", "why"
    for n, part in enumerate(cells):
        part.pop("id")
        if ids:
            part["id"] = f"{ids}-{n}"
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {"answer-knee": "knee", "answer-why": "why"}
    assert taken.remarks == (
        "The answer cells answer-knee, answer-why lost their ids: found by their answer tags, in their order.",
    )
    cells[3]["metadata"] = {}
    assert read(lay({"lab.ipynb": book(cells)}, "two")).cells == {}


def test_an_answer_that_is_no_code_or_far_too_long_is_refused(read, lay):
    cells = template()
    cells[2]["source"] = "x" * (64 << 10)
    cells[3] |= {"cell_type": "markdown", "source": "because"}
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert list(taken.cells) == ["answer-knee"]
    assert "The answer cell answer-why was not taken: it was turned into a markdown cell." in taken.remarks
    cells[2]["source"] += "x"
    taken = read(lay({"lab.ipynb": book(cells)}, "b"))
    assert taken.cells == {}
    assert "The answer cell answer-knee was not taken: it is larger than 64 KiB." in taken.remarks
    cells[2]["source"] = "\ud800"
    assert "holds characters that are no text" in said(read(lay({"lab.ipynb": book(cells)}, "c")))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is not JSON"),
        (b"<<<<<<< HEAD\n{}", "is not JSON"),
        (filled()[:-9], "is not JSON"),
        (b"[]", "is not a notebook"),
        (b'{"cells": 3}', "is not a notebook"),
        (b'{"worksheets": []}', "is not a notebook"),
        (b'{"worksheets": [{"cells": []}]}', "nbformat 3"),
        (
            b'{"cells": [{"cell_type": "code", "source": {"a": 1}, "id": "check"}]}',
            "source of cell 1 is no text",
        ),
        (
            b'{"cells": [{"cell_type": "code", "source": ["a", 1], "id": "check"}]}',
            "source of cell 1 is no text",
        ),
        (b'{"cells": [7]}', "source of cell 1 is no text"),
        (
            b'{"cells": [{"cell_type": "code", "source": 7}]}' + b" " * (5 << 20),
            "cell 1 is none that Jupyter",
        ),
        (b'{"cells": [], "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"cells": [{"cell_type": "\xff", "source": ""}]}', "is not JSON"),
        (b'{"cells": [], "x": ' + b"9" * 9999 + b", NaN}", "is not JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_notebook_is_graded_on_its_artifacts(read, lay, data, why):
    taken = read(lay({"lab.ipynb": data, "server.toml": SERVER}))
    assert taken.artifacts == ("server.toml",)
    assert taken.cells == {}
    assert taken.notebook is None
    assert "lab.ipynb was not read: it is" in said(taken)
    assert why in said(taken)


def test_a_bom_and_what_pythons_json_writes_are_read(read, lay):
    assert read(lay({"lab.ipynb": b"\xef\xbb\xbf" + filled() + b" " * (5 << 20)})).cells == A
    cells = template()
    cells[4]["outputs"] = [{"data": {"application/json": [float("nan"), "\ud800"]}}]
    assert read(lay({"lab.ipynb": book(cells, **A)}, "nan")).cells == A


def test_a_notebook_over_the_limit_is_not_read(read, lay):
    taken = read(lay({"lab.ipynb": filled() + b" " * (32 << 20), "server.toml": SERVER}))
    assert "lab.ipynb was not read: it is larger than 32 MiB." in taken.remarks
    assert taken.artifacts == ("server.toml",)


def test_nonsense_in_a_notebook_becomes_no_objects(read, lay):
    """Thirty megabytes of empty lists would be a gigabyte of Python objects."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = filled()[:-1] + b', "x": [' + b"[]," * 9_000_000 + b"0]}"
    assert read(lay({"lab.ipynb": data})).cells == A
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (
        1 if sys.platform == "darwin" else 1024
    )
    assert grown < 300 << 20


# Notebooks from elsewhere


def strip_ids(cells: list, **metadata) -> list:
    for n, part in enumerate(cells):
        part.pop("id", None)
        part["metadata"] = {key: value.format(n) for key, value in metadata.items()}
    return cells


def test_colabs_ids_in_the_metadata(read, lay):
    cells = strip_ids(template(), id="Xy9Q{}")
    cells[2]["metadata"]["id"], cells[3]["metadata"]["id"] = "answer-knee", "answer-why"
    cells[2]["source"], cells[3]["source"] = "knee = 4", "lab.answer(why='slots')"
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {"answer-knee": "knee = 4", "answer-why": "lab.answer(why='slots')"}
    assert taken.remarks == (
        "The answer cells answer-knee, answer-why lost their ids: found by the ids in their metadata.",
    )


@pytest.mark.parametrize(
    "metadata", [{}, {"cell_id": "00{}-deepnote", "deepnote_cell_type": "code"}, {"_uuid": "k{}"}]
)
def test_without_ids_and_tags_an_answer_is_found_by_what_it_calls(read, lay, metadata):
    cells = strip_ids(template(), **metadata)
    cells[3]["source"] = "%time\nlab.answer(why=2 + 2)"
    cells.append(cell(None, "lab.answer(knee=3)") | {"id": "a"})
    cells.append(cell(None, "x = 1; lab.answer(knee=4)") | {"id": "b"})
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {
        "answer-knee": "x = 1; lab.answer(knee=4)",
        "answer-why": "%time\nlab.answer(why=2 + 2)",
    }
    assert "The answer cell answer-knee is there 2 times: the last one counts." in taken.remarks
    assert (
        "The answer cells answer-knee, answer-why lost their ids: found by their text (lab.answer(knee=…, why=…))."
        in taken.remarks
    )


def test_tags_in_another_order_are_told_apart_by_what_the_cells_call(read, lay):
    cells = template()
    cells[2:4] = [
        cell("new-why", "lab.answer(why='x')", tags=["answer"]),
        cell("new-knee", "lab.answer(knee=4)", tags=["answer"]),
        cell("newer", "lab.answer(other=4)", tags=["answer"]),
    ]
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {"answer-knee": "lab.answer(knee=4)", "answer-why": "lab.answer(why='x')"}
    assert "found by their answer tags." in said(taken)
    assert "1 cell was added (newer): it was not used." in taken.remarks


def test_an_answer_beside_the_cell_for_it_counts(read, lay):
    cells = template()
    cells.insert(3, cell("mine", "lab.answer(knee=4)"))
    taken = read(lay({"lab.ipynb": book(cells)}))
    assert taken.cells == {"answer-knee": "lab.answer(knee=4)"}
    assert (
        "The answer cell answer-knee is as it was handed out: another cell counts, found by its text (lab.answer(knee=…))."
        in taken.remarks
    )
    # a filled cell of its own stands against any other
    assert read(lay({"lab.ipynb": book(cells, **{"answer-knee": "lab.answer(knee=5)"})}, "b")).cells == {
        "answer-knee": "lab.answer(knee=5)"
    }
    # words and comments answer nothing
    cells[2]["source"] = "lab.answer(knee=None)"
    cells[3] |= {"cell_type": "markdown"}
    cells.append(cell("note", "# lab.answer(knee=4)\nprint('lab.answer(knee=4)')\nlab.answer(knee=None)"))
    assert read(lay({"lab.ipynb": book(cells)}, "c")).cells == {}


def test_an_invalid_notebook_is_mended_and_said(read, lay):
    cells = template()
    cells[2]["metadata"] = {"tags": "answer"}
    cells[3] |= {"metadata": None, "id": 7}
    cells[0]["source"] = None
    cells.append({"source": "lab.answer(why='x')", "outputs": []})
    cells.append("no cell")
    taken = read(lay({"lab.ipynb": book(cells, **A)}))
    assert taken.cells == A | {"answer-why": "lab.answer(why='x')"}
    assert (
        "lab.ipynb is no valid notebook (the source of cell 1 is no text, it was left out; the tags of cell 3 are no "
        "list of texts; cell 6 has no type, it was taken as code; and 1 more): it was read all the same."
    ) in taken.remarks


# What tools make of files and names


@pytest.mark.parametrize(
    "name",
    [
        "20261128231502_server.toml", "2026-11-28_23-15-02-server.toml", "20261128_server.toml", "server (1).toml",
        "server(12).toml", "Copy of server.toml", "Kopie von server.toml", "server - Kopie.toml", "server copy.toml",
        "SERVER - Copy (2).toml",
    ],
)  # fmt: skip
def test_a_renamed_file_is_taken_by_its_plain_name(read, lay, name):
    taken = read(lay({name: SERVER, "lab.ipynb": filled(), "k8s/pod.yaml": POD}))
    assert copied(taken)["server.toml"] == SERVER
    assert f"{name} was taken as server.toml." in said(taken).replace('"', "")
    exact = read(lay({name: SERVER, "server.toml": b"exact", "lab.ipynb": filled()}, "exact"))
    assert copied(exact)["server.toml"] == b"exact"
    assert name in said(exact)


@pytest.mark.parametrize(
    "name", ["my-server.toml", "server.toml.bak", "2026server.toml", "server2.toml", "12_server.toml"]
)
def test_what_is_only_alike_is_not_taken(read, lay, name):
    taken = read(lay({name: SERVER, "lab.ipynb": filled()}))
    assert "server.toml" in taken.missing
    assert name in said(taken)


def test_of_two_stamps_the_later_counts_whatever_the_disk_says(read, lay):
    folder = lay({
        "20261128234411_server.toml": SERVER, "20261128231502_server.toml": b"early", "k8s/pod.yaml": POD,
        "20261128234411_lab.ipynb": book(**{"answer-knee": "lab.answer(knee=4)"}),
        "20261128231502_lab.ipynb": book(**{"answer-knee": "lab.answer(knee=3)"}),
    })  # fmt: skip
    for path in folder.glob("*2344*"):
        os.utime(path, (OLD, OLD))
    taken = read(folder)
    assert copied(taken)["server.toml"] == SERVER
    assert taken.cells == A | {"answer-knee": "lab.answer(knee=4)"}
    assert (
        "There are several server.toml that differ: 20261128234411_server.toml was taken, not 20261128231502_server.toml."
        in taken.remarks
    )
    assert (
        "20261128231502_lab.ipynb answers answer-knee otherwise: 20261128234411_lab.ipynb counts, for it is newer."
        in taken.remarks
    )


def test_two_notebooks_that_answer_otherwise(read, lay):
    """An untouched copy never wins; a scratch pad does not win against the lab's notebook; the reason is told."""
    other = book([cell("a", "lab.answer(knee=3)"), cell("b", "1")])
    taken = read(lay({"lab.ipynb": book(), "deep/down/lab (1).ipynb": filled(), "Untitled.ipynb": other}))
    assert taken.cells == A
    assert taken.notebook == "deep/down/lab (1).ipynb"
    assert (
        'Untitled.ipynb answers answer-knee otherwise: "deep/down/lab (1).ipynb" counts, '
        "for it has more of the lab's cells." in taken.remarks
    )
    taken = read(
        lay(
            {
                "lab.ipynb": filled(),
                "Untitled.ipynb": other,
                ".~lab.ipynb": other,
                "Untitled1.ipynb": book([]),
            },
            "b",
        )
    )
    assert taken.notebook == "lab.ipynb"
    assert ".~lab" not in said(taken)
    assert "Untitled1.ipynb has no cell of this lab: it was ignored." in taken.remarks
    # more answers are worth more than more cells
    both = book([cell("a", "lab.answer(knee=4, why='x')")])
    taken = read(lay({"lab.ipynb": filled(), "Untitled.ipynb": both}, "c"))
    assert taken.cells == dict.fromkeys(("answer-knee", "answer-why"), "lab.answer(knee=4, why='x')")
    assert "Untitled.ipynb counts, for more of its answers are filled in." in said(taken)


def test_the_name_that_a_browser_gives_a_notebook(read, lay):
    for n, name in enumerate(
        ("lab.ipynb.txt", "lab.ipynb.json", "lab (1).ipynb", "20261128231507_lab.ipynb")
    ):
        assert read(lay({name: filled()}, str(n))).notebook == name


def test_what_a_tool_keeps_is_named_where_there_is_nothing_else(read, lay, tmp_path):
    files = {"server.toml": SERVER, ".ipynb_checkpoints/lab-checkpoint.ipynb": filled()}
    for taken in (read(lay(files)), read(zipped(tmp_path / "a.zip", files))):
        assert taken.cells == {}
        assert "What a tool keeps for itself does not count as a notebook: .ipynb_checkpoints" in said(taken)
    assert "checkpoint" not in said(read(lay(files | {"lab.ipynb": filled()}, "both")))


def test_nothing_is_lost_in_silence(read, lay):
    files = full() | {
        "notes.txt": b"x",
        "img/a.png": b"x",
        "more.zip": packed({"x": b""}),
        "records/a.txt": b"x",
    }
    taken = read(lay(files))
    assert set(taken.remarks) == {
        "more.zip was not opened: what counts lies outside it.",
        "notes.txt, img/a.png, records/a.txt are none of this lab's files: they were ignored.",
    }
    inner = packed({"lab.ipynb": filled(), "photo.jpg": b"x"})
    taken = read(lay({"server.toml": SERVER, "k8s/pod.yaml": POD, "lab.ipynb.zip": inner}, "zip"))
    assert taken.cells == A
    assert taken.remarks == (
        "lab.ipynb.zip/lab.ipynb was taken out of a zip.",
        "lab.ipynb.zip/photo.jpg is none of this lab's files: it was ignored.",
    )


# Records


def test_records_keep_to_their_schema(read, lay):
    files = {
        "records/good.json": record(),
        "records/forged.json": record().replace(b'"kind"', b'"points":99,"kind"'),
        "records/other.json": b'{"schema":"x"}',
        "records/deep.json": b'{"schema":"llmlab/record/1","kind":' + b"[" * 200_000,
        "records/big.json": record() + b" " * (8 << 20),
        "records/a;b.json": record(seed=1),
        "records/.hidden.json": record(),
        "records/more/x.json": record(),
        "elsewhere/records/y.json": record(),
        "z.json": record(),
        "records/notes.txt": b"x",
    }
    taken = read(lay({**files, "lab.ipynb": filled()}))
    got = copied(taken)
    assert got.pop("records/good.json") == record()
    assert list(got.values()) == [record(seed=1)]
    assert all("record-" in name for name in got)
    for name in ("forged", "other", "deep", "big"):
        assert f"records/{name}.json" in said(taken)
    assert "is not a record" in said(taken)
    assert "larger than 8 MiB" in said(taken)


def test_a_table_is_a_record_too_and_one_whose_rows_do_not_fit_is_none(read, lay):
    table = json.loads((Path(__file__).parents[2] / "solutions/14-capstone/records/costs.json").read_text())
    short = table | {"rows": [[1, 2]]}
    files = {
        "records/costs.json": json.dumps(table).encode(),
        "records/short.json": json.dumps(short).encode(),
    }
    taken = read(lay({**files, "lab.ipynb": filled()}))
    assert copied(taken) == {"records/costs.json": files["records/costs.json"]}
    assert "a row has not one value for each column" in said(taken)


def test_the_newest_fifty_records_are_taken(read, lay):
    taken = read(lay({f"records/{n:03}.json": record(seed=n) for n in range(53)}))
    assert sorted(copied(taken)) == [f"records/{n:03}.json" for n in range(3, 53)]
    assert "There are 53 records: the newest 50 were taken." in taken.remarks


# Refused


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret" / "server.toml"
    path.parent.mkdir()
    path.write_bytes(b"secret")
    return path


def test_links_are_not_followed(read, lay, secret):
    folder = lay({"lab.ipynb": filled(), "k8s/pod.yaml": POD})
    (folder / "server.toml").symlink_to(secret)
    (folder / "records").symlink_to(secret.parent, target_is_directory=True)
    taken = read(folder)
    assert taken.missing == {"server.toml": "is a link"}
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert "server.toml" in said(taken)
    assert "records" in said(taken)
    assert "each is a link." in said(taken)
    folder = lay({"lab.ipynb": filled()}, "bob")
    (folder / "k8s").symlink_to(secret.parent, target_is_directory=True)
    (secret.parent / "pod.yaml").write_bytes(b"secret")
    assert read(folder).artifacts == ()
    folder = lay({"server.toml": SERVER}, "hard")
    os.link(folder / "server.toml", folder / "hard.toml")
    assert read(folder).artifacts == ("server.toml",)


def test_a_link_instead_of_a_submission_is_refused_by_name(read, lay, tmp_path):
    for name, target in (("carol", lay(full())), ("carol.zip", zipped(tmp_path / "a.zip", full()))):
        link = tmp_path / name
        link.symlink_to(target)
        with pytest.raises(LabError, match=rf"{name} is a link") as caught:
            read(link)
        assert caught.value.where
        assert caught.value.fix


def test_what_became_a_link_after_it_was_listed_is_not_read(read, lay, secret, monkeypatch):
    folder = lay({"server.toml": SERVER, "k8s/pod.yaml": POD})
    (secret.parent / "pod.yaml").write_bytes(b"secret")
    original = submission._Found.search.__func__

    def swap(cls, *args):
        (folder / "server.toml").unlink()
        (folder / "server.toml").symlink_to(secret)
        shutil.rmtree(folder / "k8s")
        (folder / "k8s").symlink_to(secret.parent, target_is_directory=True)
        return original(cls, *args)

    monkeypatch.setattr(submission._Found, "search", classmethod(swap))
    taken = read(folder)
    assert taken.missing == {"server.toml": "is a link", "k8s/pod.yaml": "is a link"}


def test_what_grew_after_it_was_listed_is_not_read_to_its_end(read, lay, monkeypatch):
    folder = lay({"server.toml": SERVER, "k8s/pod.yaml": POD})
    original = submission._Found.search.__func__

    def grow(cls, *args):
        (folder / "server.toml").write_bytes(b"#" * (2 << 20))
        return original(cls, *args)

    monkeypatch.setattr(submission._Found, "search", classmethod(grow))
    taken = read(folder)
    assert taken.missing == {"server.toml": "is larger than 1 MiB"}
    assert taken.artifacts == ("k8s/pod.yaml",)


@pytest.mark.timeout(10)
def test_pipes_sockets_and_devices_are_never_opened(read, lay, tmp_path):
    import socket

    folder = lay({"k8s/pod.yaml": POD})
    os.mkfifo(folder / "server.toml")
    os.mkfifo(folder / "lab.ipynb")
    os.mkfifo(folder / "a.zip")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        try:
            one.bind("sock")
        finally:
            os.chdir(here)
        taken = read(folder)
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert taken.missing == {"server.toml": "is a device, a pipe or a socket"}
    assert "sock" in said(taken)
    os.mkfifo(tmp_path / "dave.zip")
    with pytest.raises(LabError, match=r"dave.zip is a device, a pipe or a socket"):
        read(tmp_path / "dave.zip")
    with pytest.raises(LabError, match="null is a device"):
        read(Path("/dev/null"))


@pytest.mark.timeout(20)
def test_huge_files_are_named_with_their_size_and_not_read(read, lay, tmp_path):
    folder = lay({"k8s/pod.yaml": POD, "server.toml": b""})
    for name in ("server.toml", "model.gguf", "lab.zip"):
        with (folder / name).open("wb") as file:
            file.truncate(2 << 30)
    taken = read(folder)
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert taken.missing["server.toml"] == "has 2.0 GiB, more than the 100 MiB that are looked at"
    assert "model.gguf" in said(taken)
    assert "lab.zip" in said(taken)
    with pytest.raises(LabError, match=r"lab.zip has 2.0 GiB"):
        read(folder / "lab.zip")
    sparse = tmp_path / "half.zip"
    with sparse.open("wb") as file:
        file.truncate(500 << 20)
    with pytest.raises(LabError, match="damaged, or no zip"):
        read(sparse)
    over = read(lay({"server.toml": b"#" * ((1 << 20) + 1)}, "over"))
    assert over.missing["server.toml"] == "is larger than 1 MiB"
    assert read(lay({"server.toml": b"#" * (1 << 20)}, "just")).artifacts == ("server.toml",)


@pytest.mark.parametrize(
    "name",
    ["../server.toml", "a/../../server.toml", "/server.toml", "C:server.toml", "C:\\x\\server.toml", "\\server.toml",
     "..\\server.toml", "a\\..\\server.toml", "a\\../server.toml", "\\\\host\\server.toml", ".\\..\\server.toml",
     ".\\\\host\\server.toml", ".\\C:\\server.toml"],
)  # fmt: skip
def test_names_that_lead_out_are_refused_by_name(read, tmp_path, name):
    before = set(tmp_path.rglob("*"))
    taken = read(zipped(tmp_path / "a.zip", {name: b"out", "k8s/pod.yaml": POD}))
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert "leads out of the submission" in taken.missing["server.toml"] + said(taken)
    assert name.replace("\\", "/").removeprefix("./") in said(taken)
    after = {p for p in set(tmp_path.rglob("*")) - before if not p.is_dir()}
    assert after == {tmp_path / "a.zip", taken.folder / "k8s" / "pod.yaml"}


def test_backslashes_of_an_old_windows_zip_are_folders(read, tmp_path):
    files = {f"my lab\\{name}".replace("/", "\\"): data for name, data in full().items()}
    files |= {"my lab\\": b"", ".\\my lab\\.hidden\\lab.ipynb": b"x", "__MACOSX\\lab.ipynb": b"x"}
    taken = read(zipped(tmp_path / "a.zip", files))
    assert taken.artifacts == ("server.toml", "k8s/pod.yaml")
    assert taken.cells == A
    assert taken.remarks == ()
    assert taken.notebook == "my lab/lab.ipynb"
    assert copied(taken) == {name: data for name, data in full().items() if name != "lab.ipynb"}
    deep = read(zipped(tmp_path / "7.zip", {"a\\b\\c\\d\\e\\f\\g\\server.toml": SERVER}))
    assert "deep were not looked into" in said(deep)


def test_a_nul_in_a_name_hides_nothing(read, tmp_path):
    data = packed({"server.tomlX.exe": b"out", "k8s/pod.yaml": POD})
    (tmp_path / "a.zip").write_bytes(data.replace(b"server.tomlX", b"server.toml\0"))
    taken = read(tmp_path / "a.zip")
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert "leads out of the submission" in said(taken)


def test_links_and_devices_in_zips_are_refused(read, tmp_path):
    link, pipe = zipfile.ZipInfo("server.toml"), zipfile.ZipInfo("pipe")
    link.create_system = pipe.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pipe.external_attr = (stat.S_IFIFO | 0o666) << 16
    taken = read(zipped(tmp_path / "a.zip", {link: b"/etc/passwd", pipe: b"", "k8s/pod.yaml": POD}))
    assert taken.missing == {"server.toml": "is a link"}
    assert "pipe was not read: it is a device, a pipe or a socket." in taken.remarks
    assert taken.artifacts == ("k8s/pod.yaml",)


@pytest.mark.timeout(30)
def test_bombs_are_refused_by_name(read, lay, tmp_path):
    bomb = packed({"server.toml": bytes(20 << 20), "k8s/pod.yaml": POD})
    (tmp_path / "a.zip").write_bytes(bomb)
    taken = read(tmp_path / "a.zip")
    assert taken.missing["server.toml"].startswith("is a zip bomb (20 MiB packed into")
    assert "server.toml was not read: it is a zip bomb" in said(taken)
    assert taken.artifacts == ("k8s/pod.yaml",)
    nested = packed({f"{n}.zip": packed({"x": bytes(5 << 20)}) for n in range(20)})
    assert "zip bomb" in said(read(lay({"a.zip": nested}, "nested")))


def test_a_size_that_lies_is_no_way_round_the_limits(read, tmp_path):
    data = packed({"server.toml": bytes(20 << 20), "k8s/pod.yaml": POD})
    lie = data.replace(struct.pack("<I", 20 << 20), struct.pack("<I", 1000))
    assert lie != data
    (tmp_path / "a.zip").write_bytes(lie)
    taken = read(tmp_path / "a.zip")
    assert taken.missing["server.toml"] == "is damaged: it cannot be read to its end"
    assert taken.artifacts == ("k8s/pod.yaml",)
    assert "server.toml" in said(taken)


def test_what_is_packed_without_a_bound_is_not_unpacked(read, tmp_path):
    for n, how in enumerate((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
        taken = read(zipped(tmp_path / f"{n}.zip", {"server.toml": SERVER}, how))
        assert "use an ordinary zip" in taken.missing["server.toml"]


def test_overlapping_members_do_no_harm(read, tmp_path):
    """One packed megabyte that a thousand names point at."""
    data = packed({"server.toml": b"#" * 1000})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    lies = b"".join(
        entry.replace(b"server.toml", f"{n:04}r.toml".encode().rjust(11, b"x")) for n in range(500)
    )
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 501, 501, len(entry) + len(lies), start, 0)
    (tmp_path / "a.zip").write_bytes(data[:start] + lies + entry + tail)
    taken = read(tmp_path / "a.zip")
    # Newer Pythons, and Debian's, refuse to read such a member.
    assert taken.artifacts == ("server.toml",) or "server.toml" in taken.missing


@pytest.mark.timeout(60)
def test_endless_lists_of_files_are_cut(read, lay, tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "MAX_MEMBERS", 100)
    files = {f"deep/{n}": b"" for n in range(200)} | {"server.toml": SERVER, "z/k8s/pod.yaml": POD}
    taken = read(zipped(tmp_path / "a.zip", files))
    assert taken.artifacts == ("server.toml",)
    assert "More than 100 files in a zip" in said(taken)
    monkeypatch.setattr(zips, "MAX_LIST", 1000)
    with pytest.raises(LabError, match="holds far too many files"):
        read(tmp_path / "a.zip")
    monkeypatch.setattr(pile, "MAX_ENTRIES", 100)
    taken = read(lay(files))
    assert taken.artifacts == ("server.toml",)
    assert "More than 100 files" in said(taken)


def test_only_so_much_is_read_in_all(read, lay, monkeypatch):
    monkeypatch.setattr(pile, "MAX_READ", 40_000)
    monkeypatch.setattr(pile, "SPARE", 10_000)
    many = {f"{n}.ipynb": filled() + b" " * 12_000 for n in range(9)}
    taken = read(lay({**many, "server.toml": SERVER}))
    assert taken.artifacts == ("server.toml",)
    assert taken.cells == A
    assert "read of one submission" in said(taken)


def test_remarks_stay_few_and_printable(read, lay):
    folder = lay({"server.toml": SERVER})
    for n in range(300):
        (folder / f"link {n}").symlink_to("/etc/passwd")
    (folder / "a\x1b[31m\n\u202eb").symlink_to("/")
    os.symlink("/", os.fsencode(folder) + b"/\xff.toml")
    for n in range(100):
        with (folder / f"{n}.bin").open("wb") as file:
            file.truncate((200 + n) << 20)
    taken = read(folder)
    assert len(taken.remarks) <= 41
    assert "and 297 more were not read: each is a link." in said(taken)
    assert "\x1b" not in said(taken)
    assert "\u202e" not in said(taken)
    said(taken).encode()


@pytest.mark.parametrize("name", ["pod.yaml", "k8s_pod.yaml", "20261128231502_pod.yaml", "pod (1).yaml"])
def test_a_file_out_of_its_folder_is_taken_where_an_lms_has_none(read, lay, name):
    taken = read(lay({"server.toml": SERVER, name: POD, "lab.ipynb": filled()}))
    assert copied(taken) == {"server.toml": SERVER, "k8s/pod.yaml": POD}
    assert f"{name} was taken as k8s/pod.yaml." in said(taken).replace(chr(34), "")
    in_place = {"server.toml": SERVER, name: b"other", "k8s/pod.yaml": POD, "lab.ipynb": filled()}
    assert copied(read(lay(in_place, "both")))["k8s/pod.yaml"] == POD
    elsewhere = {"server.toml": SERVER, f"old/{name}": POD, "lab.ipynb": filled()}
    assert read(lay(elsewhere, "elsewhere")).missing["k8s/pod.yaml"].startswith("was not handed in")
    inside = {"mine/server.toml": SERVER, f"mine/{name}": POD, "mine/lab.ipynb": filled()}
    assert copied(read(lay(inside, "inside")))["k8s/pod.yaml"] == POD


@pytest.mark.skipif(
    not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs root to become someone else"
)
def test_what_may_not_be_opened_is_named(read, lay, tmp_path):
    folder = lay({"server.toml": SERVER, "k8s/pod.yaml": POD, "lab.ipynb": filled()})
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies").chmod(0o777)
    private = [path for path in (tmp_path, *tmp_path.parents) if path.is_relative_to(tempfile.gettempdir())]
    above = {path: stat.S_IMODE(path.stat().st_mode) for path in private[:-1]}  # as many as pytest made
    (folder / "server.toml").chmod(0)
    (folder / "k8s").chmod(0)
    for path in above:
        path.chmod(0o755)
    os.seteuid(65534)
    try:
        taken = read(folder)
    finally:
        os.seteuid(0)
        for path, mode in above.items():
            path.chmod(mode)
    assert taken.missing["server.toml"] == "cannot be opened (Permission denied)"
    assert taken.cells == A
    assert "k8s" in said(taken)


# Nothing at all


def test_errors_say_what_where_and_what_to_do(read, lay, tmp_path):
    (tmp_path / "note.pdf").write_bytes(b"%PDF")
    (tmp_path / "rar.zip").write_bytes(b"Rar!\x1a\x07\x00" * 20)
    zipped(tmp_path / "none.zip", {})
    zipped(tmp_path / "dirs.zip", {"a/": b"", "__MACOSX/x": b""})
    locked = packed({"server.toml": SERVER, "lab.ipynb": filled()})
    locked = locked.replace(struct.pack("<HH", 20, 0), struct.pack("<HH", 20, 1))
    (tmp_path / "locked.zip").write_bytes(locked)
    (tmp_path / "cut.zip").write_bytes(packed(full())[:-30])
    for path, what in (
        (tmp_path / "nowhere", "nowhere cannot be read: No such file"),
        (tmp_path / "note.pdf", "note.pdf is no folder, zip or notebook"),
        (tmp_path / "rar.zip", "rar.zip is damaged, or no zip at all"),
        (tmp_path / "cut.zip", "cut.zip is damaged, or no zip at all"),
        (tmp_path / "none.zip", "none.zip holds no files"),
        (tmp_path / "dirs.zip", "dirs.zip holds no files"),
        (tmp_path / "locked.zip", "locked.zip is protected by a password"),
        (lay({}), "alice is empty"),
        (lay({".DS_Store": b"x"}, "mac"), "mac is empty"),
    ):
        with pytest.raises(LabError) as caught:
            read(path)
        assert caught.value.what.startswith(what)
        assert caught.value.where == str(path)
        assert "notebook" in caught.value.fix
    assert not (tmp_path / "copies").exists()


def test_a_zip_without_its_name_is_a_zip(read, tmp_path):
    assert read(zipped(tmp_path / "alice", full())).cells == A


def test_one_locked_file_leaves_the_rest(read, tmp_path):
    data = packed({"server.toml": SERVER, "k8s/pod.yaml": POD})
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.index(mark) + (6 if mark[2] == 3 else 8)
        data = data[:at] + b"\x01\x00" + data[at + 2 :]
    (tmp_path / "a.zip").write_bytes(data)
    taken = read(tmp_path / "a.zip")
    assert taken.missing == {"server.toml": "is protected by a password"}
    assert taken.artifacts == ("k8s/pod.yaml",)


def test_the_copy_needs_an_empty_folder_and_the_lab_its_notebook(info, lay, tmp_path):
    folder = lay(full())
    (tmp_path / "into").mkdir()
    take(folder, info, tmp_path / "into")
    with pytest.raises(LabError, match="empty folder"):
        take(folder, info, tmp_path / "into")
    (info.folder / "lab.ipynb").write_bytes(b"{")
    with pytest.raises(LabError, match="The lab's own notebook is not JSON"):
        take(folder, info, tmp_path / "again")


def test_a_lab_without_artifacts_or_answers(info, lay, tmp_path):
    (info.folder / "lab.toml").write_bytes(TOML.replace(b"'server.toml','k8s/pod.yaml'", b""))
    (info.folder / "lab.ipynb").write_bytes(book([cell("check", "lab.check()")]))
    taken = take(lay(full()), read_info(info.folder), tmp_path / "into")
    assert (taken.artifacts, taken.missing, taken.cells) == ((), {}, {})


# Whatever comes


def outside(tmp_path: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*")):
        if "copies" not in path.parts and path.stem != "mutant":
            state.update(f"{path} {path.lstat().st_mode}".encode())
            state.update(path.read_bytes() if path.is_file() else b"")
    return state.hexdigest()


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out))
        match rng.randrange(5):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + rng.randint(1, 40)]
            case 2:
                out[at:at] = rng.randbytes(rng.randint(1, 40))
            case 3:
                out[at:at] = out[at : at + rng.randint(1, 200)]
            case 4:
                out[at : at + 4] = rng.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"../.", b"null", b"[[[[", b"PK\1\2"]
                )
        if not out:
            break
    return bytes(out)


def reshaped(data: bytes, rng: random.Random) -> bytes:
    """Still JSON, but with something of the wrong kind, twice or gone."""
    whole = json.loads(data)
    where = rng.choice(
        [whole, *whole["cells"], *whole["cells"], *(part["metadata"] for part in whole["cells"])]
    )
    key = rng.choice([*where, "id", "tags", "source"])
    odd = [
        None,
        7,
        -1e308,
        "",
        "answer-knee",
        [],
        [[]],
        {},
        {"a": []},
        ["answer"],
        ["x", "y"],
        True,
        "\ud800",
        [None],
    ]
    match rng.randrange(3):
        case 0:
            where[key] = rng.choice(odd)
        case 1:
            where.pop(key, None)
        case 2:
            whole["cells"] = rng.choices(whole["cells"], k=rng.randrange(9))
    return json.dumps(whole).encode()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["notebook", "zip"])
def test_two_hundred_mutations_end_well(read, tmp_path, kind):
    rng = random.Random(20260101)
    data = filled() if kind == "notebook" else packed({f"Zoë/{n}": d for n, d in full().items()})
    folder = tmp_path / "mutants"
    folder.mkdir()
    before = outside(tmp_path)
    ends: dict[str, int] = {}
    for _ in range(200):
        path = folder / ("mutant.ipynb" if kind == "notebook" else "mutant.zip")
        change = reshaped if kind == "notebook" and rng.random() < 0.5 else mutated
        path.write_bytes(change(data, rng))
        source = {"lab" + path.suffix: path} if rng.random() < 0.5 else path
        begun = time.perf_counter()
        try:
            taken = read(source)
        except LabError:
            ends["refused"] = ends.get("refused", 0) + 1
        else:
            assert all(
                name in ("server.toml", "k8s/pod.yaml") or name.startswith("records/")
                for name in copied(taken)
            )
            assert set(taken.cells) <= {"answer-knee", "answer-why"}
            said(taken).encode()
            end = "taken" if taken.cells or taken.artifacts else "nothing"
            ends[end] = ends.get(end, 0) + 1
        assert time.perf_counter() - begun < 5
    assert outside(tmp_path) == before
    # else the mutations were too weak, or too strong, to say anything
    assert ends["taken"] > 20, ends
    assert 200 - ends["taken"] > 20, ends
