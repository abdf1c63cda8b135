"""The learner's objects on a cluster of the grader's."""

import shutil
from pathlib import Path

from llmlab.checks import Context, fixture
from llmlab.errors import LabError
from llmlab.tiers.kubernetes.for_labs import applied, cluster, kustomized, matching

HERE = Path(__file__).parent
DEPLOYMENT, SERVICE, GPU = "llama-server", "llama-server", "llama-server-gpu"
SLOW, WRONG = "llama-server:v1.0.0-slow-disk", "models/20m:1-wrong"
IMAGES = ("llama-server:v1.0.0", SLOW, "models/20m:1", "models/tiny:1", WRONG, "fetch:1")
REPLICAS = 3
BOUND, FULL, ROLLED = 12, 40, 90  # seconds for a claim, for its models, for everything to be rolled out


def documents(ctx: Context, at):
    """The learner's objects, with the lab's own gpu.yaml in place of whatever theirs says of it."""
    for name in ("configmap.yaml", "gpu.yaml"):
        shutil.copy(HERE / name, ctx.files / name)
    *mine, given = kustomized(ctx, at, HERE / "gpu.yaml")
    return [document for document in mine if (document.kind, document.name) != (given.kind, given.name)] + [
        given
    ]


@fixture
def stack(ctx: Context):
    """Everything applied to a fresh cluster."""
    at = cluster(ctx, "storage", images=IMAGES)
    with applied(ctx, at, documents(ctx, at)) as one:
        yield one


@fixture
def live(ctx: Context):
    """The same, rolled out."""
    one = stack(ctx)
    one.ready(ctx.ready or ROLLED)
    return one


def mine(one):
    """The learner's Deployment, and the selector of its pods."""
    found = next((it for it in one.documents if it.kind == "Deployment" and it.name == DEPLOYMENT), None)
    if found is None:
        raise LabError(f"There is no Deployment {DEPLOYMENT}.", where="kustomization.yaml")
    return found, matching(found)
