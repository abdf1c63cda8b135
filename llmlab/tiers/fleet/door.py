"""The door of a plan, as HAProxy's configuration."""

from __future__ import annotations

from collections.abc import Mapping

from ...capacity.plan import Door
from ...errors import LabError

#: The field's names for policies → HAProxy's.
BALANCE = {
    "round_robin": "roundrobin",
    "random": "random(1)",
    "least_connections": "leastconn",
    "power_of_two": "random(2)",
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
    http-error status 429 content-type application/json string '{{"error": {{"code": 429, "message": "The queue is full."}}}}'
    http-error status 503 content-type application/json string '{{"error": {{"code": 503, "message": "It waited too long."}}}}'

frontend door
    bind "${{BIND}}"
    http-request deny deny_status 429 if {{ be_conn_free(servers) le 0 }} {{ queue(servers) ge {queue} }}
    default_backend servers

backend servers
    balance {balance}
    option httpchk GET /health
    # What a server has begun that is then found dead is ended: its user may ask again.
    default-server maxconn {slots} check inter {check}ms fall {fall} rise 2 on-marked-down shutdown-sessions
{servers}
"""


def config(door: Door, slots: int, servers: Mapping[str, int]) -> str:
    """The whole file.

    :param servers: name → port of 127.0.0.1.
    :raises LabError: for a policy that HAProxy has not.
    """
    if door.policy not in BALANCE:
        raise LabError(
            f"The door on this machine has no policy {door.policy!r}.", fix="policy = " + " | ".join(BALANCE)
        )
    return _TEMPLATE.format(
        wait=round(1000 * door.max_wait_s),
        check=round(1000 * door.check_s),
        queue=door.max_queue,
        balance=BALANCE[door.policy],
        slots=slots,
        fall=door.fall,
        servers="\n".join(f"    server {name} 127.0.0.1:{port}" for name, port in servers.items()),
    )
