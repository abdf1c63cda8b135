"""Images made without an image tool: what runs in one, what is missing from one, and who can read it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import threading
import uuid
from pathlib import Path

import pytest

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.programs import images, oci

ECHO = Path(shutil.which("echo") or "/bin/echo")


def write(into, files, *, names=("docker.io/llmlab/test:1",), **config):
    oci.write(into, names, files, config, machine=platform.machine())
    return into


def opened(archive):
    """The manifest, the configuration and the layer's bytes, each checked against the digest that names it."""
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = tar.extractfile(manifest["Config"]).read()
        layer = tar.extractfile(manifest["Layers"][0]).read()
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    config = json.loads(config)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    return manifest, config, layer


@pytest.mark.needs("root")
def test_a_program_runs_on_its_libraries_and_nothing_else(tmp_path):
    libraries = oci.libraries(ECHO)
    assert libraries
    archive = write(
        tmp_path / "a.tar", {"/bin/echo": ECHO, **{str(library): library for library in libraries}}
    )
    (tmp_path / "layer.tar").write_bytes(opened(archive)[2])
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(tmp_path / "layer.tar") as tar:
        tar.extractall(root, filter="tar")
    done = subprocess.run(["chroot", root, "/bin/echo", "hello"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_what_runs_may_be_run_and_what_is_data_only_read(tmp_path):
    (tmp_path / "data").write_text("data")
    (tmp_path / "data").chmod(0o600)
    archive = write(
        tmp_path / "a.tar",
        {"/echo": ECHO, "/some/where/data": tmp_path / "data", "/b": b"bytes", "/tmp/": b""},
    )
    (tmp_path / "layer.tar").write_bytes(opened(archive)[2])
    with tarfile.open(tmp_path / "layer.tar") as tar:
        modes = {member.name: oct(member.mode) for member in tar}
        owners = {(member.uid, member.gid) for member in tar}
    assert modes == {
        "echo": "0o755",
        "some": "0o755",
        "some/where": "0o755",
        "some/where/data": "0o644",
        "b": "0o644",
        "tmp": "0o1777",  # whatever has a / at its end is a folder for everybody
    }
    assert owners == {(0, 0)}


def test_the_same_files_are_the_same_bytes(tmp_path):
    (tmp_path / "data").write_text("data")
    one = write(tmp_path / "one.tar", {"/b": b"b", "/data": tmp_path / "data"}, User="1")
    os.utime(tmp_path / "data", (1, 1))
    other = write(tmp_path / "other.tar", {"/data": tmp_path / "data", "/b": b"b"}, User="1")
    assert one.read_bytes() == other.read_bytes()
    assert write(tmp_path / "third.tar", {"/b": b"c"}, User="1").read_bytes() != one.read_bytes()


def test_several_that_make_the_same_one_do_not_meet(tmp_path):
    """Two clusters come up at once in a classroom's first hour."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(4_000_000))
    target, failures = tmp_path / "images" / "a.tar", []
    target.parent.mkdir()

    def make() -> None:
        try:
            for _ in range(5):
                write(target, {"/big": big})
                assert big.read_bytes() in opened(target)[2]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [file.name for file in target.parent.iterdir()] == ["a.tar"]


def test_a_file_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "a.tar", {"/a": b"a", "/nowhere": tmp_path / "nowhere"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("compiler")
def test_a_library_that_this_machine_lacks_is_named(tmp_path):
    (tmp_path / "lib.c").write_text("int one(void) { return 1; }")
    (tmp_path / "main.c").write_text("int one(void); int main(void) { return one(); }")
    for line in ("-shared -fPIC -o libgone.so lib.c", "-o main main.c -L. -lgone"):
        subprocess.run(["cc", *line.split()], cwd=tmp_path, check=True)
    (tmp_path / "libgone.so").unlink()
    with pytest.raises(LabError, match=r"main lacks the library libgone\.so"):
        oci.libraries(tmp_path / "main")


def test_a_script_needs_no_library(tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert oci.libraries(tmp_path / "script") == []


@pytest.mark.needs("docker")
def test_docker_reads_and_runs_it(tmp_path):
    """What `kind load` takes as well."""
    name = f"llmlab-test/echo-{uuid.uuid4().hex[:8]}:1"
    files = {"/bin/echo": ECHO, **{str(library): library for library in oci.libraries(ECHO)}}
    archive = write(
        tmp_path / "a.tar", files, names=[f"docker.io/{name}"], Entrypoint=["/bin/echo"], User="65532"
    )
    subprocess.run(["docker", "load", "-i", archive], check=True, capture_output=True)
    try:
        line = ["docker", "run", "--rm", "--network=none", name, "hello"]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.stdout == "hello\n", done.stderr
    finally:
        subprocess.run(["docker", "image", "rm", "-f", name], check=True, capture_output=True)


# -- the catalogue ----------------------------------------------------------------------------------


def test_every_image_has_a_full_name_of_its_own():
    full = [image.reference for image in images.CATALOGUE]
    assert len(set(full)) == len(full)
    ours = ("docker.io/library/", "docker.io/llmlab/", "docker.io/models/")
    # as three other registries call one of them
    elsewhere = tuple(name.partition(":")[0] for name in images.ELSEWHERE)
    assert all(name.startswith((*ours, *elsewhere)) for name in full)
    assert images.named("llama-server").reference == "docker.io/library/llama-server:v1.0.0"
    assert all(images.named(image.reference) is image for image in images.CATALOGUE)


def test_an_unknown_image_lists_those_there_are():
    with pytest.raises(LabError, match=r"no image 'lama-server'(.|\n)*llama-server:v1\.0\.0"):
        images.named("lama-server")


@pytest.mark.needs("binary")
def test_the_servers_archive_is_made_once(monkeypatch, tmp_path):
    from llmlab.system.paths import cache_dir

    shared = cache_dir()
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("LLMLAB_SHARED_CACHE", str(shared))
    said: list[str] = []
    first = images.archives(["llama-server:v1.0.0"], said.append)
    assert images.archives(["llama-server:v1.0.0"], said.append) == first
    assert said.count("making the image llama-server:v1.0.0") <= 1
    manifest, config, _ = opened(first[0])
    assert manifest["RepoTags"] in (["docker.io/library/llama-server:v1.0.0"], ["llama-server:v1.0.0"])
    assert config["config"]["User"] == "65532:65532"
