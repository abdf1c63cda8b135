"""The images that the labs need: pulled where the internet is, else built here under the names that learners would pull."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError
from ...system import without
from .bases import base_system
from .build import build
from .daemon import client, speaking

RECIPES = Path(__file__).with_name("recipes")
#: On every image made here: which stand-in it is. An image that was pulled has no such label.
STAND_IN = "org.llmlab.stand-in"
_DEBIAN = re.compile(r"(?:debian):(?P<suite>[a-z]+)(?:-\d{8})?(?:-slim)?")


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the catalogue. `recipe`: a folder below `recipes/`; `base`: made by debootstrap; `pull`: it has a registry."""

    name: str
    what: str
    recipe: str | None = None
    pull: bool = True

    @property
    def base(self) -> str | None:
        """The Debian suite it is, for a base image."""
        found = _DEBIAN.fullmatch(self.name)
        return found["suite"] if found else None


LLAMA_SERVER = "llmlab/llama-server:1"
SYSTEMD = "llmlab/systemd:1"
QEMU = "llmlab/qemu:1"
CATALOGUE = (
    Image("debian:forky-slim", "Debian 14, whose packages include llama.cpp"),
    Image("debian:forky-20260918-slim", "the same under a name that never moves"),
    Image("debian:trixie-slim", "Debian 13"),
    Image(QEMU, "emulates an older CPU", "qemu", pull=False),
    Image("haproxy:3.0", "the proxy in front of the replicas", "haproxy"),
    Image("prom/prometheus:v2.53.3", "metrics and alert rules", "prometheus"),
    Image("prom/alertmanager:v0.28.1", "where alerts go", "alertmanager"),
    Image(
        LLAMA_SERVER,
        "a llama-server that works, for labs that are about something else",
        "llama-server",
        pull=False,
    ),
    Image(SYSTEMD, "a machine that boots systemd", "systemd", pull=False),
)


def named(name: str) -> Image:
    """The catalogue's entry of that name; any dated Debian base counts as one.

    :raises LabError: when we know no such image.
    """
    for image in CATALOGUE:
        if image.name == name:
            return image
    if _DEBIAN.fullmatch(name):
        return Image(name, "a base")
    raise LabError(f"llmlab knows no image {name!r}.", fix=f"docker pull {name}")


def _known(name: str) -> Image:
    try:
        return named(name)
    except LabError:
        return Image(name, "somebody else's, from its registry")


def here(name: str) -> bool:
    """Whether the daemon has it."""
    from docker.errors import ImageNotFound

    daemon = client()
    with speaking():
        try:
            daemon.images.get(name)
        except ImageNotFound:
            return False
    return True


def ensure(names: Sequence[str], *, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Bring the images that the daemon lacks; returns how each came, as `name: pulled` or `name: built here (…)`.

    :raises LabError: naming the image that could be neither pulled nor built, and what would bring it.
    """
    brought = []
    for name in names:
        if not here(name):
            say(f"bringing {name}")
            brought.append(f"{name}: {_bring(_known(name), say)}")
    return brought


def missing(names: Sequence[str]) -> list[str]:
    """Those that the daemon lacks."""
    return [name for name in names if without.taken("images") or not here(name)]


def _bring(image: Image, say: Callable[[str], None]) -> str:
    why = _pull(image.name) if image.pull else None
    if image.pull and why is None:
        return "pulled"
    if image.base:
        try:
            if (twin := _twin(image)) is not None:
                return f"built here (another name of {twin})"
            say(f"{image.name} cannot be pulled; making Debian {image.base} with debootstrap")
            _import(image, base_system(image.base))
        except LabError as error:
            raise LabError(f"{image.name} is not here. {error.what}", where=why, fix=error.fix) from None
        return f"built here (debootstrap {image.base})"
    if image.recipe is None:
        raise LabError(f"{image.name} could not be pulled.", where=why, fix=f"docker pull {image.name}")
    folder = RECIPES / image.recipe
    for base in _bases(folder / "Dockerfile"):
        if not here(base):
            _bring(named(base), say)
    say(f"building {image.name}")
    built = build(folder, tag=image.name, labels={STAND_IN: f"recipe {image.recipe}"} if image.pull else {})
    built.image()  # raises what went wrong
    return f"built here in {built.seconds:.0f} s"


def _bases(dockerfile: Path) -> list[str]:
    """The images that a recipe builds on; not its own stages."""
    words = [line.split() for line in dockerfile.read_text().splitlines() if line.startswith("FROM ")]
    stages = {line[3] for line in words if len(line) == 4}
    return [line[1] for line in words if line[1] not in stages | {"scratch"}]


def _pull(name: str) -> str | None:
    """None when it was pulled, else why not."""
    from docker.errors import APIError

    repository, _, tag = name.rpartition(":")
    daemon = client()
    with speaking():
        try:
            daemon.images.pull(repository, tag=tag)
        except APIError as error:
            return str(error.explanation or error)
    return None


def _twin(image: Image) -> str | None:
    """Another name of the same stand-in, which now has this one too."""
    daemon = client()
    repository, _, tag = image.name.rpartition(":")
    with speaking():
        for stand_in in daemon.images.list(filters={"label": f"{STAND_IN}=debootstrap-{image.base}"}):
            if stand_in.tags and stand_in.tag(repository, tag):
                return str(stand_in.tags[0])
    return None


def _import(image: Image, tar: Path) -> None:
    """Import a file system as an image (one layer, `bash` as its command, as Debian's own has it)."""
    daemon = client()
    repository, _, tag = image.name.rpartition(":")
    changes = [
        'CMD ["bash"]',
        f"LABEL {STAND_IN}=debootstrap-{image.base}",
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    with speaking(), tar.open("rb") as data:
        daemon.api.import_image_from_data(data, repository=repository, tag=tag, changes=changes)
