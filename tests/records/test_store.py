"""Records are written whole or not at all, and read strictly."""

from __future__ import annotations

import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from llmlab.errors import LabError
from llmlab.records import store
from llmlab.records.schema import Machine, Noise, Plan, Record, Run, Sample, ServerInfo


@pytest.fixture
def record() -> Record:
    machine = Machine(
        cpu="c", cores=2, memory=2**33, system="Linux", python="3.11", llmlab="0.1", profile="laptop"
    )
    server = ServerInfo(
        command=["llama-server"],
        flags={"parallel": 4, "metrics": True, "lora": ["a", "b"]},
        engine="wheel",
        engine_version="x",
        model="tiny",
        model_sha256="0" * 64,
        model_parameters=None,
        model_bytes=1,
        slots=4,
        ctx_per_slot=1024,
        threads=1,
    )
    noise = Noise(
        foreign_cpu=None,
        server_cpu=None,
        client_cpu=0.1,
        lateness_p99=0.001,
        client_limited=False,
        noisy=False,
    )
    samples = [
        Sample(n=0, scheduled=0.0, sent=0.001, first=0.1, last=0.3, end=0.31, chunks=[0.1, 0.2, 0.3]),
        Sample(n=1, scheduled=0.0, sent=0.001, error="truncated"),
    ]
    run = Run(
        server=0,
        plan=Plan(pattern="closed", concurrency=2, requests=2),
        samples=samples,
        started="2026-10-01T00:00:00Z",
        wall=0.4,
        full=0.31,
        noise=noise,
    )
    return Record(
        kind="load",
        created="2026",
        machine=machine,
        servers=[server],
        runs=[run],
        versions={"python": "3.11"},
    )


def test_what_was_written_is_read_back(record: Record, tmp_path: Path) -> None:
    path = store.write(record, tmp_path / "new" / "folder" / "one.json")
    assert store.read(path) == record
    assert json.loads(path.read_text())["schema"] == "llmlab/record/1"


def test_nothing_but_the_record_is_left(record: Record, tmp_path: Path) -> None:
    store.write(record, tmp_path / "one.json")
    store.write(record, tmp_path / "one.json")
    assert [p.name for p in tmp_path.iterdir()] == ["one.json"]


def test_a_full_disk_is_said_and_the_old_record_stays(record: Record, tmp_path: Path) -> None:
    """The kernel refuses the bytes (RLIMIT_FSIZE), in a process of its own, as a full disk would."""
    path = tmp_path / "one.json"
    store.write(record, path)
    before = path.read_bytes()
    script = f"""
import resource, signal
from llmlab.errors import LabError
from llmlab.records import store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
record = store.read({str(path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, {resource.RLIM_INFINITY}))
try:
    store.write(record, {str(path)!r})
except LabError as problem:
    print(problem)
"""
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert "not written" in shown.stdout
    assert str(path) in shown.stdout
    assert "is unchanged" in shown.stdout
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one.json"]


def test_a_disk_that_fills_while_flushing(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filesystem with delayed allocation says so only at fsync."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("llmlab.system.paths.os.fsync", full)
    with pytest.raises(LabError, match="No space left on device"):
        store.write(record, tmp_path / "one.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(record: Record, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="not written"):
        store.write(record, tmp_path / "file" / "one.json")


def test_no_such_record(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"nowhere\.json"):
        store.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d["runs"][0]["samples"][1].update(sent="soon"), r"\$\.runs\[0\]\.samples\[1\]\.sent"),
        (lambda d: d["machine"].pop("cores"), r"cores.*\$\.machine"),
        (lambda d: d["runs"][0].update(speed=3), r"speed.*\$\.runs\[0\]"),
        (lambda d: d.update(schema="llmlab/record/99"), "llmlab/record/99"),
        (lambda d: d.pop("schema"), "missing"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(edit, says, record: Record, tmp_path: Path) -> None:
    document = json.loads(store.dumps(record))
    edit(document)
    path = tmp_path / "one.json"
    path.write_text(json.dumps(document))
    with pytest.raises(LabError, match=says) as caught:
        store.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'"text"'])
def test_what_is_no_record_at_all(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_bytes(damage)
    with pytest.raises(LabError, match=r"one\.json"):
        store.read(path)


def test_every_truncation_is_refused(record: Record) -> None:
    whole = store.dumps(record).rstrip()
    for cut in range(0, len(whole), 37):
        with pytest.raises(LabError):
            store.loads(whole[:cut])


def test_an_unmeasured_value_is_null_and_stays_so(record: Record) -> None:
    raw = msgspec.json.decode(store.dumps(record))
    assert raw["runs"][0]["noise"]["foreign_cpu"] is None
    assert store.loads(store.dumps(record)).runs[0].noise.foreign_cpu is None


def test_a_record_from_before_requests_had_lengths_of_their_own_is_read(record: Record) -> None:
    old = json.loads(store.dumps(record))
    for run in old["runs"]:
        del run["plan"]["each_prompt"], run["plan"]["each_reply"]
    assert store.loads(json.dumps(old).encode()) == record
