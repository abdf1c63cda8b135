"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parents[1]


def llmlab(*words: str, cwd: Path = COURSE, **env: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "llmlab", *words]
    return subprocess.run(
        line, cwd=cwd, env=os.environ | env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_help_names_every_verb_and_imports_nothing_heavy():
    done = llmlab("--help")
    assert done.returncode == 0
    for verb in ("doctor", "labs", "check", "hint", "reset", "engine", "models", "fetch", "clean", "author"):
        assert f" {verb} " in done.stdout
    code = "import sys, llmlab.cli.main; llmlab.cli.main._parser(); print(*(set(sys.modules) & {'numpy', 'pandas', 'matplotlib', 'httpx', 'rich', 'IPython', 'psutil'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.split() == []


def test_doctor_is_json_with_a_mending_command_for_all_that_is_missing():
    report = json.loads(llmlab("doctor", "--json").stdout)
    assert {need["name"] for need in report["needs"]} >= {"process", "docker", "gpu", "browser"}
    assert all(need["met"] or need["mend"] for need in report["needs"])
    assert any(engine["found"] for engine in report["engines"])


def test_engine_and_models_and_labs_are_json():
    assert json.loads(llmlab("engine", "--json").stdout)["chosen"]["argv"]
    assert {model["name"] for model in json.loads(llmlab("models", "--json").stdout)} >= {
        "tiny",
        "20m",
        "200m",
        "smollm2",
    }
    labs = json.loads(llmlab("labs", "--json").stdout)
    assert [lab["lab"] for lab in labs][:3] == ["00", "01", "02"]


@pytest.mark.parametrize("words", [("engine",), ("models",), ("labs",), ("doctor",)])
def test_tables_are_readable_in_a_narrow_terminal(words):
    done = llmlab(*words, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 140


def test_an_unknown_lab_names_the_nearest():
    done = llmlab("check", "one-servr")
    assert done.returncode == 1
    assert "one-server" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_where_json_was_asked_for():
    done = llmlab("check", "77", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["fix"]


def test_outside_a_course_it_says_where_it_looked(tmp_path):
    done = llmlab("labs", cwd=tmp_path, LLMLAB_COURSE=str(tmp_path))
    assert done.returncode == 0  # a course without labs is an empty table, not a traceback
    assert "Traceback" not in done.stderr


def test_hint_gives_one_step_at_a_time(tmp_path):
    import shutil

    for name in ("labs", "solutions"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=shutil.ignore_patterns(".llmlab", "records"))
    first, second = (llmlab("hint", "01", "slots", LLMLAB_COURSE=str(tmp_path)).stdout for _ in range(2))
    assert "Hint 1 of 3" in first
    assert "Hint 2 of 3" not in first
    assert "Hint 2 of 3" in second
    (tmp_path / "labs/01-one-server/server.toml").write_text("# mine\n")
    assert llmlab("reset", "01", LLMLAB_COURSE=str(tmp_path)).returncode == 0
    assert "ctx-size" in (tmp_path / "labs/01-one-server/server.toml").read_text()


def test_clean_lists_and_ends_only_what_is_registered(tmp_path):
    code = (
        "import subprocess, sys, psutil; from llmlab.system import owned\n"
        "p = subprocess.Popen(['sleep', '60'], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "owned.register('process', 'left behind', pid=p.pid, start=psutil.Process(p.pid).create_time()); print(p.pid)"
    )
    env = {"LLMLAB_STATE": str(tmp_path)}
    pid = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=os.environ | env, capture_output=True, text=True
    )
    listed = llmlab("clean", "--list", **env)
    assert "left behind" in listed.stdout
    assert Path(f"/proc/{pid.stdout.strip()}").exists() or sys.platform == "darwin"
    ended = json.loads(llmlab("clean", "--json", **env).stdout)
    assert [ending["what"] for ending in ended["ended"]] == ["left behind"]
    assert llmlab("clean", "--list", **env).stdout == "nothing is running\n"
