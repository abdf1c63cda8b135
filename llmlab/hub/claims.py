"""The homes of a hub on Kubernetes: a pod that may do nothing else reads each learner's volume, and a lab's folder comes here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..course.info import LabInfo
from ..errors import LabError
from ..say import Say, quiet
from ..submissions.pile import MAX_READ
from . import homes

#: What KubeSpawner writes on a learner's volume: what it is, and whose.
LABEL, WHOSE = "component=singleuser-storage", "hub.jupyter.org/username"
MINE = "llmlab.org/collect"
READY = 300  # seconds for the pods of a batch: a volume may have to be attached first


@dataclass(frozen=True, slots=True)
class HubVolumes:
    """A hub's namespace in a cluster, by a context of the user's kubeconfig."""

    context: str
    namespace: str
    image: str  # the course's: every node of the hub has it
    program: str = "kubectl"

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """What kubectl prints.

        :raises LabError: with its own words.
        """
        try:
            done = subprocess.run(self._line(*words), input=input, capture_output=True, text=True)
        except FileNotFoundError:
            raise LabError("There is no kubectl.", fix="uv run llmlab fetch kubernetes") from None
        if done.returncode:
            raise LabError(
                f"kubectl {words[0]}: {done.stderr.strip()[-400:]}",
                where=f"context {self.context}, namespace {self.namespace}",
                fix="kubectl config get-contexts",
            )
        return done.stdout

    def _line(self, *words: str) -> list[str]:
        return [self.program, "--context", self.context, "--namespace", self.namespace, *words]

    def claims(self) -> dict[str, str]:
        """Learner → the name of their volume's claim, sorted.

        :raises LabError: when there is none.
        """
        listed = json.loads(self.kubectl("get", "pvc", "-l", LABEL, "-o", "json"))["items"]
        found = {
            claim["metadata"]["annotations"][WHOSE]: claim["metadata"]["name"]
            for claim in listed
            if WHOSE in (claim["metadata"].get("annotations") or {})
        }
        if not found:
            raise LabError(
                f"No learner has a volume in the namespace {self.namespace}.",
                where=f"context {self.context}: kubectl get pvc -l {LABEL}",
                fix="--namespace names the hub's",
            )
        return dict(sorted(found.items()))

    def fetch(self, info: LabInfo, pod: str, into: Path) -> None:
        """A lab's folder out of a pod with a home, as files below `into`; nothing where the learner has none.

        :raises LabError: when it is larger than what is read of a submission.
        """
        folder = f"llmlab/labs/{info.name}"
        script = f'cd /learner && if [ -d "{folder}" ]; then tar -cf - "{folder}"; fi'
        line = self._line("exec", pod, "--", "sh", "-c", script)
        with tempfile.TemporaryFile() as packed:
            with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None
                while chunk := process.stdout.read(1 << 20):
                    packed.write(chunk)
                    if packed.tell() > 2 * MAX_READ:
                        process.kill()
                        raise LabError(f"more than {2 * MAX_READ >> 20} MiB lie in {folder}")
            if process.returncode:
                raise LabError(f"the volume could not be read (kubectl exec: exit code {process.returncode})")
            packed.seek(0)
            with suppress(tarfile.ReadError), tarfile.open(fileobj=packed) as tar:  # empty: no such folder
                for member in tar:
                    name, content = (
                        PurePosixPath(member.name),
                        tar.extractfile(member) if member.isfile() else None,
                    )
                    if content is None or name.is_absolute() or ".." in name.parts:
                        continue  # no file; no link of a learner's is followed
                    target = into / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content, target.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    os.utime(target, (member.mtime, member.mtime))  # when it was handed in


def collect(
    info: LabInfo, hub: HubVolumes, out: Path, *, at_once: int = 20, say: Say = quiet
) -> list[homes.Collected]:
    """As `homes.collect`, out of the volumes of all learners of a hub; servers may run meanwhile where volumes allow two readers.

    :param at_once: how many pods read at the same time.
    :raises LabError: with kubectl's words; no pod of ours is left then either.
    """
    claims = list(hub.claims().items())
    done: list[homes.Collected] = []
    for first in range(0, len(claims), at_once):
        batch = claims[first : first + at_once]
        say(f"[{first + len(batch)}/{len(claims)}] {batch[0][0]} to {batch[-1][0]}")
        with _readers(hub, batch) as pods, tempfile.TemporaryDirectory(prefix="llmlab-homes-") as folder:
            for learner, pod in pods.items():
                course = Path(folder, pod)
                try:
                    hub.fetch(info, pod, course)
                except LabError as error:
                    done.append(homes.Collected(learner, (), (error.what,)))
                    continue
                done += homes.collect(info, {learner: course / "llmlab"}, out)
    return done


@contextmanager
def _readers(hub: HubVolumes, batch: Sequence[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """A pod for each volume, ready; learner → pod. They are gone afterwards."""
    mark = uuid.uuid4().hex[:8]
    pods = {learner: f"llmlab-collect-{mark}-{number}" for number, (learner, _) in enumerate(batch)}
    items = [_reader(hub.image, pods[learner], claim, mark) for learner, claim in batch]
    try:
        hub.kubectl(
            "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        )
        hub.kubectl("wait", "pod", "-l", f"{MINE}={mark}", "--for=condition=Ready", f"--timeout={READY}s")
        yield pods
    finally:
        with suppress(LabError):
            hub.kubectl("delete", "pod", "-l", f"{MINE}={mark}", "--ignore-not-found", "--wait=false")


def _reader(image: str, name: str, claim: str, mark: str) -> dict[str, Any]:
    """A pod that Pod Security calls restricted, with one volume, read-only, and no way out but kubectl's."""
    reader = {
        "name": "reader",
        "image": image,
        "command": ["tail", "-f", "/dev/null"],
        "volumeMounts": [{"name": "home", "mountPath": "/learner", "readOnly": True}],
        "resources": {
            "limits": {"cpu": "500m", "memory": "128Mi"},
            "requests": {"cpu": "10m", "memory": "32Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {MINE: mark}},
        "spec": {
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": 3600,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 0,
                "fsGroup": 100,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [reader],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
