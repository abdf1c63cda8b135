"""What the learner's files ask of a cluster: read, and refused where the API server would be too late to say it well."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from ....errors import LabError
from ....system import yaml_nodes
from . import kustomization

#: A namespace may not ask for less than this of its pods (Pod Security Standards).
_ENFORCE = "pod-security.kubernetes.io/enforce"


class RunsKubectl(Protocol):
    """A cluster with the program that renders a kustomization."""

    def run_kubectl(self, *words: str) -> str:
        """What it prints."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file; `line` is that of its first key."""

    file: str  # that it came from, beside the kustomization
    line: int  # of its first key there
    kind: str  # as it says itself
    api_version: str  # as it says itself
    name: str  # its metadata's
    namespace: str | None  # None: it is the cluster's
    body: dict[str, Any]  # all of it
    #: Where each of its fields stands; None: nobody knows.
    node: yaml.Node | None = field(default=None, repr=False, compare=False)

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def line_of(self, path: str) -> int | None:
        """The line of a field as the API server names it (`spec.template.spec.containers[0].image`), or of its deepest part."""
        node, line = self.node, None
        for name, place, key, value in _PART.findall(path):
            if isinstance(node, yaml.MappingNode) and name:
                pair = next(((it, below) for it, below in node.value if it.value == name.strip('"')), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and not name:
                found = _item(node, int(place) if place else None, key, value)
                if found is None:
                    break
                line, node = found.start_mark.line + 1, found
            else:
                break
        return line


#: A part of a field's path: a name (quoted, if it has dots in it), [3], or [name="llama"].
_PART = re.compile(r'("[^"]+"|[^.\[\]"=]+)(?=[.\[]|$)|\[(\d+)\]|\[(\w+)="([^"]*)"[^\]]*\]')


def _item(node: yaml.SequenceNode, place: int | None, key: str, value: str) -> yaml.Node | None:
    """An item of a list: by its place, or the one in which `key` is `value`."""
    if place is not None:
        return node.value[place] if place < len(node.value) else None
    for child in node.value:
        if isinstance(child, yaml.MappingNode) and any(
            it.value == key and below.value == value for it, below in child.value
        ):
            return child
    return None


def read(
    folder: Path, files: Sequence[str], *, namespaces: Collection[str], kinds: Collection[str] | None = None
) -> list[Document]:
    """All documents of these files, in their order.

    :param namespaces: those that the lab owns; the first is meant where a document names none.
    :param kinds: what the lab takes; None: whatever the learner may make.
    :raises LabError: a file is missing or no YAML, a document is no object, one name twice, a namespace or kind that is not the lab's.
    """
    found: list[Document] = []
    for name in files:
        documents = _documents(folder, name, default=next(iter(namespaces)))
        if not documents:
            raise LabError(
                f"{name} has nothing in it.", where=name, fix="llmlab reset brings the starter back"
            )
        for document in documents:
            _allowed(document, namespaces, kinds)
            twin = next(
                (
                    it
                    for it in found
                    if (it.kind, it.name, it.namespace) == (document.kind, document.name, document.namespace)
                ),
                None,
            )
            if twin:
                raise LabError(
                    f"There are two documents for {document.kind} {document.name}: the second would silently replace the first.",
                    where=f"{twin.where} and {document.where}",
                    fix="keep one, or give the other a name of its own",
                )
            found.append(document)
    return found


def kustomized(
    cluster: RunsKubectl, folder: Path, *, namespaces: Collection[str], kinds: Collection[str] | None = None
) -> list[Document]:
    """What `kubectl kustomize` makes of a folder: as `read`, at the lines of the files that each object came from.

    :raises LabError: as `read`, as `kustomization.vet`, or with kustomize's own words.
    """
    if not (folder / "kustomization.yaml").is_file():
        raise LabError(
            "kustomization.yaml is missing.",
            where="kustomization.yaml",
            fix="llmlab reset brings the starter back",
        )
    kustomization.vet(folder)
    sources = [original for file in sorted(folder.glob("*.yaml")) for original in _sources(folder, file.name)]
    try:
        text = cluster.run_kubectl("kustomize", str(folder))
    except LabError as error:
        said = error.what.replace(f"{folder}/", "").replace(str(folder), ".").removeprefix("error: ")
        raise LabError(f"kustomize: {said}", where="kustomization.yaml") from None
    found = []
    for body in yaml.safe_load_all(text):
        made = _document("kustomization.yaml", 1, body, None, default=next(iter(namespaces)))
        source = next(
            (
                original
                for original in sources
                if original.kind == made.kind and _came_from(made.name, original.name)
            ),
            None,
        )
        if source:
            made = replace(made, file=source.file, line=source.line, node=source.node)
        _allowed(made, namespaces, kinds)
        found.append(made)
    return found


def _sources(folder: Path, name: str) -> list[Document]:
    """The documents of a file that is perhaps none of ours (a patch, values, a kustomization)."""
    with contextlib.suppress(LabError):
        return _documents(folder, name, default="")
    return []


def _came_from(made: str, source: str) -> bool:
    """Whether a name is that of a source, with or without the hash that a generator adds."""
    return made == source or re.fullmatch(rf"{re.escape(source)}-[a-z0-9]{{10}}", made) is not None


def _documents(folder: Path, name: str, *, default: str) -> list[Document]:
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabError(
            f"{name} is missing.", where=name, fix="llmlab reset brings the starter back"
        ) from None
    except UnicodeDecodeError:
        raise LabError(f"{name} is not text.", where=name, fix="save it as UTF-8") from None
    except OSError as error:
        raise LabError(f"{name} cannot be read: {error.strerror}.", where=name) from None
    try:
        nodes = [
            document
            for document in yaml.compose_all(text, Loader=yaml.SafeLoader)
            if not yaml_nodes.nothing(document)
        ]
        for document in nodes:
            yaml_nodes.plain(name, document)
        bodies = [body for body in yaml.safe_load_all(text) if body is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise LabError(
            f"{name} is not YAML: {getattr(error, 'problem', None) or error}", where=f"{name}{line}"
        ) from None
    except RecursionError:
        raise LabError(f"{name} is nested too deeply.", where=name) from None
    made = []
    for node, body in zip(nodes, bodies, strict=True):
        made.append(_document(name, node.start_mark.line + 1, body, node, default=default))
    return made


def _document(name: str, line: int, body: Any, node: yaml.Node | None, *, default: str) -> Document:
    where = f"{name}:{line}"
    if not isinstance(body, dict):
        raise LabError(
            f"A document of {name} is no Kubernetes object.",
            where=where,
            fix="begin it with apiVersion: and kind:",
        )
    about = body.get("metadata")
    lacking = [key for key in ("apiVersion", "kind") if not isinstance(body.get(key), str)]
    if not isinstance(about, dict) or not isinstance(about.get("name"), str):
        lacking.append("metadata.name")
    if lacking or not isinstance(about, dict):
        raise LabError(
            f"A document of {name} has no {', '.join(lacking)}.",
            where=where,
            fix="every object says what it is and its name",
        )
    kind, namespace = body["kind"], about.get("namespace") or None
    if namespace is None and kind not in CLUSTER_WIDE:
        body["metadata"] = about | {"namespace": default}
        namespace = default
    return Document(name, line, kind, body["apiVersion"], about["name"], namespace, body, node)


#: Kinds without a namespace that a learner may meet.
CLUSTER_WIDE = frozenset(
    {
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "DeviceClass",
        "ResourceSlice",
        "PriorityClass",
        "RuntimeClass",
        "GatewayClass",
        "APIService",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    }
)


def _allowed(document: Document, namespaces: Collection[str], kinds: Collection[str] | None) -> None:
    mine = ", ".join(namespaces)
    if kinds is not None and document.kind not in kinds:
        raise LabError(
            f"This lab takes no {document.kind}.",
            where=document.where,
            fix=f"it takes {', '.join(sorted(kinds))}",
        )
    target = document.name if document.kind == "Namespace" else document.namespace
    if target is not None and target not in namespaces:
        at = (
            document.line_of("metadata.name" if document.kind == "Namespace" else "metadata.namespace")
            or document.line
        )
        raise LabError(
            f"{document.kind} {document.name} is for the namespace {target}, which this lab does not own.",
            where=f"{document.file}:{at}",
            fix=mine,
        )
    if document.kind == "Namespace":
        labels = document.body["metadata"].get("labels") or {}
        if isinstance(labels, dict) and labels.get(_ENFORCE) == "privileged":
            at = document.line_of(f'metadata.labels."{_ENFORCE}"') or document.line
            raise LabError(
                "This namespace asks for privileged pods: they could reach the machine.",
                where=f"{document.file}:{at}",
                fix=f"{_ENFORCE}: baseline or restricted",
            )
