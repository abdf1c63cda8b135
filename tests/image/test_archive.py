"""What an archive says of itself, in Docker's format and in OCI's, and when it is out of date."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from llmlab import __version__
from llmlab.cli.main import main
from llmlab.errors import LabError
from llmlab.image import archive, contents

NAME = "registry.example.org/llmlab:1"


def labels(version: str = __version__, course: str | None = None) -> dict[str, str]:
    return {archive.VERSION: version, archive.COURSE: course or contents.fingerprint()}


def write(path: Path, labels: dict[str, str] | None, form: str) -> Path:
    """An archive as `docker save` or skopeo write it, without its layers."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
        }
    ).encode()
    digest = hashlib.sha256(config).hexdigest()
    if form == "docker":
        about = [{"Config": f"{digest}.json", "RepoTags": [NAME], "Layers": []}]
        parts = {f"{digest}.json": config, "manifest.json": json.dumps(about).encode()}
    else:
        manifest = json.dumps({"config": {"digest": f"sha256:{digest}"}, "layers": []}).encode()
        own = hashlib.sha256(manifest).hexdigest()
        entry = {"digest": f"sha256:{own}", "annotations": {"org.opencontainers.image.ref.name": NAME}}
        parts = {
            f"blobs/sha256/{digest}": config,
            f"blobs/sha256/{own}": manifest,
            "index.json": json.dumps({"manifests": [entry]}).encode(),
        }
    with tarfile.open(path, "w") as tar:
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_labels_are_read_in_both_formats(tmp_path, form):
    image = archive.read(write(tmp_path / "course.tar", labels(), form))
    assert (image.names, image.version, image.architecture, image.layers) == (
        (NAME,),
        __version__,
        "amd64",
        2,
    )
    assert image.fingerprint == contents.fingerprint()
    assert image.trouble() is None


def test_an_image_of_another_course_is_out_of_date(tmp_path, capsys):
    older = write(tmp_path / "older.tar", labels(version="0.0.1"), "docker")
    edited = write(tmp_path / "edited.tar", labels(course="sha256:" + "0" * 64), "docker")
    assert "holds version 0.0.1" in str(archive.read(older).trouble())
    assert "another state" in str(archive.read(edited).trouble())
    assert main(["image", "show", str(edited)]) == 1
    assert f"fix:   llmlab image build --to {edited}" in capsys.readouterr().out
    assert main(["image", "show", str(write(tmp_path / "now.tar", labels(), "oci"))]) == 0


@pytest.mark.parametrize("what", ["text", "empty", "tar", "other image", "missing"])
def test_anything_else_is_one_sentence(tmp_path, what):
    path = tmp_path / "course.tar"
    if what == "text":
        path.write_text("no archive")
    elif what == "empty":
        path.touch()
    elif what == "tar":
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo("readme"))
    elif what == "other image":
        write(path, {"maintainer": "somebody"}, "docker")
    with pytest.raises(LabError, match=r"no archive of an image|not the image of the course"):
        archive.read(path)
