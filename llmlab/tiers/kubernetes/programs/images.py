"""The images of a cluster, made here as archives out of programs that are here: no registry and no Docker is asked."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import LabError
from ....say import Say, quiet
from ....system.paths import cache_dir, cached
from . import binaries, oci

#: Of our programs and of the learner's server alike: nobody in particular.
USER = 65532
PAUSE = "llmlab/pause:1"
LLAMA_SERVER = "llama-server:v1.0.0"
#: The same server over a model volume that is slow: what reads the model waits for every megabyte.
SLOW = "llama-server:v1.0.0-slow-disk"
Files = Mapping[str, Path | bytes]


@dataclass(frozen=True, slots=True)
class ClusterImage:
    """One image: what is in it, and how it is started."""

    name: str
    what: str
    files: Callable[[Say], Files]
    config: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # programs, as `binaries` names them

    @property
    def reference(self) -> str:
        """Its full name: containerd knows no short ones."""
        host, slash, _ = self.name.partition("/")
        if slash and "." in host:
            return self.name
        return f"docker.io/{self.name if '/' in self.name else f'library/{self.name}'}"


def _program(name: str) -> Callable[[Say], Files]:
    return lambda say: {f"/{name}": binaries.bring([name], say)[name]}


def _static(name: str, image: str, what: str, *, version: str) -> ClusterImage:
    return ClusterImage(
        f"{image}:{version}",
        what,
        _program(name),
        {"Entrypoint": [f"/{name}"], "User": f"{USER}:{USER}"},
        (name,),
    )


def llama_server(say: Say) -> Files:
    """The native engine with the libraries it is loaded with, and `drain` for a preStop hook; no shell.

    :raises LabError: when there is no native engine.
    """
    from ....engine import candidates

    found = [
        candidate.engine
        for candidate in candidates()
        if candidate.engine and {"router", "signals", "exit-codes"} <= candidate.engine.capabilities
    ]
    # ours first: it is linked to the C library alone, where others load parts of themselves at run time
    found.sort(key=lambda engine: engine.kind != "built")
    if not found:
        raise LabError("There is no llama-server to put into an image.", fix="uv run llmlab engine build")
    binary = Path(found[0].argv[0])
    programs = {
        "/usr/local/bin/llama-server": binary,
        "/usr/local/bin/drain": binaries.bring(["drain"], say)["drain"],
    }
    return programs | {str(library): library for library in oci.libraries(binary)}


def _slow(files: Callable[[Say], Files]) -> Callable[[Say], Files]:
    """The same, with a library in front that makes reading the model slow (recipes/slow-disk)."""
    return lambda say: {**files(say), "/usr/local/lib/slow-disk.so": slow_disk(say)}


def slow_disk(say: Say) -> Path:
    """The library, compiled once.

    :raises LabError: with the compiler's words.
    """
    source = binaries.RECIPES / "slow-disk" / "slow-disk.c"
    relative = f"kube/slow-disk-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so"
    into = cached(relative) or cache_dir() / relative
    if not into.exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        part = into.with_suffix(".part")
        try:
            done = subprocess.run(
                ["cc", "-O2", "-shared", "-fPIC", "-o", str(part), str(source), "-ldl"],
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise LabError("There is no C compiler.", fix="sudo apt-get install -y gcc libc6-dev") from None
        if done.returncode:
            raise LabError(f"slow-disk.c does not compile: {done.stderr.strip()[-400:]}")
        part.replace(into)
    return into


def _model(name: str) -> Callable[[Say], Files]:
    def files(say: Say) -> Files:
        from .... import models

        return {f"/{name}.gguf": models.fetch(name, say=say).path}

    return files


def _wrong(name: str) -> Callable[[Say], Files]:
    """The same model with one byte changed: what a broken download or a swapped file looks like."""

    def files(say: Say) -> Files:
        path, content = next(iter(_model(name)(say).items()))
        assert isinstance(content, Path)
        data = bytearray(content.read_bytes())
        data[-1] ^= 1
        return {path: bytes(data)}

    return files


def _with_model(name: str) -> Callable[[Say], Files]:
    """The server, a model beside it, and `relay` to stand before it: one image for a platform that mounts none."""

    def files(say: Say) -> Files:
        (path, content), *_ = _model(name)(say).items()
        relay = binaries.bring(["relay"], say)["relay"]
        return {**llama_server(say), "/usr/local/bin/relay": relay, f"/models{path}": content}

    return files


#: The same image as three registries hold it: Google's, Amazon's and Microsoft's.
ELSEWHERE = (
    "us-central1-docker.pkg.dev/llmlab/llm/llama-server:v1.0.0",
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama-server:v1.0.0",
    "llmlab.azurecr.io/llama-server:v1.0.0",
)
_PATH = "PATH=/usr/local/bin"


def _on_path(name: str) -> Callable[[Say], Files]:
    """A program that others start by its name, with its libraries, and a /tmp for what it notes."""

    def files(say: Say) -> Files:
        binary = binaries.bring([name], say)[name]
        there: dict[str, Path | bytes] = {f"/usr/local/bin/{name}": binary, "/tmp/": b""}
        return there | {str(library): library for library in oci.libraries(binary)}

    return files


_SERVER = {
    "Entrypoint": ["/usr/local/bin/llama-server"],
    "User": f"{USER}:{USER}",
    "Env": ["LLAMA_ARG_HOST=0.0.0.0"],
}
_SLOW_ENV = ("LD_PRELOAD=/usr/local/lib/slow-disk.so", "SLOW_DISK_BYTES_PER_SECOND=1400000")
CATALOGUE: tuple[ClusterImage, ...] = (
    _static("pause", "llmlab/pause", "holds a pod's namespaces", version="1"),
    ClusterImage(
        LLAMA_SERVER,
        "the native engine on nothing else",
        llama_server,
        _SERVER,
        ("drain",),
    ),
    ClusterImage(
        SLOW,
        "the same, reading its model slowly",
        _slow(llama_server),
        {**_SERVER, "Env": [*_SERVER["Env"], *_SLOW_ENV]},
    ),
    *(
        ClusterImage(
            name,
            "the native engine and a model, with a relay, for platforms that start containers",
            _with_model("20m"),
            # nothing that a platform's file has to say is said here
            {"Entrypoint": ["/usr/local/bin/llama-server"], "Env": [_PATH], "User": f"{USER}:{USER}"},
            ("drain", "relay"),
        )
        for name in ELSEWHERE
    ),
    ClusterImage(
        f"{ELSEWHERE[0]}-slow-disk",
        "the first of them, reading its model slowly",
        _slow(_with_model("20m")),
        {
            "Entrypoint": ["/usr/local/bin/llama-server"],
            "Env": [_PATH, *_SLOW_ENV],
            "User": f"{USER}:{USER}",
        },
        ("drain", "relay"),
    ),
    ClusterImage("models/tiny:1", "a model as an image, to be mounted", _model("tiny")),
    ClusterImage("models/20m:1", "a model as an image, to be mounted", _model("20m")),
    ClusterImage("models/tiny:1-wrong", "the same with one byte changed", _wrong("tiny")),
    ClusterImage("models/20m:1-wrong", "the same with one byte changed", _wrong("20m")),
    ClusterImage(
        "fetch:1",
        "puts a model onto a volume and verifies it",
        _program("fetch"),
        {"Entrypoint": ["/fetch"], "User": f"{USER}:{USER}"},
        ("fetch",),
    ),
    _static("coredns", "llmlab/coredns", "the cluster's DNS", version="v1.15.0"),
    _static(
        "metrics-server", "llmlab/metrics-server", "CPU and memory of pods, for autoscalers", version="v0.9.0"
    ),
    _static("provisioner", "llmlab/provisioner", "makes volumes for claims", version="1"),
    _static("prometheus", "llmlab/prometheus", "metrics of pods", version="v3.16.0"),
    _static("keda", "llmlab/keda", "scales on what a query says", version="v2.21.0"),
    _static("keda-adapter", "llmlab/keda-adapter", "KEDA's metrics API", version="v2.21.0"),
    _static(
        "picker", "llmlab/picker", "chooses the replica of each request, by its cache and slots", version="1"
    ),
    _static("witness", "llmlab/witness", "stands behind a door and tells what reached it", version="1"),
    ClusterImage(
        "llmlab/envoy-gateway:v1.9.1",
        "what makes a door of a Gateway and its routes",
        _on_path("envoy-gateway"),
        # beside each Envoy it leaves word in a file when that may go
        {"Entrypoint": ["envoy-gateway"], "Env": [_PATH], "User": f"{USER}:{USER}"},
        ("envoy-gateway",),
    ),
    ClusterImage(
        "llmlab/envoy:v1.40.0",
        "the door itself",
        _on_path("envoy"),
        {"Entrypoint": ["envoy"], "Env": [_PATH], "User": f"{USER}:{USER}"},
        ("envoy",),
    ),
    *(
        _static(f"knative-{name}", f"llmlab/knative-{name}", what, version=version)
        for name, what, version in (
            ("queue", "stands before each instance and holds its concurrency", "v0.50.0"),
            ("controller", "makes revisions and routes of services", "v0.50.0"),
            ("webhook", "says what a service may ask for", "v0.50.0"),
            ("autoscaler", "says how many instances there are", "v0.50.0"),
            ("activator", "holds requests until there is an instance", "v0.50.0"),
            ("kourier", "makes a door of Knative's routes, with Envoy", "v0.48.0"),
        )
    ),
)


def named(name: str) -> ClusterImage:
    """The catalogue's image of that name, with or without its tag.

    :raises LabError: when we know none.
    """
    for image in CATALOGUE:
        if name in (
            image.name,
            image.name.split(":")[0],
            image.name.split(":")[0].removeprefix("llmlab/"),
            image.reference,
        ):
            return image
    raise LabError(
        f"llmlab knows no image {name!r} for a cluster.",
        fix=f"one of {', '.join(image.name for image in CATALOGUE)}",
    )


def names() -> set[str]:
    """The short names of our own programs' images."""
    return {image.name.split(":")[0].removeprefix("llmlab/") for image in CATALOGUE}


def archives(names: Sequence[str], say: Say = quiet) -> list[Path]:
    """The archives of these images, made where they are not in the cache yet.

    :raises LabError: when what goes into one cannot be had.
    """
    return [_archive(named(name), say) for name in names]


def _archive(image: ClusterImage, say: Say) -> Path:
    files = image.files(say)
    key = hashlib.sha256(
        json.dumps(
            [image.reference, dict(image.config), {path: _mark(what) for path, what in files.items()}]
        ).encode()
    )
    label = image.name.replace("/", "-").replace(":", "-")
    relative = f"kube/images/{label}-{key.hexdigest()[:16]}.tar"
    into = cached(relative) or cache_dir() / relative
    if not into.exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        say(f"making the image {image.name}")
        oci.write(into, [image.reference], files, image.config, machine=platform.machine())
        for old in into.parent.glob(f"{label}-????????????????.tar"):
            if old != into:
                old.unlink(missing_ok=True)
    return into


def _mark(what: Path | bytes) -> list[object] | str:
    """What tells two versions of a file apart without reading all of it."""
    if isinstance(what, bytes):
        return hashlib.sha256(what).hexdigest()
    about = what.stat()
    return [str(what), about.st_size, about.st_mtime_ns]
