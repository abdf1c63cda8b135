"""Base systems for images, made by debootstrap, which needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...errors import LabError
from ...system.debian import KEYRING, mirror
from ...system.paths import cache_dir

#: What a Debian image on a registry leaves out too.
_SPARE = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/lib/apt/lists",
    "var/cache/apt",
)


#: How Debian's images on a registry set up apt and dpkg, in our words: nothing kept that an image does not need.
_LIKE_AN_IMAGE = {
    "etc/apt/apt.conf.d/docker-clean": (
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\n'
    ),
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
    # An image is whole or not at all: nobody needs dpkg to wait for the disk after each file.
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
    "etc/dpkg/dpkg.cfg.d/docker": "".join(
        f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "locale", "info", "groff", "lintian")
    )
    + "path-include /usr/share/doc/*/copyright\n",
}


def base_system(suite: str) -> Path:
    """A minimal Debian as a tar file in the cache, made by debootstrap; made once.

    :raises LabError: without debootstrap or root.
    """
    target = cache_dir() / "docker" / "bases" / f"{suite}-4.tar"  # the number counts changes of this recipe
    if target.is_file():
        return target
    if not shutil.which("debootstrap"):
        raise LabError(
            "A base image can be made here only with debootstrap, which is missing.",
            fix="sudo apt-get install debootstrap, or an internet connection to pull it",
        )
    if os.geteuid() != 0:
        raise LabError(
            "debootstrap needs root to make a base image.", fix="sudo -E uv run llmlab fetch images"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    script = Path("/usr/share/debootstrap/scripts")
    recipe = (
        [] if (script / suite).exists() else [str(script / "sid")]
    )  # an older debootstrap knows no newer suite
    with tempfile.TemporaryDirectory(prefix=f"llmlab-{suite}-", dir=target.parent) as name:
        root = Path(name) / "root"
        speedup = root / "etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
        speedup.parent.mkdir(parents=True)
        speedup.write_text(_LIKE_AN_IMAGE["etc/dpkg/dpkg.cfg.d/docker-apt-speedup"])
        line = ["debootstrap", "--variant=minbase", suite, str(root), mirror(), *recipe]
        done = subprocess.run(line, capture_output=True, text=True, timeout=900)
        if done.returncode:
            raise LabError(f"debootstrap could not make Debian {suite}.", where=done.stdout.strip()[-400:])
        for spare in _SPARE:
            for path in (root / spare).glob("*"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        # Where this machine tells apt not to look at the dates of its mirror, an image's apt must not either.
        for conf in Path("/etc/apt/apt.conf.d").glob("*"):
            if conf.is_file() and "Check-Valid-Until" in conf.read_text(errors="replace"):
                shutil.copyfile(conf, root / "etc/apt/apt.conf.d" / conf.name)
        for file, text in _LIKE_AN_IMAGE.items():
            (root / file).write_text(text)
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        (root / "etc/apt/sources.list.d/debian.sources").write_text(
            f"Types: deb\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
        )
        part = target.with_suffix(".part")
        subprocess.run(
            ["tar", "-C", str(root), "--numeric-owner", "-cf", str(part), "."],
            check=True,
            capture_output=True,
        )
        part.replace(target)
    return target
