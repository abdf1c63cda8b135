"""An API server on paper: objects by their path, pods that a function says the end of, and everything that can go wrong on the way."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

INDEX = "batch.kubernetes.io/job-completion-index"
Pod = dict[str, Any]


def state(name: str, **terminated: Any) -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": 0, "reason": "Completed", **terminated}}}


SUCCEEDED = {
    "phase": "Succeeded",
    "initContainerStatuses": [state("notebook")],
    "containerStatuses": [state("checks")],
}


class PaperCluster:
    """One namespace's worth of a cluster.

    :param ends: for an index, the status with which its pod ends and its log; it may be called for an index again.
    """

    def __init__(
        self, ends: Callable[[PaperCluster, int], tuple[dict[str, Any], bytes]] | None = None
    ) -> None:
        self.ends = ends or (lambda cluster, index: (SUCCEEDED, b""))
        self.objects: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()  # "VERB kind"
        self.forbidden: set[str] = set()  # "VERB kind"
        self.refuses: dict[str, tuple[int, str]] = {}  # "VERB kind" → what it says instead
        self.away = 0  # requests that are answered 503
        self.gone = 0  # watches that are answered 410
        self.cut = 0  # watches that break off after their first event
        self.pods_wait: dict[str, Any] | None = None  # the status that pods stay in
        self.no_pods: str | None = None  # the event that says why none is made
        self.history: list[tuple[int, str, Pod]] = []
        self.changed = threading.Condition()
        self._version = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self, folder: Path) -> Iterator[PaperCluster]:
        """Serve it; `kubeconfig` names it as the context `paper`, and is not the current one."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "paper", "cluster": {"server": self.url}}],
                    "users": [{"name": "paper", "user": {"token": "t"}}],
                    "contexts": [
                        {"name": "paper", "context": {"cluster": "paper", "user": "paper"}},
                        {"name": "production", "context": {"cluster": "paper", "user": "paper"}},
                    ],
                    "current-context": "production",
                }
            )
        )
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    # -- objects ---------------------------------------------------------------------------------------

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [found for path, found in self.objects.items() if path.split("/")[-2] == kind]

    def secret(self, part: str) -> dict[str, bytes]:
        for found in self.kinds("secrets"):
            if found["metadata"]["name"].endswith(f"-{part}"):
                return {key: base64.b64decode(text) for key, text in found["data"].items()}
        raise KeyError(part)

    def put(self, path: str, found: dict[str, Any]) -> dict[str, Any]:
        version = next(self._version)
        found["metadata"] = {**found["metadata"], "resourceVersion": str(version), "uid": f"uid-{version}"}
        with self.changed:
            kind = "MODIFIED" if path in self.objects else "ADDED"
            self.objects[path] = found
            if path.split("/")[-2] == "pods":
                self.history.append((version, kind, json.loads(json.dumps(found))))
            self.changed.notify_all()
        return found

    def drop(self, path: str) -> None:
        with self.changed:
            for name in [name for name in self.objects if name == path or name.startswith(f"{path}/")]:
                del self.objects[name]

    def pod(self, batch: str, index: int, number: int, status: dict[str, Any]) -> str:
        """A pod as it is now."""
        name = f"{batch}-{index}-{number}"
        base = "/api/v1/namespaces/" + next(self._namespaces(batch))
        labels = {"llmlab.org/batch": batch}
        metadata = {"name": name, "labels": labels, "annotations": {INDEX: str(index)}}
        self.put(f"{base}/pods/{name}", {"metadata": metadata, "status": status})
        return name

    def _namespaces(self, batch: str) -> Iterator[str]:
        for path in list(self.objects):
            if path.endswith(f"/jobs/{batch}"):
                yield path.split("/")[-3]

    # -- what a Job's controller and the nodes do --------------------------------------------------------

    def _work(self, path: str) -> None:
        job = self.objects[path]
        name, spec = job["metadata"]["name"], job["spec"]
        if self.no_pods is not None:
            base = "/api/v1/namespaces/" + path.split("/")[-3]
            self.put(
                f"{base}/events/one",
                {"metadata": {"name": "one"}, "reason": "FailedCreate", "message": self.no_pods},
            )
            return
        failed = []
        for index in range(spec["completions"]):
            for number in range(spec["backoffLimitPerIndex"] + 1):
                if path not in self.objects:
                    return
                self.pod(name, index, number, {"phase": "Pending"})
                if self.pods_wait is not None:
                    self.pod(name, index, number, self.pods_wait)
                    break
                status, log = self.ends(self, index)
                if path not in self.objects:
                    return
                self.logs[f"{name}-{index}-{number}"] = log
                self.pod(name, index, number, {"phase": "Running"})
                self.pod(name, index, number, status)
                if status["phase"] == "Succeeded":
                    break
            else:
                failed.append(index)
        if self.pods_wait is None:
            kind, reason = ("Failed", "FailedIndexes") if failed else ("Complete", "")
            job["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason}]}

    # -- requests --------------------------------------------------------------------------------------

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        kind = "pods/log" if parts[-1] == "log" else parts[-1] if self._lists(parts) else parts[-2]
        self.asked[f"{verb} {kind}"] += 1
        if self.away > 0:
            self.away -= 1
            return 503, {"message": "away"}
        if f"{verb} {kind}" in self.refuses:
            status, message = self.refuses[f"{verb} {kind}"]
            return status, {"message": message}
        if path == "/version":
            return 200, {"major": "1", "minor": "35+", "gitVersion": "v1.35.4"}
        if kind == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            what = "/".join(filter(None, [asked["resource"], asked.get("subresource")]))
            return 201, {"status": {"allowed": f"{asked['verb']} {what}" not in self.forbidden}}
        if kind == "pods/log":
            log = self.logs.get(parts[-2])
            return (200, log) if log is not None else (404, {"message": "no log"})
        if verb == "POST":
            if (
                "namespaces" in parts[:-1]
                and f"/api/v1/namespaces/{parts[parts.index('namespaces') + 1]}" not in self.objects
            ):
                return 404, {"message": "namespaces not found"}
            name = body["metadata"]["name"]
            body.setdefault("status", {"phase": "Active"} if kind == "namespaces" else {})
            return 201, self.put(f"{path}/{name}", body)
        if verb == "PATCH":
            found = self.objects[path]
            found["spec"] |= body["spec"]
            threading.Thread(target=self._work, args=(path,), daemon=True).start()
            return 200, found
        if verb == "DELETE":
            if path not in self.objects:
                return 404, {"message": "not found"}
            self.drop(path)
            for other in list(self.objects):  # what it owns, and what is in it
                if (
                    parts[-1] in other.split("/")[-1]
                    if kind == "jobs"
                    else f"/namespaces/{parts[-1]}/" in other
                ):
                    self.drop(other)
            return 200, {"status": "Success"}
        if query.get("watch"):
            return self._watch(query)
        if self._lists(parts):
            return 200, self._list(path, kind, query)
        found = self.objects.get(path)
        return (200, found) if found is not None else (404, {"message": f"{parts[-1]} not found"})

    @staticmethod
    def _lists(parts: list[str]) -> bool:
        kinds = "namespaces secrets jobs pods networkpolicies events nodes runtimeclasses selfsubjectaccessreviews version"
        return parts[-1] in kinds.split()

    def _list(self, path: str, kind: str, query: dict[str, str]) -> dict[str, Any]:
        with self.changed:
            items = [
                found
                for name, found in sorted(self.objects.items())
                if name.startswith(f"{path}/") and name.split("/")[-2] == kind
            ]
            version = self.history[-1][0] if self.history else 0
        if batch := dict([pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair]).get(
            "llmlab.org/batch"
        ):
            items = [found for found in items if found["metadata"]["labels"].get("llmlab.org/batch") == batch]
        start, limit = int(query.get("continue") or 0), int(query.get("limit", 10_000))
        more = str(start + limit) if start + limit < len(items) else ""
        return {
            "metadata": {"resourceVersion": str(version), "continue": more},
            "items": items[start : start + limit],
        }

    def _watch(self, query: dict[str, str]) -> tuple[int, Any]:
        if self.gone > 0:
            self.gone -= 1
            return 200, iter([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}])
        return 200, self._events(int(query["resourceVersion"]), float(query["timeoutSeconds"]))

    def _events(self, since: int, seconds: float) -> Iterator[dict[str, Any]]:
        done = threading.Event()
        timer = threading.Timer(seconds, lambda: (done.set(), self._notify()))
        timer.daemon = True
        timer.start()
        while not done.is_set():
            with self.changed:
                found = [event for event in self.history if event[0] > since]
                if not found:
                    self.changed.wait(seconds)
                    continue
            for version, kind, pod in found:
                since = version
                yield {"type": kind, "object": pod}
                if self.cut > 0:
                    self.cut -= 1
                    return

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _handler(cluster) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self) -> None:
                url = urlsplit(self.path)
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                status, found = cluster.answer(self.command, url.path, dict(parse_qsl(url.query)), body)
                if isinstance(found, dict | bytes):
                    data = found if isinstance(found, bytes) else json.dumps(found).encode()
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_response(status)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    for event in found:
                        data = json.dumps(event).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    pass

            do_GET = do_POST = do_PATCH = do_DELETE = _answer

        return Handler
