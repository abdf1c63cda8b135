"""The learner's manifests in a cluster: tried first, then applied whole or not at all, awaited, and removed again."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....errors import LabError, Unavailable
from ....system.waiting import wait
from ..cluster.cluster import LABEL, ask
from . import quantities
from .manifests import Document
from .refusals import WORKLOADS, Watch
from .trouble import trouble

if TYPE_CHECKING:
    from ..cluster.cluster import Cluster

MANAGER = "llmlab"
#: What a submission may have at most in each of its namespaces.
QUOTA = {
    "pods": "24",
    "persistentvolumeclaims": "4",
    "services": "24",
}  # Knative makes three of each revision


class Applied:
    """Documents in the namespaces that they are for; as a context manager they go with its block.

    :param images: image names of the files → those that the cluster holds (containers and image volumes alike).
    """

    def __init__(
        self, cluster: Cluster, documents: Sequence[Document], *, images: Mapping[str, str] | None = None
    ) -> None:
        self.cluster = cluster  # where they are
        self.documents = list(documents)  # what was given, in that order
        self.images = dict(images or {})
        #: Where its documents go.
        self.namespaces = list(dict.fromkeys(one for it in documents if (one := _home(it))))

    def up(self, within: float = 60) -> None:
        """Namespaces first, then a dry run of everything else, then the same for real.

        :raises LabError: the API server's own words with file, line and field; nothing of the files is left then.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        for name in self.namespaces:
            try:
                found = core.read_namespace(name)
            except client.ApiException as error:
                if error.status != 404:
                    raise
                continue
            if (found.metadata.labels or {}).get(LABEL) != self.cluster.name:
                raise LabError(
                    f"There is a namespace {name} in this cluster that llmlab did not make.",
                    fix=f"choose another cluster, or: {self.cluster.kubectl('delete', 'namespace', name)}",
                )
            self.down(within)  # what is left of the last time
        try:
            self._namespaces()
            rest = [document for document in self.documents if document.kind != "Namespace"]
            for dry in (True, False):
                for document in rest:
                    self._apply(document, dry=dry)
        except BaseException:
            self.down(within)
            raise

    def apply(self, *documents: Document) -> None:
        """Apply more or changed documents, as `kubectl apply` would.

        :raises LabError: as `up`.
        """
        for dry in (True, False):
            for document in documents:
                self._apply(document, dry=dry)
        kept = {_key(document): document for document in [*self.documents, *documents]}
        self.documents = list(kept.values())

    def try_out(self, document: Document) -> None:
        """A dry run of a document as the cluster's owner: is it an object that this API server takes?

        :raises LabError: as `up`.
        """
        self._patch(document, document.body, dry=True, as_owner=True)

    def ready(self, within: float = 60) -> None:
        """Wait until Deployments are rolled out and Jobs are complete.

        :raises LabError: at the deadline, with what their pods say.
        """
        for document in self.documents:
            if document.kind in WORKLOADS:
                self.wait_for(document, within)

    def wait_for(self, document: Document, within: float = 60) -> None:
        """Wait for one of them.

        :raises LabError: at the deadline, or as soon as it cannot succeed any more: a Job has failed, pods are refused.
        """
        wait(
            f"{document.kind} {document.name}",
            lambda: self.done(document),
            within,
            trouble=lambda: self.trouble(document),
            never=Watch(self.cluster, document),
            where=document.where,
        )

    def done(self, document: Document) -> bool:
        """Whether a Deployment is rolled out, or a Job complete.

        :raises LabError: when a Job has failed.
        """
        from kubernetes import client

        assert document.namespace is not None
        if document.kind == "Job":
            status = self.job(document)
            if status is None:
                return True
            if any(it.type == "Failed" and it.status == "True" for it in status.conditions or ()):
                raise LabError(
                    f"Job {document.name} failed.\n" + "\n".join(self.trouble(document)), where=document.where
                )
            return bool(status.succeeded)
        apps = client.AppsV1Api(self.cluster.api)
        read = {
            "Deployment": apps.read_namespaced_deployment,
            "ReplicaSet": apps.read_namespaced_replica_set,
            "StatefulSet": apps.read_namespaced_stateful_set,
            "DaemonSet": apps.read_namespaced_daemon_set,
        }[document.kind]
        found = read(document.name, document.namespace)
        status = found.status
        if (status.observed_generation or 0) < found.metadata.generation:
            return False
        if document.kind == "DaemonSet":
            return bool(status.number_available == status.desired_number_scheduled)
        want = found.spec.replicas
        if document.kind == "ReplicaSet":
            return bool((status.available_replicas or 0) == want == status.replicas)
        new = (status.updated_replicas or 0) == want == (status.replicas or 0)
        return bool(
            new
            and (
                (status.available_replicas or 0) == want
                if document.kind == "Deployment"
                else status.ready_replicas == want
            )
        )

    def job(self, document: Document) -> Any:
        """The status of a Job; None: it is over and removed (`ttlSecondsAfterFinished`)."""
        from kubernetes import client

        assert document.namespace is not None
        try:
            return (
                client.BatchV1Api(self.cluster.api)
                .read_namespaced_job(document.name, document.namespace)
                .status
            )
        except client.ApiException as error:
            if (
                error.status == 404
                and (document.body.get("spec") or {}).get("ttlSecondsAfterFinished") is not None
            ):
                return None
            raise

    def trouble(self, document: Document) -> list[str]:
        """What the pods of one of them say."""
        assert document.namespace is not None
        spec = document.body.get("spec") or {}
        labels = (
            (spec.get("selector") or {}).get("matchLabels")
            if document.kind != "Job"
            else {"batch.kubernetes.io/job-name": document.name}
        )
        return trouble(self.cluster, document.namespace, selector(labels) if labels else None)

    def one(self, kind: str) -> Document:
        """The only document of a kind.

        :raises LabError: when there is none, or more than one.
        """
        found = [it for it in self.documents if it.kind == kind]
        if len(found) != 1:
            many = (
                f"{len(found)} of them: {', '.join(it.where for it in found)}" if found else "there is none"
            )
            raise LabError(f"One {kind} is wanted; {many}.")
        return found[0]

    def down(self, within: float = 60) -> None:
        """Delete its namespaces with everything in them, and wait until they are gone; may be called twice."""
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        mine = [name for name in self.namespaces if not self._gone(name)]
        for document in self.documents:
            if document.namespace in mine and document.api_version.startswith("serving.knative.dev/"):
                self._delete(document)  # what makes workloads would make them again
        for name in mine:
            # Workloads first: a namespace that is deleted with pods in it waits for half of their grace period.
            apps, batch = client.AppsV1Api(self.cluster.api), client.BatchV1Api(self.cluster.api)
            apps.delete_collection_namespaced_deployment(name)
            apps.delete_collection_namespaced_stateful_set(name)
            batch.delete_collection_namespaced_job(name, propagation_policy="Background")
        for name in mine:
            wait(f"the end of the pods in {name}", functools.partial(self._podless, name), within)
            core.delete_collection_namespaced_persistent_volume_claim(name)
            core.delete_namespace(name)
        for name in mine:
            wait(f"the end of namespace {name}", functools.partial(self._gone, name), within)

    def _delete(self, document: Document) -> None:
        from kubernetes import client

        path = self.cluster.path_of(document.api_version, document.kind, document.namespace, document.name)
        try:
            ask(self.cluster.api, "DELETE", path)
        except client.ApiException as error:
            if error.status != 404:
                raise

    def _podless(self, name: str) -> bool:
        """Whether a namespace has no pods any more; they are not asked to finish what nobody waits for."""
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        if not core.list_namespaced_pod(name).items and not self._replica_sets(name):
            return True
        core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
        return False

    def _replica_sets(self, name: str) -> bool:
        from kubernetes import client

        return bool(client.AppsV1Api(self.cluster.api).list_namespaced_replica_set(name).items)

    def _gone(self, name: str) -> bool:
        """Whether a namespace of ours is gone; another's of that name does not count."""
        from kubernetes import client

        try:
            found = client.CoreV1Api(self.cluster.api).read_namespace(name)
        except client.ApiException as error:
            if error.status == 404:
                return True
            raise
        return (found.metadata.labels or {}).get(LABEL) != self.cluster.name

    def __enter__(self) -> Applied:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # -- applying --------------------------------------------------------------------------------------

    def _namespaces(self) -> None:
        """The learner's own Namespace where there is one, else one of ours; with our mark, and the learner's rights in it."""
        from kubernetes import client

        for name in self.namespaces:
            mine = next(
                (
                    document
                    for document in self.documents
                    if document.kind == "Namespace" and document.name == name
                ),
                None,
            )
            body: dict[str, Any] = (
                copy.deepcopy(mine.body)
                if mine
                else {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
            body["metadata"]["labels"] = (body["metadata"].get("labels") or {}) | {LABEL: self.cluster.name}
            if mine:
                self._patch(
                    Document(mine.file, mine.line, "Namespace", "v1", name, None, body, mine.node),
                    body,
                    as_owner=True,
                )
            else:
                self._patch(Document("", 0, "Namespace", "v1", name, None, body), body, as_owner=True)
        self.cluster.grant(self.namespaces)
        if os.environ.get("LLMLAB_VET"):  # others wrote it
            for name in self.namespaces:
                quota = {"metadata": {"name": "llmlab"}, "spec": {"hard": QUOTA}}
                client.CoreV1Api(self.cluster.api).create_namespaced_resource_quota(name, quota)

    def _apply(self, document: Document, *, dry: bool) -> None:
        self._patch(document, self._with_images(document.body), dry=dry)

    def _with_images(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same with image names as the cluster knows them."""
        if not self.images:
            return body

        def walk(value: Any) -> Any:
            if isinstance(value, dict):
                return {
                    key: self.images.get(it, it)
                    if key in ("image", "reference") and isinstance(it, str)
                    else walk(it)
                    for key, it in value.items()
                }
            return [walk(it) for it in value] if isinstance(value, list) else value

        made: dict[str, Any] = walk(body)
        return made

    def _patch(
        self, document: Document, body: dict[str, Any], *, dry: bool = False, as_owner: bool = False
    ) -> None:
        from kubernetes import client

        api = self.cluster.api if as_owner else self.cluster.learner
        query = [("fieldManager", MANAGER), ("force", "true"), ("fieldValidation", "Strict")]
        if dry:
            query.append(("dryRun", "All"))
        try:
            path = self.cluster.path_of(
                document.api_version, document.kind, document.namespace, document.name
            )
            ask(api, "PATCH", path, query=query, body=body, content="application/apply-patch+yaml")
        except LabError as error:
            raise LabError(error.what, where=document.where, fix=error.fix) from None
        except client.ApiException as error:
            raise self._refused(document, error) from None

    def _refused(self, document: Document, error: Any) -> LabError:
        """The API server's words, at the line of the field that it names."""
        try:
            said = json.loads(error.body)
        except (TypeError, ValueError):
            said = {"message": str(error.body or error.reason)}
        message = str(said.get("message", error.reason))
        # A field that no schema knows, or a quantity that is none, is a 500 of server-side apply, and still the file's.
        files = re.match("failed to (create typed patch object|convert new object)", message)
        if (not error.status or error.status >= 500) and not files:
            return Unavailable(f"The API server does not answer as it should: {error.status} {message}")
        fields = [it["field"] for it in (said.get("details") or {}).get("causes") or [] if it.get("field")]
        fields += [it.rstrip(":") for it in re.findall(r"\.((?:spec|metadata|data)\S*)", message)]
        if "quantities must match" in message:  # it does not say which
            fields += quantities.wrong(document.body)
        line = next((at for name in fields if (at := document.line_of(name))), document.line)
        what = f"The API server refuses {document.kind} {document.name}: {message}"
        fix = None
        if error.status == 403 and "at the cluster scope" in message:
            fix = f"take it out: a {document.kind} is the whole cluster's, and a lab lets nobody make those"
        return LabError(what, where=f"{document.file}:{line}" + (f", {fields[0]}" if fields else ""), fix=fix)


def selector(labels: Mapping[str, str]) -> str:
    """Labels as a selector."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _home(document: Document) -> str | None:
    return document.name if document.kind == "Namespace" else document.namespace


def _key(document: Document) -> tuple[str, str, str | None]:
    return document.kind, document.name, document.namespace
