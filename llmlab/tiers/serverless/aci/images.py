"""Which registry an image's name means, and whether a container group could pull it from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .script import Creation

HUB = "docker.io"
#: Of the images that Docker Hub has under a name of one word (docker-library/official-images), some that scripts name.
OFFICIAL = frozenset(
    (
        *("alpine", "busybox", "caddy", "debian", "fedora", "ghost", "golang", "haproxy", "hello-world", "httpd", "mariadb"),
        *("memcached", "mongo", "mysql", "nginx", "node", "postgres", "python", "rabbitmq", "redis", "ruby", "sonarqube"),
        *("traefik", "ubuntu", "wordpress"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in full."""

    registry: str
    repository: str
    tag: str  # or sha256:…
    moving: bool = False  # its tag is `latest`, or none

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{'@' if ':' in self.tag else ':'}{self.tag}"


@dataclass(frozen=True, slots=True)
class PrivateRegistry:
    """A private registry that is known here: its images (`name:tag`), and who may pull."""

    server: str
    images: frozenset[str]
    username: str = ""
    password: str = ""
    identities: frozenset[str] = frozenset()


def reference(image: str) -> Reference:
    """The full name (github.com/distribution/reference): a first part without `.` or `:` is no registry, and Docker Hub is meant."""
    rest, digest = image, ""
    if "@" in rest:
        rest, _, digest = rest.partition("@")
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        registry, rest = ("docker.io" if head == "index.docker.io" else head), tail
    else:
        registry = HUB
    name, colon, tag = rest.partition(":")
    if registry == HUB and "/" not in name:
        name = f"library/{name}"
    return Reference(registry, name, digest or tag or "latest", not digest and (not colon or tag == "latest"))


def inaccessible(asked: Creation, registries: Sequence[PrivateRegistry] = ()) -> str | None:
    """Why the service could not pull the image; None: it could, or nobody here knows.

    Docker Hub is not asked: of the names of one word it has only the official ones, and no other is taken for one of them.
    """
    if "image" in asked.unknown:
        return None
    at = reference(str(asked.image))
    for registry in registries:
        if at.registry == registry.server:
            return _of_ours(asked, at, registry)
    if at.registry == HUB and at.repository.startswith("library/"):
        name = at.repository.removeprefix("library/")
        if name not in OFFICIAL:
            return f"without a registry, {asked.image!r} means {at}, and Docker Hub has no official image {name!r}"
    return None


def strange_identity(asked: Creation) -> bool:
    """Whether the identity that is to pull is none of the group's own, as far as both are known.

    A system-assigned one does not count: it comes with the group, after the pull (MicrosoftDocs/azure-docs#117644).
    """
    if not asked.acr_identity or {"acr_identity", "assign_identity"} & set(asked.unknown):
        return False
    own = [it for it in asked.assign_identity or () if it.lower() != "[system]"]
    return not any(_same(str(asked.acr_identity), it) for it in own)


def _same(one: str, other: str) -> bool:
    """Whether two names mean one identity: resource ids in any case, or the last part of one."""
    one, other = one.lower(), other.lower()
    return one == other if "/" in one and "/" in other else one.rpartition("/")[2] == other.rpartition("/")[2]


def _of_ours(asked: Creation, at: Reference, registry: PrivateRegistry) -> str | None:
    name = f"{at.repository}:{at.tag}"
    if asked.acr_identity:
        identity = str(asked.acr_identity).rpartition("/")[2]
        if "acr_identity" not in asked.unknown and identity not in registry.identities:
            return f"the identity {identity!r} may not pull from {registry.server}"
    elif not asked.registry_username or not asked.registry_password:
        return f"{registry.server} lets nobody pull without a credential or an identity"
    elif (asked.registry_login_server or registry.server) != registry.server:
        return f"the credential is for {asked.registry_login_server}, the image lies in {registry.server}"
    elif not {"registry_username", "registry_password"} & set(asked.unknown) and (
        asked.registry_username,
        asked.registry_password,
    ) != (registry.username, registry.password):
        return f"{registry.server} knows no such user and password"
    return None if name in registry.images else f"{registry.server} has no {name}"
