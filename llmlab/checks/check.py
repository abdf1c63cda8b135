"""The decorator that makes a check, what it gets (`Context`) and what it returns (`Verdict`)."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import LabError, Unavailable
from ..records.schema import Plan, Record
from ..records.store import read
from ..serve import Server, Spec
from ..serve.api import Api, Remote
from ..system.local_client import local_client
from .genuine import ENOUGH, foreign
from .result import Evidence

T = TypeVar("T")


class DeploymentFailed(Exception):
    """What the learner wrote does not run: a failed check, not an error of the grader."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check function returns; made by `passed`, `failed`, `verdict` or `inconclusive`."""

    status: str  # passed | failed | inconclusive
    evidence: Evidence  # what was expected and what was seen
    reason: str | None = None  # why it cannot be told
    data: Mapping[str, Any] = field(default_factory=dict)  # figures behind it
    realism: str | None = None  # when it is another than the check's own: what the machine had decides


def _finite(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what was never reached is None."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in data.items()
    }


def passed(*, expected: str, observed: str, look: str = "", hidden: str = "", **data: Any) -> Verdict:
    """It does what it promised; `hidden` says what a hidden input was, for after the deadline."""
    return Verdict("passed", Evidence(expected, observed, look, hidden), data=_finite(data))


def failed(*, expected: str, observed: str, look: str = "", hidden: str = "", **data: Any) -> Verdict:
    """It does not; `look` is a command with which the learner sees the same."""
    return Verdict("failed", Evidence(expected, observed, look, hidden), data=_finite(data))


def verdict(
    good: bool, *, expected: str, observed: str, look: str = "", hidden: str = "", **data: Any
) -> Verdict:
    """`passed` where it is good, else `failed`: the same evidence either way."""
    end = passed if good else failed
    return end(expected=expected, observed=observed, look=look, hidden=hidden, **data)


def inconclusive(
    reason: str, *, expected: str, observed: str, look: str = "", hidden: str = "", **data: Any
) -> Verdict:
    """Too noisy to say: costs nobody points, may be run again."""
    return Verdict("inconclusive", Evidence(expected, observed, look, hidden), reason, _finite(data))


@dataclass(frozen=True, slots=True)
class Check:
    """One graded promise of a lab."""

    name: str  # its function's, with dashes
    title: str  # the promise, in words
    points: float  # what it gives when it passes
    function: Callable[[Context], Verdict]  # what is run
    needs: tuple[str, ...] = ()  # checks that must have passed
    machine: tuple[str, ...] = ()  # needs of the machine, as `llmlab doctor` names them
    realism: str = "real"  # real | emulated | schema
    stands_in: str | None = None  # emulated: what stands in
    timed: bool = False  # it measures: nobody else measures on this machine meanwhile


def check(
    *,
    title: str,
    points: float = 1,
    needs: tuple[str, ...] = (),
    machine: tuple[str, ...] = (),
    realism: str = "real",
    stands_in: str | None = None,
    timed: bool = False,
) -> Callable[[Callable[[Context], Verdict]], Check]:
    """Make a check of a function `(Context) -> Verdict`; its name, with dashes, is the check's name.

    :param needs: names of checks without which this one is skipped.
    :param machine: what the machine must have (`doctor`'s names); else skipped with the mending command.
    :param realism: `real`, `emulated` (then `stands_in` names the stand-in) or `schema`.
    :param timed: it compares times, so a grader lets no other submission measure meanwhile.
    """

    def make(function: Callable[[Context], Verdict]) -> Check:
        name = function.__name__.replace("_", "-")
        return Check(name, title, points, function, needs, machine, realism, stands_in, timed)

    return make


