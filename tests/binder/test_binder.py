"""Binder's files: read as repo2docker reads them, held to what it does not check, and run for real (--full)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINDER = ROOT / "binder"
COURSE = ("binder", "data", "labs", "llmlab", "solutions", "pyproject.toml", "README.md", "LICENSE")


def code(name: str) -> list[str]:
    """The lines of a script that do something."""
    return [
        line for line in (BINDER / name).read_text().splitlines() if line.strip() and not line.startswith("#")
    ]


def test_apt_names_are_names() -> None:
    names = [n for n in (BINDER / "apt.txt").read_text().split("\n") if n and not n.startswith("#")]
    assert names
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names), names


@pytest.mark.parametrize("name", ["fill", "postBuild", "start"])
def test_scripts_stop_at_the_first_error_and_can_run(name: str) -> None:
    path = BINDER / name
    assert path.read_text().startswith("#!/bin/bash\n")
    assert code(name)[0] == "set -euo pipefail"
    assert os.access(path, os.X_OK)
    assert b"\r" not in path.read_bytes()
    subprocess.run(["bash", "-n", path], check=True)


def test_one_binder_folder_and_nothing_that_outranks_it() -> None:
    assert not (ROOT / ".binder").exists()  # both together: repo2docker refuses
    # A Dockerfile wins over everything else here, so there is nothing that seems to be heard and is not.
    assert sorted(path.name for path in BINDER.iterdir()) == [
        "Dockerfile",
        "Dockerfile.dockerignore",
        "apt.txt",
        "fill",
        "postBuild",
        "start",
    ]
    for name in ("apt.txt", "fill", "start"):
        assert f"binder/{name}" in (BINDER / "Dockerfile").read_text()


def test_the_devcontainer_takes_the_same_steps() -> None:
    """Held to what its readers need; `devcontainer read-configuration` and a build of it were run by hand."""
    config = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    folder = ROOT / ".devcontainer"
    dockerfile = folder / config["build"]["dockerfile"]
    assert (folder / config["build"]["context"]).resolve() == ROOT
    assert "COPY binder/apt.txt" in dockerfile.read_text()
    assert os.access(ROOT / config["updateContentCommand"], os.X_OK)
    command, *options = config["postAttachCommand"].split()
    assert command == "llmlab"
    assert options == ["--no-browser", "--port", str(config["forwardPorts"][0])]


def run_start(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    known = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BINDER_", "LLMLAB_PROFILE"))
    }
    return subprocess.run([BINDER / "start", *command], env=known | more, capture_output=True, text=True)


@pytest.mark.parametrize("variable", ["BINDER_REF_URL", "BINDER_SERVICE_HOST", ""])
def test_start_says_where_it_is(variable: str) -> None:
    show = "import os; print(os.environ.get('LLMLAB_PROFILE', 'found'), os.environ['JUPYTER_CONFIG_PATH'])"
    done = run_start(sys.executable, "-c", show, **({variable: "https://example.org"} if variable else {}))
    profile, config = done.stdout.split()
    assert profile == ("binder" if variable else "found")
    assert config.split(":")[0] == str(ROOT / "llmlab" / "jupyter")


def test_start_hands_over_to_the_command_it_is_given() -> None:
    assert code("start")[-1] == 'exec "$@"'
    process = subprocess.Popen(
        [BINDER / "start", sys.executable, "-c", "import os; print(os.getpid(), os.getcwd())"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    out, _ = process.communicate(timeout=30)
    assert out.split() == [str(process.pid), str(ROOT)]  # the same process: signals reach the server
    assert run_start("sh", "-c", "exit 7").returncode == 7


def test_repo2docker_takes_the_dockerfile(tmp_path: Path) -> None:
    pytest.importorskip("repo2docker", reason="repo2docker is missing: uv sync (it is in the dev group)")
    repo = tmp_path / "repo"
    repo.mkdir()
    shutil.copytree(BINDER, repo / "binder")
    shutil.copy(ROOT / "pyproject.toml", repo)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "repo2docker",
            "--no-build",
            "--debug",
            "--user-id",
            "1000",
            "--user-name",
            "jovyan",
            repo,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere"},
    )
    out = done.stdout + done.stderr
    assert done.returncode == 0, out
    assert (BINDER / "Dockerfile").read_text().strip() in out, out
    # What BinderHub asks of a Dockerfile: its two arguments, a user who is not root, JupyterHub's server.
    text = (BINDER / "Dockerfile").read_text()
    assert "ARG NB_USER" in text
    assert "ARG NB_UID" in text
    assert "--group hub" in text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What Binder's image would hold: a clone, a home, an environment in which postBuild has run."""
    base = tmp_path_factory.mktemp("binder")
    home = base / "home"
    repo = home / "repo"
    repo.mkdir(parents=True)
    work = shutil.ignore_patterns(
        "__pycache__", ".llmlab", "records", ".ipynb_checkpoints"
    )  # what learners leave
    caches = shutil.ignore_patterns("__pycache__")
    for part in COURSE:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, repo / part, ignore=work if part in ("labs", "solutions") else caches)
        elif source.exists():
            shutil.copy(source, repo / part)
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True)
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("LLMLAB_", "XDG_", "VIRTUAL_ENV", "PYTHON"))
    }
    environment = {**kept, "HOME": str(home), "PATH": f"{base / 'venv' / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(
        [repo / "binder" / "postBuild"], cwd=repo, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return repo, environment


@pytest.mark.full
@pytest.mark.by_hand
@pytest.mark.timeout(600)
def test_postbuild_leaves_a_course_with_its_models(built: tuple[Path, dict[str, str]]) -> None:
    repo, environment = built

    def start(*command: str) -> str:
        done = subprocess.run(
            [repo / "binder" / "start", *command], cwd=repo, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    models = {model["name"]: model for model in json.loads(start("llmlab", "models", "--json"))}
    assert models["tiny"]["cached"]
    assert models["20m"]["cached"]
    assert str(repo) in start("python", "-c", "import llmlab; print(llmlab.__file__)")
    assert "LLMLAB_PROFILE" not in start("env")  # found by CPUs and memory, or said by BinderHub


@pytest.mark.full
@pytest.mark.by_hand
@pytest.mark.timeout(600)
def test_the_first_lab_runs_there(built: tuple[Path, dict[str, str]]) -> None:
    repo, environment = built
    (notebook,) = (repo / "labs").glob("00-*/*.ipynb")
    done = subprocess.run(
        [
            repo / "binder" / "start",
            "papermill",
            notebook,
            repo / "out.ipynb",
            "--cwd",
            notebook.parent,
            "--no-progress-bar",
        ],
        cwd=repo,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
