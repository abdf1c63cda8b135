"""The learner's routes, changed in one thing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..kubernetes.manifests.manifests import Document


def weighted(
    documents: Sequence[Document], service: str, share: float
) -> Iterator[tuple[Document, Document]]:
    """Each HTTPRoute that leads to a Service, as it is, and with this share of every rule's requests for that Service.

    :param share: 0..1; the rule's other backends share the rest as they did.
    """
    for document in documents:
        if document.kind != "HTTPRoute":
            continue
        body, found = copy.deepcopy(document.body), False
        for rule in (body.get("spec") or {}).get("rules") or ():
            backends = rule.get("backendRefs") or []
            if any(backend.get("name") == service for backend in backends):
                found = True
                _share_out(backends, service, share)
        if found:
            yield document, replace(document, body=body)


def _share_out(backends: Sequence[dict[str, Any]], service: str, share: float) -> None:
    """In thousandths, for weights are whole numbers."""
    others = [backend for backend in backends if backend.get("name") != service]
    before = sum(backend.get("weight", 1) for backend in others)
    for backend in backends:
        if backend.get("name") == service:
            backend["weight"] = round(1000 * share)
        else:
            part = backend.get("weight", 1) / before if before else 1 / len(others)
            backend["weight"] = round(1000 * (1 - share) * part)