class Context:
    """What a check may use: the learner's files, a fresh deployment of them, answers, seeded randomness."""

    def __init__(
        self,
        *,
        files: Path,
        seed: int,
        answers: Mapping[str, Any],
        profile: str,
        lab: Path | None = None,
        ready: float | None = None,
        turn: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        say: Callable[[str], None] = lambda _: None,
        home: Path | None = None,
    ) -> None:
        self.files = files  # a copy of what was handed in
        self.home = home  # the folder in which the learner works, on the learner's own machine; None where only `files` is there
        self.seed = seed  # what `random()` draws from
        self.answers = answers  # what the answer cells said
        self.profile = profile  # of this machine: binder | laptop | workstation
        self.lab = lab  # its folder
        self.ready = ready  # seconds a deployment may take; None: as long as it makes progress
        self.turn = turn  # around what compares times: nobody else measures meanwhile
        self.say = say  # tells whoever waits what goes on
        self.deployed = False  # whether a server of the learner's was started
        #: What was handed in; what a check lays beside it later is the lab's own.
        self.handed_in = frozenset(
            path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()
        )
        self._stack = contextlib.ExitStack()
        self._shared: dict[str, Server] = {}
        self._made: dict[Hashable, Any] = {}
        self._own_errors: list[
            LabError
        ] = []  # of what the lab brings along: no fixture makes them the learner's

    def enter(self, thing: contextlib.AbstractContextManager[T]) -> T:
        """Own something for the rest of this run."""
        return self._stack.enter_context(thing)

    def made(self, key: Hashable, make: Callable[[], T], *, ours: bool) -> T:
        """What `make` gave the first time, or the same failure again; for `fixture`, which says whose failure it is."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except DeploymentFailed as error:
                self._made[key] = error
            except LabError as error:
                if isinstance(error, Unavailable):
                    raise
                if not self.blames(error) and (ours or error in self._own_errors):
                    self._own_errors.append(error)
                    raise
                self._made[key] = DeploymentFailed(self.words(error))
        found = self._made[key]
        if isinstance(found, DeploymentFailed):
            raise found
        return found  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def deploying(self, *kinds: type[LabError]) -> Iterator[None]:
        """Around a deployment: what goes wrong is the files' fault, unless the machine itself is in trouble.

        :param kinds: of what goes wrong; none named: all of it.
        :raises DeploymentFailed: with the words of the tool, its paths as the learner knows them.
        """
        try:
            yield
        except Unavailable:
            raise
        except LabError as error:
            if kinds and not isinstance(error, kinds):
                raise
            raise DeploymentFailed(self.words(error)) from error

    def words(self, error: LabError) -> str:
        """What an error says, its paths as the learner knows them."""
        return str(error).replace(str(self.files) + "/", "")

    def blames(self, error: LabError) -> bool:
        """Whether an error's place is in a file that was handed in: then it is that file's, wherever it was met."""
        where = (error.where or "").removeprefix(f"{self.files}/")
        return any(
            where.startswith(name) and where[len(name) : len(name) + 1] in ("", ":", ",", " ")
            for name in self.handed_in
        )

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, so that one check's draws never move another's."""
        return random.Random(f"{self.seed}:{purpose}")

    def spec(self, name: str = "server.toml") -> Spec:
        """The learner's spec.

        :raises DeploymentFailed: when the file cannot be read as one.
        """
        try:
            return Spec.read(self.files / name)
        except LabError as error:
            raise DeploymentFailed(self.words(error)) from error

    def server(self, name: str = "server.toml") -> Server:
        """The learner's server, deployed afresh on a port of ours; shared by the checks of one run.

        :raises DeploymentFailed: when it does not start, or is not the model that the file names.
        """
        if name not in self._shared or not self._shared[name].running:
            server = self.deploy(self.spec(name))
            self.prove(server)
            self._shared[name] = server
        return self._shared[name]

    def prove(self, server: Server) -> None:
        """Ask it something new, and a server of ours with the same model the same.

        :raises DeploymentFailed: when what answers is not that model.
        """
        self._prove(server, Spec(model=server.spec.model, folder=server.spec.folder))

    def prove_at(self, url: str, *, model: str, key: str | None = None, name: str | None = None) -> None:
        """The same for what was deployed elsewhere (a container, a machine, a pod) and answers at an address.

        :param name: under which name a server of several models has it.
        :raises DeploymentFailed: when what answers is not that model.
        """
        with Remote(url, key=key) as server:
            self._prove(server, Spec(model=model, folder=self.files), name)

    def _prove(self, server: Api, spec: Spec, name: str | None = None) -> None:
        reference = self.reference(replace(spec, flags=ENOUGH))
        try:
            why = foreign(server, reference, name)
        finally:
            reference.stop()
        if why:
            raise DeploymentFailed(f"What answers is not the model that was given: {why}.")

    def records(self) -> list[Record]:
        """What the learner measured, oldest first; those of other versions are left out."""
        found = []
        for path in sorted((self.files / "records").glob("*.json")):
            with contextlib.suppress(LabError):
                found.append(read(path))
        return found

    def deploy(self, spec: Spec) -> Server:
        """Start a server of the learner's making; it ends with the run.

        :raises DeploymentFailed: when it does not start, with the reason.
        """
        try:
            self.deployed = True
            return self._stack.enter_context(Server(spec, port=0, within=self.ready))
        except LabError as error:
            raise DeploymentFailed(self.words(error)) from error

    def reference(self, spec: Spec) -> Server:
        """Start a server of the lab's own (its failure is the grader's error, never the learner's)."""
        return self._stack.enter_context(Server(spec, port=0))

    def measure(
        self, server: Server, plans: Sequence[Plan], *, on_phase: Callable[[str], None] | None = None
    ) -> Record:
        """Load a server; `on_phase` hears "warm-up" and "run" as they go on."""
        from ..load import Target, measure

        target = Target(
            url=server.url, api_key=server.key, pid=server.pid, info=server.info(), throttle=server.throttle
        )
        heard = None if on_phase is None else (lambda progress: on_phase(progress.phase))
        return measure(target, plans, on_event=heard)

    def status_without_key(self, server: Server) -> int:
        """The HTTP status of a completion asked for without a key."""
        with local_client(timeout=30, headers={"Connection": "close"}) as client:
            reply = client.post(f"{server.url}/completion", json={"prompt": "x", "n_predict": 1})
        return reply.status_code

    def stop(self, server: Server) -> None:
        """Stop one server before the run ends, so that it does not disturb the next measurement."""
        server.stop()
        self._shared = {name: other for name, other in self._shared.items() if other is not server}

    def close(self) -> None:
        """Stop all that was started."""
        self._stack.close()
        self._shared.clear()
        self._made.clear()
        self._own_errors.clear()
