"""A batch in a cluster as something owned: registered before it is made, ended by `llmlab clean`, taken up again by the same command."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from ...errors import LabError, Unavailable
from ...system import owned
from . import room, trouble
from .access import Access, ApiRefusal, is_there
from .job import GradingJob

KIND = "batch"
PATIENCE = 5.0  # seconds that an end waits for a control plane


def register(access: Access, name: str, out: Path) -> Path:
    """Write the entry of a batch about to be made; returns what `owned.forget` takes."""
    return owned.register(
        KIND,
        f"batch {name} in {access.context}, namespace {access.namespace}",
        context=access.context,
        namespace=access.namespace,
        kubeconfig=access.kubeconfig,
        name=name,
        out=str(out),
    )


def of(out: Path) -> owned.OwnedEntry | None:
    """The batch of an output folder, whoever began it."""
    found = [entry for entry in owned.entries() if entry.kind == KIND and entry.data["out"] == str(out)]
    return found[-1] if found else None


def end(data: dict[str, Any]) -> None:
    """Delete a batch whose owner is gone, with all that belongs to it.

    :raises LabError: when its cluster does not answer, or refuses.
    """
    if not is_there(data["kubeconfig"]):
        return  # the cluster is gone, and the batch with it
    try:
        access = Access(data["context"], data["namespace"], data["kubeconfig"])
    except LabError:
        return  # nobody knows that cluster any more
    access.patience = PATIENCE
    with closing(access):
        try:
            GradingJob(access, data["name"], "").end()
            room.leave(access)
        except ApiRefusal as error:
            raise trouble.refused(access, error) from None
        except Unavailable as error:
            raise LabError(
                f"The batch {data['name']} cannot be deleted: {error.what}",
                fix=f"when it answers again: llmlab clean; or: kubectl --context {data['context']} -n {data['namespace']} delete job "
                + str(data["name"]),
            ) from None


owned.ENDERS[KIND] = end
