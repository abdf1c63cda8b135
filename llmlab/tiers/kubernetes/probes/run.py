"""The cluster of a check run, and the learner's manifests in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ....checks.check import Context
from ....checks.fixture import fixture
from ....errors import LabError, Unavailable
from ..cluster.cluster import Cluster
from ..drivers import choose, hold
from ..drivers.simulated import Simulated
from ..manifests import manifests
from ..manifests.applied import Applied
from ..manifests.manifests import Document

#: The namespace that the labs own.
NAMESPACE = "inference"


def cluster(ctx: Context, *addons: str, images: Sequence[str] = ()) -> Cluster:
    """One fresh cluster for all checks of a run; with kind and context the one that is up.

    :raises Unavailable: when there can be none: no fault of the learner's.
    """

    def make() -> Cluster:
        try:
            one, _ = choose.choose()
            if one.driver in (
                "local",
                "simulated",
            ):  # seconds: a new one each, and the learner's own is left alone
                ctx.say(f"bringing a {one.driver} cluster up")
                one.preload = tuple(images)
                one.up()
                ctx.enter(one)
            else:
                there = hold.running()
                if there is None or there.driver != one.driver:
                    raise Unavailable(
                        f"No {one.driver} cluster is up.",
                        fix=f"uv run llmlab cluster up --driver {one.driver}",
                    )
                one = there
        except Unavailable:
            raise
        except LabError as error:
            raise Unavailable(error.what, where=error.where, fix=error.fix) from None
        return one

    found = ctx.made("cluster", make, ours=True)  # one, whatever images a check asks for
    try:
        if images:
            found.load(*images, say=ctx.say)
        found.add(*addons, say=ctx.say)
    except LabError as error:
        raise Unavailable(error.what, where=error.where, fix=error.fix) from None
    return found


def simulated(ctx: Context, *, nodes: int = 3) -> Cluster:
    """A simulated cluster beside it, for what one node cannot show: real scheduler, fake nodes."""
    return _simulated(ctx, nodes)


@fixture(ours=True)
def _simulated(ctx: Context, nodes: int) -> Cluster:
    fresh = Simulated(nodes=nodes)
    ctx.say("bringing a simulated cluster up")
    try:
        fresh.up()
    except LabError as error:
        raise Unavailable(error.what, where=error.where, fix=error.fix) from None
    return ctx.enter(fresh)


def kustomized(ctx: Context, at: Cluster, *given: Path, kinds: Sequence[str] | None = None) -> list[Document]:
    """What the learner's kustomization makes, and the lab's own files beside it.

    :raises DeploymentFailed: with file and line.
    """
    with ctx.deploying():
        found = manifests.kustomized(at, ctx.files, namespaces=[NAMESPACE], kinds=kinds)
    for path in given:
        found += manifests.read(path.parent, [path.name], namespaces=[NAMESPACE])
    return found


@contextlib.contextmanager
def applied(
    ctx: Context, at: Cluster, documents: Sequence[Document], *, images: Mapping[str, str] | None = None
) -> Iterator[Applied]:
    """The documents in the cluster for the time of the block; in one that ends with the run, they end with it.

    :raises DeploymentFailed: with the API server's words.
    """
    ctx.deployed = True
    stack = Applied(at, documents, images=images)
    with ctx.deploying():
        stack.up()
    try:
        yield stack
    finally:
        if at.attached:
            stack.down()
