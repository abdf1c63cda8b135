"""What is given beside the learner's files: a model, secrets, and the files that are not theirs to write."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

#: The model that is put beside a project.
MODEL = "20m"
#: Given files of the lab, needed beside the learner's.
GIVEN = ("alertmanager.yml", "grafana", "policies")


def furnish(folder: Path, given: Path, *, fresh: bool = False) -> str:
    """Put what the lab gives beside the learner's files: the model, the secrets, given files. Returns the API key.

    :param fresh: new secrets, and files that any user in a container may read (a grader's copy).
    """
    from ... import models

    for name in GIVEN:
        source, target = given / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True) if not target.exists() else None
        elif source.is_file() and not target.exists():
            shutil.copyfile(source, target)
    model = models.get(MODEL)
    placed = folder / "models" / "model.gguf"
    if not placed.is_file() or placed.stat().st_size != model.bytes:
        placed.parent.mkdir(exist_ok=True)
        part = placed.with_suffix(".part")
        shutil.copyfile(model.path, part)
        part.replace(placed)
    hidden = folder / "secrets"
    hidden.mkdir(exist_ok=True)
    for name in ("api_key", "grafana_password"):
        path = hidden / name
        if fresh or not path.is_file():
            path.write_text(secrets.token_urlsafe(24) + "\n")
    # Compose mounts a file secret as it is: the users inside the containers (1000, nobody) must be able to read it.
    for path in (*hidden.iterdir(), placed):
        path.chmod(0o644)
    if fresh:
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    return (hidden / "api_key").read_text().strip()
