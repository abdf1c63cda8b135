"""What the container labs need of the machine."""

from __future__ import annotations

from ...tier import Need


def docker() -> Need:
    """A Docker daemon that answers, and its plugins Compose and buildx."""
    from ...errors import LabError
    from . import daemon, plugins

    try:
        about = daemon.client().info()
    except LabError as error:
        return Need("docker", False, error.what.rstrip("."), error.fix or "see docs.docker.com")
    lacking = plugins.missing()
    if lacking:
        return Need(
            "docker", False, f"docker has no {' and no '.join(lacking)} plugin", "llmlab fetch docker"
        )
    return Need("docker", True, f"Docker {about['ServerVersion']} on {about['OperatingSystem']}")


def images() -> Need:
    """The images of the container labs, all of them."""
    from ...errors import LabError
    from . import images

    try:
        lacking = images.missing([image.name for image in images.CATALOGUE])
    except LabError as error:
        return Need("images", False, error.what.rstrip("."), error.fix or "see docs.docker.com")
    if lacking:
        return Need("images", False, f"not brought yet: {', '.join(lacking)}", "llmlab fetch images")
    return Need("images", True, f"the {len(images.CATALOGUE)} images of the container labs")
