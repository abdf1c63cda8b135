"""What a platform holds before the learner comes: the secret with the key."""

from __future__ import annotations

from ..kubernetes.addons.addon_objects import secret
from ..kubernetes.manifests.manifests import Document

#: The version of a secret, as Cloud Run's files name it.
LATEST = "latest"


def key_secret(name: str, namespace: str, key: str) -> Document:
    """A Secret as Secret Manager's is seen through Cloud Run's API: its one key is the version."""
    body = secret(name, namespace, "Opaque", {LATEST: key.encode()})
    return Document("(the lab's own)", 1, "Secret", "v1", name, namespace, body)
