"""The lab at hand: what a notebook calls."""

from __future__ import annotations

import atexit
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tier
from ..course import journal as notes
from ..course import progress
from ..course.checked import AllPassed, Checked
from ..course.info import LabInfo, all_labs, find_lab
from ..errors import LabError, stoppable
from ..serve import Server, Spec
from ..serve.ports import port_holder
from ..show.elsewhere import Elsewhere
from ..show.measured import Measured, newest
from ..show.shown import Said
from ..system.paths import course_dir
from ..tiers.process.notebook import LiveServer
from . import needs

if TYPE_CHECKING:
    from ..certificate.make import Written
    from ..course.hints import Hint
    from ..show.bench import Closes
    from ..show.shown import Shown
    from .machine import Quotas
    from .panel import Panel

VERDICT = (
    "application/vnd.llmlab.verdict+json"  # marks where a grader shows its verdict in the executed notebook
)

MAX_ANSWER = 5_000  # characters


class Lab:
    """One lab, and the folder in which the learner works on it.

    Everything that a button of the panel does is a method here, so that a notebook, papermill, a shell and a
    screen reader take the same path.
    """

    def __init__(self, info: LabInfo, files: Path, *, seed: int = 0) -> None:
        self.info = info  # the lab, as its `lab.toml` says
        self.files = files  # the folder in which the learner works
        self.seed = seed  # what hidden inputs are drawn from
        self.running: LiveServer | None = None  # what `serve()` has started
        self.result: Checked | None = None  # of the last `check()`
        self.opened: list[Closes] = []  # what the tiers' methods have opened; `stop()` closes it
        atexit.register(self.stop)

    @classmethod
    def here(
        cls, name: str | None = None, *, submission: str | Path | None = None, seed: int | None = None
    ) -> Lab:
        """The lab of the folder this notebook lies in.

        What is not given here is taken from the notebook's `parameters` cell (papermill's), where that has been run: after a restart
        of the kernel a learner runs this cell first, and it works.

        :param name: which lab, for when the notebook runs elsewhere (papermill starts in the shell's folder).
        :param submission: work on these files instead of the lab's own: a folder, or what a learner handed in as a
            zip or a lone notebook (then only the lab's files and answers are taken from it, into a temporary folder).
        :param seed: what randomised inputs are drawn from; 0 where nobody says otherwise.
        :raises LabError: when there is no lab here, or no such folder.
        """
        names = _names_of_the_notebook()
        if submission is None and isinstance(names.get("submission"), str | Path):
            submission = names["submission"]
        if seed is None:
            seed = names["seed"] if isinstance(names.get("seed"), int) else 0
        cwd = Path.cwd().resolve()
        course = course_dir()
        info, files = None, None
        for candidate in all_labs(course):
            if cwd in (candidate.folder.resolve(), candidate.solution.resolve()) and name in (
                None,
                candidate.name,
                candidate.number,
            ):
                info, files = candidate, cwd
        if info is None:
            if name is None:
                raise LabError(
                    "This folder is no lab.",
                    where=str(cwd),
                    fix='open labs/NN-slug/NN-slug.ipynb, or name the lab: Lab.here("NN-slug")',
                )
            info = find_lab(name, course)
            files = info.folder
        if submission:
            from ..submissions.opened import opened

            files = opened(Path(submission).expanduser().absolute(), info)
        assert files is not None
        lab = cls(info, files, seed=seed)
        if files == info.folder:
            progress.note_opened(info, files)
        return lab

    @property
    def last(self) -> Measured | None:
        """The newest measurement, from its record: also after a restart of the kernel, or in a tab that was closed meanwhile."""
        return newest(self.files / "records")

    # -- what the tiers open ------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """A method that a tier brings (`lab.build()`, `lab.cluster()`, …); what it opens ends with `lab.stop()` and the kernel."""
        if not name.startswith("_"):  # what Jupyter and copy look for
            opens, gives = tier.all_of("opens"), tier.all_of("gives")
            if name in opens and os.environ.get("LLMLAB_GRADING"):
                return lambda *_, **__: Elsewhere()
            if name in opens:
                return _bound(tier.load(opens[name]), self, self.opened.append)
            if name in gives:
                return _bound(tier.load(gives[name]), self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *tier.all_of("opens"), *tier.all_of("gives")]

    # -- serve and measure --------------------------------------------------------------------------

    @stoppable()
    def serve(self, name: str | Spec = "server.toml") -> LiveServer:
        """Start what a file of this lab describes, as `llmlab.serve.Spec.read` reads it; what ran before is stopped."""
        self.stop()
        spec = name if isinstance(name, Spec) else Spec.read(self.files / name)
        port = spec.flags.get("port")
        holder = port_holder(port) if isinstance(port, int) and port else None
        within = os.environ.get("LLMLAB_READY")  # a grader waits no longer than this for what others wrote
        live = self._live(Server(spec, port=0 if holder else None, within=float(within) if within else None))
        if holder:
            live.note = f"Port {port} is taken by {holder}: using port {live.server.choose_port()}."
        live.server.start()
        self.running = live
        return live

    def _live(self, server: Server) -> LiveServer:
        from ..machine import profile

        return LiveServer(
            server, records=self.files / "records", profile=profile(), lab=self.info.name, seed=self.seed
        )

    @stoppable()
    def sweep(self, threads: list[int], cpus: list[float | None], **options: Any) -> Measured:
        """Tokens/s at every thread count under every CPU quota (None: no quota); `repeats` interleaved rounds."""
        from ..load.sweep import sweep
        from ..machine import profile
        from ..show.bars import sweep_bar
        from ..show.kept import store

        self.stop()
        options.setdefault("repeats", {"binder": 1, "laptop": 2, "workstation": 3}[profile()])
        spec = options.pop("spec", None) or Spec.read(self.files / "server.toml")
        with sweep_bar(len(threads) * len(cpus) * options["repeats"]) as say:
            record = sweep(
                spec, threads=threads, cpus=cpus, lab=self.info.name, seed=self.seed, say=say, **options
            )
        return Measured(record, store(record, self.files / "records"))

    def stop(self) -> None:
        """Stop what this lab runs."""
        if self.running is not None:
            self.running.stop()
            self.running = None
        while self.opened:
            self.opened.pop().close()

    # -- check, hint, reset -------------------------------------------------------------------------

    @stoppable()
    def check(self, *only: str, quiet: bool = False) -> Checked:
        """Deploy the files afresh in a process of its own and probe what runs; returns the result.

        What this notebook serves is stopped first: two servers on one machine would disturb each other's figures.
        """
        from .. import checks
        from ..show.bars import check_bar

        self.stop()
        if os.environ.get("LLMLAB_GRADING"):
            return Deferred(only)  # type: ignore[return-value]
        if only and os.environ.get("LLMLAB_STEPS") == "off":
            return Deferred(only, "Checked with all others at the end: LLMLAB_STEPS is off.")  # type: ignore[return-value]
        needs.refuse(self.info)
        names = [check.name for check in checks.load_checks(self.info.folder)]
        for name in only:
            if name not in names:
                raise LabError(f"This lab has no check {name!r}.", fix="there are " + ", ".join(names))
        with check_bar(len(only) or len(names), quiet=quiet) as event:
            result = checks.run(
                self.info.folder,
                self.files,
                artifacts=self.info.artifacts,
                answers=self.answers(),
                seed=self.seed,
                needs=self.info.needs,
                only=only,
                on_event=event,
                home=self.files.parent if self.files == self.info.folder else self.files,
            )
        progress.note_result(self.info, self.files, result, complete=not only)
        failing = result.failing
        notes.note(
            self.files,
            "check",
            done=f"lab.check({', '.join(map(repr, only))})",
            observed=f"{result.points:g} of {result.max_points:g} points"
            + (f", failed: {', '.join(failing)}" if failing else ""),
        )
        self.result = Checked(result, self.info, complete=not only)
        return self.result

    def hint(self, check: str | None = None) -> Hint:
        """The next hint for a check (default: the first one that failed last time)."""
        from ..course.hints import next_hint, read_hints

        path = self.info.folder / "hints.md"
        if check is None:
            checked = self.result  # of a few checks it tells what failed, and never that all is done
            known = checked is not None and (checked.complete or checked.failing)
            result = checked.result if checked and known else progress.last_result(self.files)
            if result is not None and result.passed:
                return AllPassed(self.info)
            failing = result.failing if result else []
            check = failing[0] if failing else next(iter(read_hints(path)))
        hint = next_hint(path, progress.work_folder(self.files) / "hints.json", check)
        notes.note(self.files, check, done=f"hint {hint.shown} of {len(hint.steps)}")
        return hint

    def answer(self, **answers: Any) -> Said | None:
        """Keep an answer to a question of this lab; None takes it back, and says so. `check` compares it with what it measures."""
        for name, value in answers.items():
            if len(str(value)) > MAX_ANSWER:
                raise LabError(
                    f"The answer {name} is longer than {MAX_ANSWER:,} characters.", fix="a shorter one"
                )
            if not _plain(value):
                raise LabError(
                    f"The answer {name} is a {type(value).__name__}.",
                    fix=f"an answer is a number, a text, yes or no, or a list of those: lab.answer({name}=4)",
                )
        path = progress.work_folder(self.files) / "answers.json"
        kept = progress.read_json(path) | answers
        progress.write_json(path, {key: value for key, value in kept.items() if value is not None})
        left = [name for name, value in answers.items() if value is None]
        return (
            Said([f"{name}: no answer yet; put yours in the place of None" for name in left])
            if left
            else None
        )

    def answers(self) -> dict[str, Any]:
        """The answers given so far, kept or standing in the answer cells of the notebook (of both, where a `lab.ipynb` lies beside)."""
        from ..submissions.answers import answers

        return answers(
            progress.work_folder(self.files) / "answers.json",
            *(self.files / name for name in self.info.notebook_names),
        )

    def predict(self, **guesses: Any) -> str:
        """Keep a guess made before a measurement. Nobody grades it; being wrong is how it teaches."""
        for name, value in guesses.items():
            notes.note(self.files, name, predicted=_scalar(value))
        return "noted: " + ", ".join(f"{name} = {value}" for name, value in guesses.items())

    def guess(self, name: str) -> Any:
        """The newest prediction of this name, None where there is none: what a figure marks as yours."""
        return notes.guess(self.files, name)

    def compare(self, **measured: Any) -> Said:
        """What was measured beside what `predict` kept under the same name: "you said 2, measured 1.6"."""
        lines = []
        for name, value in measured.items():
            seen, guess = _scalar(value), self.guess(name)
            if seen is None:  # a grader runs the notebook, or nothing was measured
                lines.append(f"{name}: nothing was measured here")
                continue
            notes.note(self.files, name, predicted=guess, observed=seen)
            lines.append(notes.answer(name, guess, seen))
        return Said(lines)

    def journal(self) -> notes.Journal:
        """What you guessed, did and saw in this lab, in the order in which it happened."""
        return notes.Journal(f"Lab {self.info.number}: {self.info.title}", notes.read(self.files))

    def certificate(self) -> Written | Said:
        """One page with your own figures, claims and points, to print and to hand in: `certificate.html` beside the lab's files."""
        if os.environ.get("LLMLAB_GRADING"):
            return Said(["It is made from what you hand in."])
        from ..certificate.make import of_lab

        return of_lab(self)

    def machine(self) -> Shown:
        """What this machine can run, and the command that brings what is missing (`llmlab doctor`)."""
        from .machine import describe_machine

        return describe_machine()

    def quotas(self) -> Quotas:
        """What can hold a process to a quota here, and the CPU quotas worth measuring (`.cpus`)."""
        from .machine import Quotas

        return Quotas()

    def reset(self) -> list[str]:
        """Put the starter files back; what was there is kept below `.llmlab/before-reset-…`. Returns their names."""
        from ..course.reset import reset

        return reset(self.info, self.files)

    def undo(self) -> list[str]:
        """Put back your files as they were before the last `reset`; what is there now is kept below `.llmlab/before-undo-…`."""
        from ..course.reset import undo

        return undo(self.files)

    def show(self) -> Shown:
        """What the file describes, beside what really runs."""
        from ..tiers.process.notebook import describe_lab

        live = self.running.server if self.running is not None and self.running.server.running else None
        return describe_lab(self.files, live)

    def panel(self) -> Panel:
        """The same powers as buttons, with a live throughput chart."""
        from .panel import Panel

        return Panel(self)

    def __repr__(self) -> str:
        line = f"Lab {self.info.number}: {self.info.title} ({self.info.minutes} min), files in {self.files}"
        return "\n".join([line, *needs.said(self.info)])

    def _repr_html_(self) -> str:
        from ..show.at_hand import buttons, links

        edit = (
            f"You edit {links(self.files, self.info.artifacts)}."
            if self.info.artifacts
            else "There is nothing to edit here."
        )
        return (
            f"<b>Lab {self.info.number}: {self.info.title}</b> · {self.info.minutes} minutes · {progress.so_far(self.info, self.files)}"
            f"<br>{edit}{buttons(self.files, self.info.artifacts)}{needs.missing_html(self.info)}"
        )


