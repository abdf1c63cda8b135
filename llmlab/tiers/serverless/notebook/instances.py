"""A container group as Container Instances would make it: `aci = lab.container_instances()`, `aci.create()`, `aci.ask()`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import httpx

from ....errors import LabError
from ....plain import plain
from ....serve.api import Remote
from ....show.bars import steps_bar
from ....show.bench import alone
from ....show.face import Face
from ....show.shown import Drawn, Said, shown
from ....system.waiting import wait
from .. import starts
from ..aci import script
from ..aci.admission import NOT_IMITATED, STANDS_IN
from ..aci.group import ContainerGroup
from ..aci.remarks import remarks
from ..given import ACI_IMAGE, IDENTITY, acr, in_docker, variables
from .together import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....show.bench import Bench

SCRIPT = "aci.sh"
WITHIN = 60  # seconds for a group to answer


class LiveInstances(Face, what="The container group", again="aci = lab.container_instances()"):
    """What your aci.sh makes, in containers of this machine. It ends with `lab.stop()`.

    :raises LabError: when there is no Docker daemon.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveInstances)
        self.lab = lab  # whose script is read
        self.key = "sk-" + secrets.token_urlsafe(18)  # what $LLAMA_API_KEY says
        self.group: ContainerGroup | None = None  # that was made last
        with steps_bar("step") as say:
            in_docker(ACI_IMAGE, say)

    @shown
    def create(self) -> Said:
        """Run `az container create` of your script: what az or the service refuses, or the group, once it answers."""
        self._end()
        read = script.read(self.lab.files / SCRIPT, variables(self.key))
        if read.problems:
            return Said([str(problem) for problem in read.problems])
        if not read.asked:
            return Said([f"{SCRIPT} has no az container create"])
        asked = read.asked[0]
        self.group = ContainerGroup(asked, registries=[acr()])
        notes = [str(remark) for remark in (*read.remarks, *remarks(asked))]
        with Remote(self.group.url(), key=self.key) as server:
            wait("an answer", lambda: server.health() == 200, WITHIN, trouble=self._last)
        return Said([f"{self.group.name} is {self.group.state} at {server.url}", *notes])

    @shown
    def ask(self, *, tokens: int = 8, key: bool = True) -> Said:
        """One request at the group's address, and what came of it."""
        with Remote(self._group().url(), key=self.key if key else None) as server:
            try:
                reply = server.http.post(
                    "/v1/completions", json={"prompt": "once upon a time", "max_tokens": tokens}
                )
            except httpx.HTTPError as error:
                return Said([f"no answer at {server.url}: {error or type(error).__name__}"])
        return Said([f"HTTP {reply.status_code} {reply.reason_phrase}", reply.text[:300]])

    @shown
    def show(self) -> Said:
        """`az container show`: secure values never come back."""
        return Said(json.dumps(self._group().describe(), indent=2).splitlines())

    @shown
    def logs(self) -> Said:
        """`az container logs`: the last lines of the container that is there now."""
        return Said(self._last())

    @shown
    def starts(self, tries: int = 3, *, beside: Sequence[Drawn] = ()) -> Drawn:
        """So many groups created, each taken apart.

        :param beside: starts on other platforms, drawn in the same figure.
        """
        asked = self._group().asked
        port = asked.opened[0]
        rows = []

        def look() -> tuple[dict[str, bool], str | None]:
            if self.group is None:
                self.group = ContainerGroup(asked, registries=[acr()])
            return {"image": True} if self.group.state == "Running" else {}, self.group.address

        with steps_bar("step") as say:
            for number in range(tries):
                say(f"group {number + 1} of {tries}")
                self._end()
                rows += starts.started("Container Instances (emulated)", number, port, self.key, look)
        return together(self.lab, rows, beside)

    def _last(self) -> list[str]:
        return self._group().logs().splitlines()[-12:]

    def _group(self) -> ContainerGroup:
        """:raises LabError: when there is none."""
        if self.group is None:
            raise LabError("No container group was made.", fix="aci.create()")
        return self.group

    def _end(self) -> None:
        group, self.group = self.group, None
        if group is not None:
            group.close()

    def close(self) -> None:
        """End the group; may be called twice."""
        self._end()

    def _lines(self) -> list[str]:
        return [
            f"emulated: {STANDS_IN}",
            f"$LLAMA_API_KEY is set, $IDENTITY is {IDENTITY}",
            f"the image: {ACI_IMAGE}; only that identity may pull it",
            *(f"not imitated: {what}" for what in NOT_IMITATED),
        ]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "".join(f"<p>{plain(line)}</p>" for line in self._lines())
