"""The door of a plan, as HAProxy's configuration."""

from __future__ import annotations

from collections.abc import Mapping

from ...capacity.planned_door import PlannedDoor
from ...capacity.written_door import WrittenDoor
from ...errors import LabError

#: The field's names for policies → HAProxy's.
BALANCE = {"round_robin": "roundrobin", "least_connections": "leastconn"}
#: Why the others are none of this door's.
LACKS = {
    "random": "HAProxy's draws a server without looking whether it has a free slot: a request would wait beside one",
    "power_of_two": "HAProxy's draws two servers without looking whether they have a free slot: a request would wait beside one",
    "prefix_hash": "it would have to read the prompt",
}
_TEMPLATE = """\
global
    maxconn 4096
    # One thread: the queue and the free slots are then counted exactly.
    nbthread 1

defaults
    mode http
    timeout connect 1s
    timeout client 120s
    timeout server 120s
    timeout queue {wait}ms
    timeout check {check}ms
    # Once, and elsewhere: but only what no server has begun.
    retries 1
    option redispatch 1
    retry-on conn-failure empty-response
    # Who has left the queue is served by nobody.
    option abortonclose
    option http-server-close
    # A token goes out as it is written, not when more have come: without it the first one was 0.1 s later.
    option http-no-delay
    http-error status 429 content-type application/json string '{{"error": {{"code": 429, "message": "The queue is full."}}}}'
    http-error status 503 content-type application/json string '{{"error": {{"code": 503, "message": "It waited too long."}}}}'

frontend door
    bind "${{BIND}}"
    http-request deny deny_status 429 if {{ be_conn_free(servers) le 0 }} {{ queue(servers) ge {queue} }}
    default_backend servers

backend servers
    balance {balance}
    option httpchk GET /health
    # A server that refuses a request is looked at once more at once: until a check finds it dead, it is the one with most free slots.
    # What a server has begun that is then found dead is ended: its user may ask again.
    default-server maxconn {slots} check inter {check}ms fastinter 20ms fall {fall} rise 2
    default-server observe layer4 error-limit 1 on-error fastinter on-marked-down shutdown-sessions
{servers}
"""


def config(door: PlannedDoor, slots: int, servers: Mapping[str, int]) -> str:
    """The whole file: of a plan's keys, or the learner's own as it is.

    :param servers: name → port of 127.0.0.1.
    :raises LabError: for a policy that HAProxy has not.
    """
    if isinstance(door, WrittenDoor):
        return door.text
    if door.policy not in BALANCE:
        raise LabError(
            f"The door on this machine has no policy {door.policy!r}: {LACKS[door.policy]}.",
            fix="policy = " + " or ".join(f'"{name}"' for name in BALANCE),
        )
    return _TEMPLATE.format(
        wait=max(1, round(1000 * door.max_wait_s)),  # 0 would be: for ever
        check=round(1000 * door.check_s),
        queue=door.max_queue,
        balance=BALANCE[door.policy],
        slots=slots if door.maxconn is None else door.maxconn,
        fall=door.fall,
        servers="\n".join(f"    server {name} 127.0.0.1:{port}" for name, port in servers.items()),
    )
