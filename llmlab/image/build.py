"""Building the image into an archive: by Docker, or where there is no daemon by buildah, from the same Dockerfile."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..errors import LabError, Unavailable
from ..say import Say, quiet
from . import contents
from .archive import CourseImage, read

DOCKERFILE = Path("binder/Dockerfile")
#: How images are named that no registry has seen; a registry's name is the user's.
NAME = f"llmlab/course:{__version__}"
TIMEOUT = 3600  # seconds; a cold build fetches some 600 MB


def build(
    into: Path,
    *,
    name: str = NAME,
    base: str | None = None,
    builder: str | None = None,
    say: Say = quiet,
) -> CourseImage:
    """Build the image of the course that is here, and write it to an archive that `docker load`, `ctr images import` and skopeo read.

    :param name: the image's, with its tag; a registry's host goes before it, if it is to be pushed.
    :param base: another base than the one that the Dockerfile pins: a name, or a tar file with a Debian 13.
    :param builder: `docker` or `buildah`; None: Docker where a daemon answers, else buildah.
    :raises LabError: without either builder, or with the last words of a step that failed.
    """
    course = contents.checkout()
    by_docker = builder == "docker" or (builder is None and _daemon())
    build_with = _docker if by_docker else _buildah
    into = into.resolve()
    with tempfile.TemporaryDirectory(prefix="llmlab-image-") as made:
        context = Path(made) / "context"
        _copy(course, context)
        args = {"VERSION": __version__, "FINGERPRINT": contents.fingerprint(context)}
        part = into.with_name(f".{into.name}.{os.getpid()}.part")
        try:
            build_with(context, part, name, args, base, say)
            part.replace(into)
        finally:
            part.unlink(missing_ok=True)
    return read(into)


def _copy(course: Path, context: Path) -> None:
    """The course's files and nothing else of the checkout."""
    for path in contents.files(course):
        target = context / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(course / path, target)
        target.chmod(0o755 if (course / path).stat().st_mode & 0o100 else 0o644)


def _daemon() -> bool:
    from ..tiers.docker.daemon import client

    try:
        client()
    except LabError:
        return False
    return True


def _certificates() -> list[str]:
    """What this machine trusts, for the steps that fetch; in no layer."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return ["--secret", f"id=certificates,src={path}"] if path and Path(path).is_file() else []


def _options(name: str, args: dict[str, str], base: str | None) -> list[str]:
    given = args | ({"BASE": base} if base else {})
    return ["-t", name, *_certificates(), *(f"--build-arg={key}={value}" for key, value in given.items())]


def _docker(context: Path, into: Path, name: str, args: dict[str, str], base: str | None, say: Say) -> None:
    from ..tiers.docker.plugins import environment

    env = dict(environment())
    if base and Path(base).is_file():
        say(f"base: {base}")
        _run(["docker", "import", base, "llmlab/base:local"], say, env)
        base = "llmlab/base:local"
    line = ["docker", "buildx", "build", "--progress=plain", "--network=host", "--load"]
    _run([*line, *_options(name, args, base), "-f", str(context / DOCKERFILE), str(context)], say, env)
    say(f"writing {into.name}")
    _run(["docker", "save", "-o", str(into), name], say, env)


def _buildah(context: Path, into: Path, name: str, args: dict[str, str], base: str | None, say: Say) -> None:
    """With a store of its own, gone afterwards; steps run in a chroot, which needs no container runtime."""
    if not shutil.which("buildah"):
        raise Unavailable(
            "The image is built by Docker, whose daemon does not answer, or by buildah, which is not here.",
            fix="sudo apt-get install buildah",
            without="start Docker",
        )
    with tempfile.TemporaryDirectory(prefix="llmlab-buildah-", dir=into.parent) as store:
        buildah = _stored(store, _driver())
        try:
            if base and Path(base).is_file():
                say(f"base: {base}")
                base = _base(buildah, Path(base), say)
            line = [
                *buildah,
                "build",
                "--isolation=chroot",
                "--layers=false",
                "--format=docker",
                "--timestamp=0",
            ]
            ignored = f"--ignorefile={context / DOCKERFILE}.dockerignore"
            _run(
                [*line, ignored, *_options(name, args, base), "-f", str(context / DOCKERFILE), str(context)],
                say,
            )
            say(f"writing {into.name}")
            _run([*buildah, "push", "--quiet", name, f"docker-archive:{into}:{name}"], say)
        finally:
            subprocess.run([*buildah, "rm", "--all"], capture_output=True)
            subprocess.run([*buildah, "rmi", "--all", "--force"], capture_output=True)


def _stored(store: str, driver: str) -> list[str]:
    """buildah, with a store of its own."""
    return ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", driver]


def _driver() -> str:
    """`overlay` where the kernel gives it to this user, else `vfs`, which copies whole trees."""
    with tempfile.TemporaryDirectory(prefix="llmlab-driver-") as store:
        line = [*_stored(store, "overlay"), "images"]
        return "overlay" if subprocess.run(line, capture_output=True).returncode == 0 else "vfs"


def _base(buildah: Sequence[str], tar: Path, say: Say) -> str:
    """An image of a tar file with a system, in that store."""
    container = _run([*buildah, "from", "scratch"], say)
    _run([*buildah, "add", "--quiet", container, str(tar), "/"], say)
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    _run([*buildah, "config", "--env", path, container], say)
    _run([*buildah, "commit", "--quiet", "--rm", "--timestamp=0", container, "localhost/llmlab/base"], say)
    return "localhost/llmlab/base"


def _run(line: Sequence[str], say: Say, env: dict[str, str] | None = None) -> str:
    """One command, its steps said as they begin; returns its last line.

    :raises LabError: with its last lines, when it fails.
    """
    last: list[str] = []
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        assert process.stdout is not None
        try:
            for words in process.stdout:
                last = [*last, words.rstrip()][-12:]
                # buildah's and BuildKit's
                if "STEP " in words[:13] or (words.startswith("#") and " [" in words[:8]):
                    say(words.strip()[:110])
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise LabError(f"{line[0]} {_verb(line)} failed.", where="\n".join(last)[-1200:])
    return last[-1] if last else ""


def _verb(line: Sequence[str]) -> str:
    verbs = ("buildx", "build", "save", "import", "from", "add", "config", "commit", "push")
    return next((word for word in line[1:] if word in verbs), "")