class Deferred:
    """What `check` returns where the files are looked at later: while a grader runs the notebook, which deploys them itself, outside."""

    failing: tuple[str, ...] = ()
    passed = False

    def __init__(
        self,
        only: tuple[str, ...] = (),
        words: str = "The grader deploys and probes these files itself; its verdict will stand here.",
    ) -> None:
        self.only = only  # the checks that the cell asks for; none: all of them
        self.words = words

    def __repr__(self) -> str:
        return self.words

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/plain": repr(self), VERDICT: {"only": list(self.only)}}


def _names_of_the_notebook() -> dict[str, Any]:
    """What the cells of the notebook have set, in a kernel or in a grader; empty outside a notebook."""
    shell = sys.modules.get("IPython")
    session = shell.get_ipython() if shell else None
    return session.user_ns if session is not None else {}


def _bound(
    make: Callable[..., Any], lab: Lab, hold: Callable[[Any], None] = lambda _: None
) -> Callable[..., Any]:
    """`make` as a method of the lab, with its own words and arguments; what it gives is held."""

    @stoppable()
    def method(*words: Any, **options: Any) -> Any:
        made = make(lab, *words, **options)
        hold(made)
        return made

    signature = inspect.signature(make)
    method.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    method.__name__, method.__doc__ = make.__name__, inspect.getdoc(make)
    return method


def _plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(part is None or type(part) in (bool, int, float, str) for part in value)
    return value is None or (type(value) in (bool, int, float, str) and value == value)


def _scalar(value: object) -> float | int | str | bool | None:
    """A number, text or truth, also one of numpy's; None for what is none of those, or not a number."""
    if hasattr(value, "item") and not isinstance(value, Elsewhere):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) and value == value else None
