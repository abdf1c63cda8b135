"""What the platforms hold before the learner comes: the image in their registries, and the secret with the key."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ...say import Say, quiet
from ..docker.daemon import client, speaking
from ..kubernetes.addons.addon_objects import secret
from ..kubernetes.manifests.manifests import Document
from ..kubernetes.programs.images import ELSEWHERE, archives
from .aci.images import PrivateRegistry

#: The image as Google's, Amazon's and Microsoft's registries have it.
RUN_IMAGE, ECS_IMAGE, ACI_IMAGE = ELSEWHERE
#: The version of a secret, as Cloud Run's files name it.
LATEST = "latest"
SECRET = "llama-api-key"
#: Who may pull from the registry of container groups.
IDENTITY = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/llama-rg"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/llama-pull"
)


def key_secret(namespace: str, key: str) -> Document:
    """The secret as Secret Manager's is seen through Cloud Run's API: its one key is the version."""
    body = secret(SECRET, namespace, "Opaque", {LATEST: key.encode()})
    return Document("(the lab's own)", 1, "Secret", "v1", SECRET, namespace, body)


def in_docker(name: str, say: Say = quiet) -> None:
    """Have an image of the lab's in the daemon; made anew where what goes into it has changed.

    :raises LabError: when there is no daemon, or what goes into the image cannot be had.
    """
    from docker.errors import ImageNotFound

    (archive,) = archives([name], say)
    with speaking():
        try:
            if client().images.get(name).id == _id(archive):
                return
        except ImageNotFound:
            pass
        say(f"loading {name}")
        with archive.open("rb") as data:
            client().images.load(data)


def _id(archive: Path) -> str:
    """The id that the daemon gives an archive's image: the hash of its configuration, which is the name of a file in it."""
    with tarfile.open(archive) as tar:
        held = tar.extractfile("manifest.json")
        assert held is not None
        return "sha256:" + Path(json.load(held)[0]["Config"]).stem


def acr() -> PrivateRegistry:
    """The private registry from which container groups pull."""
    server, _, name = ACI_IMAGE.partition("/")
    return PrivateRegistry(server, frozenset({name}), identities=frozenset({IDENTITY.rpartition("/")[2]}))


def variables(key: str) -> Mapping[str, str]:
    """The environment in which aci.sh is run."""
    return {"LLAMA_API_KEY": key, "IDENTITY": IDENTITY}
