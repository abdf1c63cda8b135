"""What `llmlab fetch` brings for the container labs: the docker command's plugins, and images."""

from __future__ import annotations

from collections.abc import Sequence

from ...course.info import LabInfo
from ...say import Say
from ...tier import Need
from . import daemon, needs, plugins
from . import images as catalogue


def docker(say: Say, lab: LabInfo | None) -> Need:
    """Bring the Compose and buildx plugins; for a lab, its images too."""
    daemon.client()  # without a daemon the plugins are no use
    for plugin in plugins.bring():
        say(f"{plugin} plugin: brought into a private configuration")
    if lab:
        _bring(lab.images.get("docker", ()), say)
    return needs.docker()


def images(say: Say, lab: LabInfo | None) -> Need:
    """Bring the images of the container labs: pulled where possible, else built here."""
    docker(say, lab)
    if lab is None:
        _bring([image.name for image in catalogue.CATALOGUE], say)
        return needs.images()
    return Need("images", True, ", ".join(lab.images.get("docker", ())) or f"lab {lab.number} names none")


def _bring(names: Sequence[str], say: Say) -> None:
    for line in catalogue.ensure(names, say=say):
        say(line)
