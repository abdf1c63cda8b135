"""What somebody else's files may ask of the daemon: whoever has the daemon is root on the machine, so a grader asks first.

A Compose file is looked at twice: as text, for what Compose reads while it resolves it (`vet_text`), and resolved, for what
would run. What is not known to be harmless is refused. On wherever checks run; a learner's own `lab.up` is not asked.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...errors import LabError
from ...system.yaml_nodes import line_of
from .vet_text import Finding, dockerfile, reads

__all__ = ["ON", "before_reading", "dockerfile", "on", "refuse"]

ON = "LLMLAB_VET"
MOST_SAID = 5  # findings that one error lists


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ROOT = "whoever has that is root on this machine"
_TOP = {"name", "version", "services", "networks", "volumes", "secrets", "configs"}
#: Keys of a service that give it nothing but its own container, whatever they say.
_HARMLESS = _words(
    "attach cap_drop command configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_shares cpus cpuset depends_on "
    "deploy develop dns dns_opt dns_search domainname entrypoint env_file environment expose gpus group_add healthcheck hostname "
    "image init labels label_file links mac_address mem_limit mem_reservation mem_swappiness memswap_limit pids_limit platform "
    "ports profiles pull_policy read_only restart scale secrets shm_size stdin_open stop_grace_period stop_signal tmpfs tty ulimits "
    "user working_dir"
)
_LOOKED_AT = _words(
    "privileged network_mode pid ipc uts userns_mode cgroup cap_add security_opt logging extra_hosts networks post_start pre_stop "
    "volumes volumes_from build"
)
#: Why, for those that somebody may well write.
_WHY = {
    "devices": "a device is the machine's own",
    "device_cgroup_rules": "a device is the machine's own",
    "cgroup_parent": "it would leave the limits that it is held by",
    "sysctls": "the kernel is the machine's own",
    "runtime": "the runtime is what holds a container",
    "external_links": "another project's containers are somebody else's",
    "use_api_socket": f"it is the Docker socket; {_ROOT}",
    "provider": "it would run a program on this machine",
    "oom_kill_disable": "memory is limited here",
    "oom_score_adj": "memory is limited here",
}
_NOT_KNOWN = "it is none of the keys that are deployed here"
#: The capabilities that Docker gives every container anyway (its manual, "Runtime privilege and Linux capabilities").
_DEFAULT_CAPS = _words(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
)
#: Keys that say which namespace a container lives in, and what they may say besides `service:…`.
_NAMESPACES: dict[str, set[str]] = {
    "network_mode": {"none"},
    "pid": set(),
    "ipc": {"private", "none", "shareable"},
    "uts": set(),
    "userns_mode": set(),
    "cgroup": {"private"},
}
_SECURITY = {
    "no-new-privileges",
    "no-new-privileges:true",
    "no-new-privileges:false",
    "apparmor:docker-default",
}
_BUILD = _words("context dockerfile dockerfile_inline args target labels no_cache pull")
_LOGGING = {None, "json-file", "local", "none"}
_SHARING = {None, "", "private", "rprivate"}


def on() -> bool:
    """Whether this process deploys what others wrote."""
    return bool(os.environ.get(ON))


def before_reading(file: Path) -> None:
    """Refuse a Compose file that makes Compose itself read what lies outside of its folder, or fetch something.

    :raises LabError: with the key and the line; also when it is no YAML.
    """
    _raise(reads(file.resolve(), file.parent.resolve()), file, "reads what is not in this folder")


def refuse(config: Mapping[str, Any], file: Path, *, lent: Iterable[Path] = ()) -> None:
    """Refuse a resolved Compose file that asks for more than containers of its own.

    :param config: as `docker compose config --format json` gives it.
    :param lent: files and folders outside that may be mounted read-only: what the lab itself hands in.
    :raises LabError: with the service, the key and, where it can be found, the line of the file.
    """
    if "\0" in str(config) or "\\x00" in str(config):  # no path of the system has it
        raise LabError("There is a NUL in it, which no name can have.", where=file.name, fix="leave it out")
    found = _Look(file.parent.resolve(), [path.resolve() for path in lent]).config(config)
    _raise(((path, why, None) for path, why in found), file, "asks for more than containers of its own")


def _raise(found: Iterable[Finding], file: Path, what: str) -> None:
    said = list(dict.fromkeys(found))
    if not said:
        return
    root = None
    try:
        root = yaml.compose(file.read_bytes(), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        pass  # several documents: then without lines
    lines = [line or line_of(root, list(path)) for path, _, line in said]
    words = [
        f"{'.'.join(path) or file.name}{f' (line {line})' if line else ''}: {why}"
        for (path, why, _), line in zip(said, lines, strict=True)
    ]
    if len(words) > MOST_SAID:
        words[MOST_SAID:] = [f"and {len(words) - MOST_SAID} more"]
    raise LabError(
        f"{file.name} {what}, so it is not deployed:\n" + "\n".join(words),
        where=f"{file.name}:{lines[0]}" if lines[0] else file.name,
        fix="leave it out",
    )


@functools.cache
def _given(folder: Path) -> frozenset[Path]:
    """The files of a folder when it was first deployed from: containers may have written there since."""
    return frozenset(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _items(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in (table or {}).items():
        yield name, value or {}


def _unknown(table: Mapping[str, Any], known: Set[str]) -> list[str]:
    return [
        name for name, value in table.items() if value and name not in known and not name.startswith("x-")
    ]


#: Below where it is looked for, and what is wrong.
_Found = Iterator[tuple[tuple[str, ...], str]]


@dataclass
class _Look:
    folder: Path
    lent: Sequence[Path]
    sources: list[Path] = field(default_factory=list)  # what the daemon or Compose reads below the folder
    writable: list[tuple[str, Path]] = field(default_factory=list)  # (service, folder)

    def inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder)

    def is_lent(self, path: Path) -> bool:
        return any(path.resolve().is_relative_to(folder) for folder in self.lent)

    def said(self, path: str | Path) -> str:
        """As it was written, more or less: where the folder lies on this machine is nobody's business."""
        near = Path(path).is_relative_to(self.folder.parent)
        return os.path.relpath(path, self.folder) if near else str(path)

    def config(self, config: Mapping[str, Any]) -> _Found:
        yield from (((name,), _NOT_KNOWN) for name in _unknown(config, _TOP))
        for kind, look in (
            ("secrets", self.file), ("configs", self.file), ("networks", _network), ("volumes", _volume)
        ):  # fmt: skip
            for name, resource in _items(config.get(kind)):
                if resource.get("external"):
                    yield (kind, name, "external"), "what is not the project's own is somebody else's"
                yield from (((kind, name, *path), why) for path, why in look(resource))
        for name, service in _items(config.get("services")):
            yield from ((("services", name, *path), why) for path, why in self.service(name, service))
        for name, place in self.writable:  # a container could put a link where the next one's mount starts
            held = [source for source in (*self.sources, *_given(self.folder)) if place in source.parents]
            if held:
                why = f"{place.name}/ is mounted writable and holds {min(held).name}: add :ro"
                yield ("services", name, "volumes"), why

    def file(self, entry: Mapping[str, Any]) -> _Found:
        if entry.get("file"):
            self.sources.append(Path(entry["file"]))
            if not (self.inside(self.sources[-1]) or self.is_lent(self.sources[-1])):
                yield ("file",), f"{self.said(entry['file'])} lies outside of this folder"

    def service(self, name: str, config: Mapping[str, Any]) -> _Found:
        for key in _unknown(config, _HARMLESS | _LOOKED_AT):
            yield (key,), _WHY.get(key, _NOT_KNOWN)
        if config.get("privileged"):
            yield ("privileged",), f"a privileged container has the whole machine; {_ROOT}"
        for key, allowed in _NAMESPACES.items():
            value = str(config.get(key) or "")
            if value and value not in allowed and not value.startswith("service:"):
                yield (key,), f"{value} is not a namespace of its own"
        for cap in config.get("cap_add") or []:
            if str(cap).upper().removeprefix("CAP_") not in _DEFAULT_CAPS:
                yield ("cap_add",), f"{cap} is more than a container has by itself"
        for option in config.get("security_opt") or []:
            if str(option).replace("=", ":") not in _SECURITY:
                yield ("security_opt",), f"{option} takes away what holds a container"
        if (config.get("logging") or {}).get("driver") not in _LOGGING:
            yield ("logging",), f"the log driver {config['logging']['driver']} writes to places outside"
        if "host-gateway" in json.dumps(config.get("extra_hosts") or []):
            yield ("extra_hosts",), "host-gateway is the machine that it runs on"
        if any(network.get("driver_opts") for _, network in _items(config.get("networks"))):
            yield ("networks",), "driver_opts reach beyond the project"
        for key in ("post_start", "pre_stop"):
            if any(hook.get("privileged") for hook in config.get(key) or []):
                yield (key,), f"a privileged command has the whole machine; {_ROOT}"
        for other in config.get("volumes_from") or []:
            if str(other).startswith("container:"):
                yield ("volumes_from",), f"{other} is somebody else's"
        for number, volume in enumerate(config.get("volumes") or []):
            yield from ((("volumes", str(number)), why) for why in self.mount(name, volume))
        if config.get("build"):
            yield from ((("build", key), why) for key, why in self.build(config["build"]))

    def mount(self, service: str, mount: Mapping[str, Any]) -> Iterator[str]:
        kind, source = mount.get("type"), Path(str(mount.get("source") or ""))
        if kind in ("volume", "tmpfs"):
            return
        if kind != "bind":
            yield f"a mount of type {kind} is not deployed here"
            return
        self.sources += [source, source.resolve()]
        if source.name == "docker.sock":
            yield f"{source} is the Docker socket; {_ROOT}"
        elif self.inside(source):
            if not mount.get("read_only") and not source.is_file():
                self.writable.append((service, source.resolve()))
        elif not self.is_lent(source):
            yield f"{self.said(source)} lies outside of this folder"
        elif not mount.get("read_only"):
            yield f"{source} is lent for reading: add :ro"
        if (mount.get("bind") or {}).get("propagation") not in _SHARING:
            yield "what is mounted inside would be mounted outside"

    def build(self, build: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from ((name, _NOT_KNOWN) for name in _unknown(build, _BUILD))
        context = Path(str(build.get("context") or ""))
        if not context.is_absolute() or not self.inside(context):
            yield "context", f"{self.said(str(build.get('context')))} lies outside of this folder"
            return
        self.sources.append(context)
        if not build.get("dockerfile_inline"):
            self.sources.append(context / str(build.get("dockerfile") or "Dockerfile"))
            if not self.inside(self.sources[-1]):
                yield "dockerfile", f"{build['dockerfile']} lies outside of this folder"
        if "BUILDKIT_SYNTAX" in (build.get("args") or {}):
            yield "args", "BUILDKIT_SYNTAX has the file read by somebody else's program"


def _network(network: Mapping[str, Any]) -> _Found:
    if network.get("driver") not in (None, "", "bridge", "default"):
        yield ("driver",), f"a network of driver {network['driver']} reaches beyond the project"
    for name in network.get("driver_opts") or {}:
        if name != "com.docker.network.driver.mtu":
            yield ("driver_opts",), f"{name} reaches beyond the project"
    if (network.get("ipam") or {}).get("driver", "default") != "default" or (network.get("ipam") or {}).get(
        "config"
    ):
        yield ("ipam",), "fixed addresses may be somebody else's on this machine"


def _volume(volume: Mapping[str, Any]) -> _Found:
    if volume.get("driver") not in (None, "", "local"):
        yield ("driver",), f"a volume of driver {volume['driver']} is not the project's own"
    options = volume.get("driver_opts") or {}
    if options and (options.get("type") != "tmpfs" or options.get("device") not in (None, "", "tmpfs")):
        yield (
            ("driver_opts",),
            f"it mounts {options.get('device') or options}, not a volume of the project's own",
        )
