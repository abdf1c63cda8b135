"""The learner's door on a cluster of the grader's, with the lab's own servers, certificate and keys behind it."""

import contextlib
import shutil
from collections import deque
from pathlib import Path

import httpx

from llmlab.checks import Context, fixture
from llmlab.errors import LabError
from llmlab.load.users import Users
from llmlab.system.local_client import local_client
from llmlab.tiers.gateway.for_labs import (
    HOST,
    KEYS,
    TLS,
    Authority,
    DoorClient,
    FrontDoor,
    Witness,
    door,
    key_secret,
    new_keys,
    settled,
    tls_secret,
)
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, applied, cluster, kustomized

HERE = Path(__file__).parent
SERVICE, CANARY = "llama-server", "llama-server-canary"
GIVEN = ("namespace.yaml", "servers.yaml")
IMAGES = ("llama-server:v1.0.0", "models/20m:1")
CLIENTS = 200  # keys; each of them may ask sixty times a minute
ROLLED = 90  # seconds for everything to be rolled out
DOOR = 30  # seconds for a Gateway to have one


@fixture(ours=True)
def prepared(ctx: Context):
    """A fresh cluster with the controller."""
    return cluster(ctx, "envoy-gateway", images=IMAGES)


@fixture(ours=True)
def authority(ctx: Context) -> Authority:
    """Who has issued the door's certificate."""
    return Authority("lab 09")


@fixture(ours=True)
def keys(ctx: Context) -> dict[str, str]:
    """Each client's key, another one each time."""
    return new_keys(CLIENTS)


def documents(ctx: Context):
    """The learner's objects, with the lab's own namespace, servers and Secrets in place of whatever theirs say of them."""
    at = prepared(ctx)
    for name in GIVEN:
        shutil.copy(HERE / name, ctx.files / name)
    found = kustomized(ctx, at, *(HERE / name for name in GIVEN))
    found += [
        tls_secret(TLS, NAMESPACE, authority(ctx).issue(HOST)),
        key_secret(KEYS, NAMESPACE, keys(ctx)),
    ]
    made = {(document.kind, document.name): document for document in found}
    return sorted(made.values(), key=lambda document: document.kind != "Secret")  # whoever names one finds it


@fixture
def stack(ctx: Context):
    """All of it applied, and the servers ready."""
    with applied(ctx, prepared(ctx), documents(ctx)) as one:
        one.ready(ctx.ready or ROLLED)
        yield one


@fixture
def remarks(ctx: Context):
    """What the controller has to say of the Gateways, routes and policies, once it has looked at them."""
    one = stack(ctx)
    return settled(one.cluster, one.documents, DOOR)


def listeners(ctx: Context, protocol: str):
    """(Gateway, port) of each listener of a protocol that could be for the host."""
    found = stack(ctx).documents
    gateways = {document.name: document for document in found if document.kind == "Gateway"}
    for document in found:
        if document.kind not in ("Gateway", "ListenerSet"):
            continue
        spec = document.body["spec"]
        gateway = gateways.get(document.name if document.kind == "Gateway" else spec["parentRef"]["name"])
        for listener in (spec.get("listeners") or ()) if gateway else ():
            name = listener.get("hostname")
            mine = name in (None, "", HOST) or (name.startswith("*.") and HOST.endswith(name[1:]))
            if listener.get("protocol") == protocol and mine:
                yield gateway, listener["port"]


@fixture
def front(ctx: Context) -> FrontDoor:
    """The door over TLS."""
    return opened(ctx, "HTTPS", 443, authority(ctx).certificate)


def opened(ctx: Context, protocol: str, port: int, trusted: bytes | None = None) -> FrontDoor:
    """The door of the first Gateway that has a listener of that protocol, on that port.

    :raises LabError: at the Gateway's line, when it has none.
    """
    found = list(listeners(ctx, protocol))
    gateway = next((gateway for gateway, its in found if its == port), None)
    if gateway is None:
        there = ", ".join(f"{its} ({gateway.where})" for gateway, its in found) or "none"
        raise LabError(
            f"No Gateway listens for {protocol} on port {port} for {HOST}; its ports are {there}.",
            where=found[0][0].where if found else "kustomization.yaml",
            fix=f"a listener with protocol: {protocol}, port: {port}",
        )
    trouble = [str(remark) for remark in remarks(ctx) if remark.document == gateway and not remark.condition]
    if trouble:  # nobody looks at it: there will be no door
        raise LabError("\n".join(trouble), where=gateway.where)
    one = stack(ctx)
    try:
        return door(one.cluster, gateway.name, NAMESPACE, port=port, authority=trusted, within=DOOR)
    except LabError as error:
        raise LabError(error.what, where=gateway.where) from None


@fixture(ours=True)
def _keys(ctx: Context) -> deque[str]:
    return deque(keys(ctx).values())


def _next(ctx: Context) -> str:
    """The key that was used longest ago."""
    _keys(ctx).rotate()
    return _keys(ctx)[0]


def client(ctx: Context) -> DoorClient:
    """A client that has not asked for anything yet, or not for long: what others asked for does not count against its limit."""
    return DoorClient(front(ctx), HOST, _next(ctx))


def users(ctx: Context, count: int) -> Users:
    """So many users of the door in closed loops, each with a key of its own, and with replies so long that none of them asks too often."""
    made = front(ctx)
    return Users(
        made.base,
        count,
        tokens=lambda number: 400 if number % 3 else 200,
        timeout=40,
        host=HOST,
        authority=made.authority,
        api_key=tuple(_next(ctx) for _ in range(count)),
        session_header="x-session",
    )


@contextlib.contextmanager
def asking(ctx: Context):
    """Around requests through the door: where there is no answer that could be read, that is the files' doing."""
    with ctx.deploying():
        try:
            yield
        except httpx.HTTPStatusError as error:
            request, status = error.request, error.response.status_code
            raise LabError(f"{request.method} {request.url.path}: HTTP {status}") from None
        except httpx.HTTPError as error:
            raise LabError(f"The door does not answer: {error or type(error).__name__}") from None
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise LabError(f"The door's answer is not llama-server's: {error!r}") from None


def counted(pod, name: str) -> float:
    """A counter of one of the lab's own servers."""
    with local_client(timeout=10) as http:
        lines = http.get(f"http://{pod.status.pod_ip}:8080/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(f"llamacpp:{name} "))


@fixture(ours=True)
def witness(ctx: Context) -> Witness:
    """It is ready, and behind no Service."""
    return Witness(stack(ctx).cluster, NAMESPACE)
