"""What an archive of the image says of itself, read without any image tool."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import LabError
from . import contents

VERSION = "org.opencontainers.image.version"
COURSE = "org.llmlab.course"
_DOCKER, _OCI = "manifest.json", "index.json"
_REFERENCE = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class CourseImage:
    """One image of the course: its names, the course in it, and for what machine it is."""

    names: tuple[str, ...]
    id: str  # of its configuration, `sha256:…`
    version: str  # of the course
    fingerprint: str  # of the course's files
    architecture: str  # as Go says it: amd64, arm64
    layers: int

    def trouble(self) -> str | None:
        """Why it is not the image of the course that is here, as a sentence; None when it is.

        :raises LabError: where llmlab is installed without its course.
        """
        if self.version != __version__:
            return f"The image holds version {self.version} of the course, here is {__version__}."
        if self.fingerprint != contents.fingerprint():
            return f"The image holds another state of version {__version__} than the course here."
        return None


def read(path: Path) -> CourseImage:
    """An image's labels, out of an archive as `docker save`, buildah and skopeo write it (Docker's format or OCI's).

    :raises LabError: when it is no archive of the course's image.
    """
    try:
        with tarfile.open(path) as tar:
            config, digest, names = _config(tar)
    except (OSError, tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise LabError(
            f"{path.name} is no archive of an image: {error}.",
            where=str(path),
            fix=f"llmlab image build --to {path}",
        ) from None
    labels: dict[str, str] = (config.get("config") or {}).get("Labels") or {}
    if COURSE not in labels:
        raise LabError(
            f"{path.name} is not the image of the course: it has no label {COURSE}.",
            where=", ".join(names) or str(path),
            fix=f"llmlab image build --to {path}",
        )
    return CourseImage(
        names=names,
        id=digest,
        version=labels.get(VERSION, "unknown"),
        fingerprint=labels[COURSE],
        architecture=str(config.get("architecture", "unknown")),
        layers=len(config["rootfs"]["diff_ids"]),
    )


def _config(tar: tarfile.TarFile) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """The image's configuration, its digest and the image's names."""
    names = tar.getnames()
    if _DOCKER in names:
        (about,) = _json(tar, _DOCKER)
        digest = about["Config"].removeprefix("blobs/sha256/").removesuffix(".json")
        return _json(tar, about["Config"]), f"sha256:{digest}", tuple(about.get("RepoTags") or ())
    (entry,) = _json(tar, _OCI)["manifests"]
    manifest = _json(tar, _blob(entry["digest"]))
    named = (entry.get("annotations") or {}).get(_REFERENCE)
    digest = manifest["config"]["digest"]
    return _json(tar, _blob(digest)), digest, (named,) if named else ()


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is no file")
    return json.load(member)
