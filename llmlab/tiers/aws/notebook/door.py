"""The stack's door in a notebook: `front = infra.front()`, `front.ask(key=False)`."""

from __future__ import annotations

import json

import httpx

from ....errors import LabError
from ....show.face import Face
from ....show.shown import Said, shown
from ..account import Account
from ..probes.door import Front


class LiveFront(
    Face,
    what="The door",
    again="infra = lab.terraform(), infra.apply(), front = infra.front()",
    works=["config"],
):
    """The load balancer of a notebook, as HAProxy would be it, in front of servers that are up.

    :param front: the door and the servers behind it.
    :param port: of the listener that is asked.
    :param account: whose key lets in.
    """

    def __init__(self, front: Front, port: int, account: Account) -> None:
        self.front, self.port, self.account = front, port, account
        try:
            front.ready(port)
        except BaseException:
            front.close()
            raise

    @property
    def config(self) -> Said:
        """haproxy.cfg as it was written from what was created."""
        return Said(self.front.door.config.splitlines())

    @shown
    def ask(self, prompt: str = "Once upon a time", *, key: bool = True, max_tokens: int = 8) -> Said:
        """A completion through HTTPS, with the key of Secrets Manager or without one."""
        try:
            reply = self.front.ask(
                port=self.port, key=self.account.key if key else None, prompt=prompt, max_tokens=max_tokens
            )
        except httpx.HTTPError as error:
            raise LabError(f"The door did not answer: {error}") from None
        said = reply.json() if reply.headers.get("content-type", "").startswith("application/json") else {}
        text = said.get("choices", [{}])[0].get("text", "") if "choices" in said else json.dumps(said)[:160]
        return Said([f"HTTP {reply.status_code}: {text!r}"])

    def _ended(self) -> LabError:
        return LabError(
            "The door has ended: lab.check(), lab.stop() and the next infra.front() end it.", fix=self._again
        )

    def close(self) -> None:
        """End it; may be called twice."""
        self.front.close()

    def __repr__(self) -> str:
        servers = ", ".join(server for many in self.front.door.targets.values() for server in many)
        return (
            f"https://{self.account.domain} is open, in front of {servers}\n"
            "emulated: HAProxy for the load balancer, containers for the instances"
        )
