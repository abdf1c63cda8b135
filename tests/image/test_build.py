"""The Dockerfile as it is read, what a builder is told, and (by hand) a whole build without Docker, run as strangers would."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from llmlab import __version__
from llmlab.errors import LabError, Unavailable
from llmlab.image import archive, build, contents

ROOT = contents.checkout()
DOCKERFILE = ROOT / "binder" / "Dockerfile"


@pytest.fixture(scope="module")
def parsed() -> list[dict[str, str]]:
    """Its instructions."""
    parser = DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()), env_replace=False)
    return list(parser.structure)


def test_the_base_is_pinned_and_named_once(parsed):
    (base,) = re.findall(r"^ARG BASE=(.+)$", DOCKERFILE.read_text(), re.M)
    assert re.fullmatch(r"debian:trixie-slim@sha256:[0-9a-f]{64}", base)
    froms = [step["value"] for step in parsed if step["instruction"] == "FROM"]
    assert froms == ["${BASE} AS making", "${BASE}"]


def test_what_is_installed_is_locked(parsed):
    steps = [step["value"] for step in parsed if step["instruction"] == "RUN"]
    assert all("--locked" in step for step in steps if "uv sync" in step)
    assert [step for step in steps if "pip install" in step and "==" not in step] == []


def test_nobody_is_root_and_the_entry_is_start(parsed):
    last = {step["instruction"]: step["value"] for step in parsed}
    assert last["USER"] == "${NB_UID}:0"
    assert last["ENTRYPOINT"] == '["tini", "-g", "--", "/opt/llmlab/binder/start"]'


def test_labels_say_version_and_course():
    text = DOCKERFILE.read_text()
    assert f'{archive.VERSION}="${{VERSION}}"' in text
    assert f'{archive.COURSE}="${{FINGERPRINT}}"' in text


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    """A `buildah` that notes what it is asked, and that `build` succeeds or not as its folder says."""
    script = tmp_path / "buildah"
    script.write_text(
        f'#!/bin/bash\necho "$@" >>{tmp_path}/asked\n'
        f'if [[ "$*" == *" build "* && -e {tmp_path}/fails ]]; then echo "STEP 3/9: RUN false"; echo "no space left"; exit 1; fi\n'
        f'if [[ "$*" == *" push "* ]]; then touch "$(sed "s/.*docker-archive:\\([^:]*\\):.*/\\1/" <<<"$*")"; fi\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(build, "_daemon", lambda: False)
    return tmp_path


def test_a_build_names_image_base_version_and_course(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "read", lambda path: path)
    into = tmp_path / "course.tar"
    assert build.build(into, name="registry.example.org/llmlab:7", base="debian:trixie") == into
    (asked,) = [line for line in (stand_in / "asked").read_text().splitlines() if " build " in line]
    for words in (
        "-t registry.example.org/llmlab:7",
        "--build-arg=BASE=debian:trixie",
        f"--build-arg=VERSION={__version__}",
        f"--build-arg=FINGERPRINT={contents.fingerprint()}",
        "--timestamp=0",
    ):
        assert words in asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "buildah", "course.tar"]


def test_a_build_that_fails_says_its_last_words_and_leaves_nothing(stand_in, tmp_path):
    (stand_in / "fails").touch()
    said: list[str] = []
    with pytest.raises(LabError, match="buildah build failed") as error:
        build.build(tmp_path / "course.tar", say=said.append)
    assert "no space left" in str(error.value)
    assert "STEP 3/9: RUN false" in said
    assert not list(tmp_path.glob("*.tar*"))


def test_without_docker_and_buildah_one_sentence_says_what_brings_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "_daemon", lambda: False)
    with pytest.raises(Unavailable, match="buildah, which is not here"):
        build.build(tmp_path / "course.tar")


@pytest.mark.full
@pytest.mark.by_hand
@pytest.mark.needs("root", "sandbox")
@pytest.mark.timeout(1800)
def test_a_whole_image_is_that_of_the_course_and_runs_as_anybody(tmp_path):
    """Ten minutes at most, and 3 GB: fetches packages, so not in CI either."""
    from llmlab.tiers.docker.bases import base_system

    into = tmp_path / "course.tar"
    image = build.build(into, base=str(base_system("trixie")), builder="buildah")
    assert image.trouble() is None
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(into) as tar:
        import json

        (about,) = json.load(tar.extractfile("manifest.json"))
        for layer in about["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(layer)) as files:
                files.extractall(root, filter="tar")
    line = [
        "bwrap",
        "--unshare-all",
        "--uid",
        "12345",
        "--gid",
        "54321",
        "--ro-bind",
        str(root),
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
    ]
    line += [
        "--perms",
        "1777",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/home/jovyan",
        "--clearenv",
        "--chdir",
        "/opt/llmlab",
    ]
    for setting in (
        "HOME=/home/jovyan",
        "PATH=/opt/llmlab/.venv/bin:/usr/bin:/bin",
        "LLMLAB_SHARED_CACHE=/opt/llmlab/cache",
        "LANG=C.UTF-8",
    ):
        line += ["--setenv", *setting.split("=", 1)]

    def inside(*command: str) -> str:
        done = subprocess.run([*line, "/opt/llmlab/binder/start", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    assert inside("llmlab", "image", "show") == image.fingerprint
    assert inside("pwd") == "/home/jovyan/llmlab"
    assert "1 passed" in inside("llmlab", "check", "00")
    assert inside("jupyterhub-singleuser", "--version")
