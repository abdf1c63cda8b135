"""The learner's service on a Knative of the grader's, with the lab's own key beside it."""

import contextlib
import secrets

import httpx

from llmlab.checks import Context, fixture
from llmlab.errors import LabError
from llmlab.load.users import Users
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, Applied, applied, cluster
from llmlab.tiers.serverless.for_labs import RUN_IMAGE, cloud_run, first_of, key_secret

SERVICE = "service.yaml"
IMAGE = RUN_IMAGE
#: The same image, whose model comes from a slow disk.
SLOW = f"{IMAGE}-slow-disk"
READY = 90  # seconds for a revision to become ready
IDLE = 90  # seconds in which the last instance has to go
PATH = "/v1/completions"


@fixture(ours=True)
def prepared(ctx: Context):
    """A fresh cluster with Knative in it, whose webhook answers."""
    at = cluster(ctx, "knative", images=(IMAGE,))
    cloud_run.admits(at)
    return at


@fixture(ours=True)
def key(ctx: Context) -> str:
    """Another one each time."""
    return "sk-" + secrets.token_urlsafe(18)


@fixture
def service(ctx: Context) -> cloud_run.RunService:
    """What service.yaml asks for."""
    return cloud_run.read(ctx.files, SERVICE, NAMESPACE)


@fixture
def stack(ctx: Context):
    """It is applied, and its revision is ready."""
    asked = service(ctx)
    with applied(ctx, prepared(ctx), [key_secret(NAMESPACE, key(ctx)), asked.document]) as one:
        cloud_run.ready(one, asked, ctx.ready or READY)
        yield one


def again(ctx: Context, changed: cloud_run.RunService) -> str:
    """The same service as another revision; its name, once it takes the requests.

    :raises LabError: when it does not become ready.
    """
    one: Applied = stack(ctx)
    one.apply(changed.document)
    return cloud_run.ready(one, changed, ctx.ready or READY)


def door(ctx: Context) -> cloud_run.RunDoor:
    """Where the service is asked."""
    return cloud_run.door(stack(ctx).cluster, service(ctx))


def ask(ctx: Context, *, tokens: int = 8, with_key: bool = True) -> httpx.Response:
    """A completion through the platform's own door.

    :raises LabError: when nothing answers.
    """
    with door(ctx).client(key=key(ctx) if with_key else None) as client, asking():
        return client.post(
            PATH, json={"prompt": "once upon a time", "max_tokens": tokens, "ignore_eos": True}
        )


@contextlib.contextmanager
def asking():
    """Around a request: that nothing answers is the files' doing."""
    try:
        yield
    except httpx.HTTPError as error:
        raise LabError(f"Nothing answers: {error or type(error).__name__}") from None


def users(ctx: Context, count: int, tokens: int = 16) -> Users:
    """So many people who stream, each on a connection of its own for every request."""
    made = door(ctx)
    return Users(made.base, count, tokens=tokens, timeout=90, host=made.host, api_key=key(ctx))


def once(ctx: Context, count: int, tokens: int = 16):
    """So many streams that are asked for at the same moment: their samples."""
    with users(ctx, count, tokens) as them:
        wait(f"{count} requests under way", lambda: len(them.samples) + them.open >= count, 30)
        return first_of(them, count)


def zero(ctx: Context) -> None:
    """Nobody asks until no instance is left.

    :raises LabError: when one stays.
    """
    one = stack(ctx)
    took = cloud_run.to_zero(one.cluster, service(ctx), IDLE)
    if took is None:
        left = len(cloud_run.instances(one.cluster, service(ctx)))
        raise LabError(
            f"After {IDLE} s without a request {left} instances are still there.",
            where=service(ctx).document.where,
            fix='autoscaling.knative.dev/minScale: "0"',
        )
