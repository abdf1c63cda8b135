"""Small words where a newcomer stumbled: a flag's spelling and kind, numbers there are none of, an answer that is not given."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import factory
import msgspec
import pytest

from llmlab import Lab, LabError
from llmlab.cli.main import main
from llmlab.load import noise as load_noise
from llmlab.serve import Server, Spec
from llmlab.show.measured import Measured
from llmlab.system import owned

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs/01-one-server", "solutions/01-one-server"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "labs/01-one-server")
    return Lab.here()


def test_a_flag_with_underscores_is_the_same_flag(lab):
    (lab.files / "server.toml").write_text("[flags]\nctx_size = 8192\napi_key_file = 'none.txt'\n")
    spec = Spec.read(lab.files / "server.toml")
    assert spec.flags["ctx-size"] == 8192
    assert str(spec.where("ctx-size")).endswith("server.toml, line 2")
    assert ("context", "8,192", "(nothing runs)") in Lab.show(_without_key(lab)).rows
    with pytest.raises(LabError, match="API key file") as caught:
        spec.api_key()
    assert "line 3" in caught.value.where


def _without_key(lab: Lab) -> Lab:
    path = lab.files / "server.toml"
    path.write_text(path.read_text().splitlines()[0] + "\nctx_size = 8192\n")
    return lab


@pytest.mark.needs("process")
def test_a_word_for_a_number_names_file_line_and_fix(lab):
    (lab.files / "server.toml").write_text('[flags]\nctx-size = 4096\nparallel = "four"\n')
    server = Server(Spec.read(lab.files / "server.toml"), port=0)
    with pytest.raises(LabError, match="parallel must be a number, not 'four'") as caught:
        _ = server.command
    assert caught.value.where.endswith("server.toml, line 3")
    assert caught.value.fix == "parallel = 4"
    (lab.files / "server.toml").write_text('[flags]\nparallel = "4"\n')
    assert "--parallel 4" in Server(Spec.read(lab.files / "server.toml"), port=0).command


def test_a_table_has_a_dash_where_nobody_was_answered_and_says_noisy_only_where_it_was():
    run = factory.run(concurrency=1)
    dead = [
        msgspec.structs.replace(sample, first=None, last=None, end=None, error="refused")
        for sample in run.samples
    ]
    measured = Measured(factory.record([msgspec.structs.replace(run, samples=dead)]))
    page = measured._repr_html_()
    assert "None" not in page
    assert "NaN" not in page
    assert "–" in page
    assert math.isnan(measured.table()["TTFT p50 ms"][0])
    assert "noisy" not in measured.table()
    noisy = msgspec.structs.replace(run, noise=factory.noise(noisy=True))
    assert list(Measured(factory.record([run, noisy])).table()["noisy"]) == ["", "noisy"]
    every = Measured(factory.record([noisy, noisy]))._repr_html_()
    assert "<th>noisy</th>" not in every
    assert "every run was noisy" in every


def test_an_answer_of_none_says_that_there_is_none(lab):
    assert repr(lab.answer(knee=None)) == "knee: no answer yet; put yours in the place of None"
    assert lab.answer(knee=4) is None


def test_a_hint_on_the_command_line_names_its_check(lab, capsys):
    assert main(["hint", "01"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "starts"
    assert second.startswith("Hint 1 of 3")


def test_a_noisy_run_names_the_other_notebooks_server(monkeypatch):
    def entry(label: str, pid: int, *, alive: bool = True) -> SimpleNamespace:
        return SimpleNamespace(label=label, owner_alive=alive, data={"owner": {"pid": pid}})

    server = "llama-server 20m on port 4321"
    found = [entry(server, os.getpid()), entry("load client", 1), entry("llama-server old", 1, alive=False)]
    monkeypatch.setattr(owned, "entries", lambda: found)
    assert load_noise._neighbours() == "", "one's own is not another's"
    found.append(entry(server, 1))
    assert load_noise._neighbours() == f" (running beside this: {server}, of another notebook or check)"
