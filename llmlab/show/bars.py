"""Progress while something runs.

A bar is one output updated in place in a notebook (a widget would leave nothing readable in an executed one, a text bar
hundreds of lines), tqdm in a shell, and inside `drawn_by` HTML that a function gets; it ends with one plain line.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..plain import plain
from ..records.schema import Plan

if TYPE_CHECKING:
    from ..load import Progress


#: What gets the bars of this thread as HTML; None: they are shown where they are made.
_DRAWS: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def drawn_by(draw: Callable[[str], None]) -> Iterator[None]:
    """Every bar of this thread goes to a function, as HTML; also one that is `quiet`."""
    token = _DRAWS.set(draw)
    try:
        yield
    finally:
        _DRAWS.reset(token)


class _PageBar:
    """A bar as HTML, and the plain text of the same."""

    def __init__(self, total: int, unit: str, put: Callable[[str, str], None]) -> None:
        self.total, self.unit, self.began = total, unit, time.monotonic()
        self._put = put
        self._shown = 0.0

    def show(self, done: int, text: str, *, at_once: bool = False) -> None:
        """Where it stands; drawn at most four times a second, because each update is a message to the browser; `at_once`: always."""
        if not at_once and time.monotonic() - self._shown < 0.25:
            return
        self._shown = time.monotonic()
        known = (
            f'value="{done}" max="{self.total}" ' if self.total else ""
        )  # without: a bar that only says "at work"
        text = f"{text} ({done} of {self.total})" if self.total else text
        bar = f'<progress {known}aria-label="{html.escape(self.unit)}s done"></progress> '
        self._put(bar + plain(text), text)

    def close(self, done: int) -> None:
        """The one line that stays."""
        text = f"{done} {self.unit}{'s' if done != 1 else ''} in {time.monotonic() - self.began:.1f} s"
        self._put(f"<small>{plain(text)}</small>", text)


class _NotebookBar(_PageBar):
    """A bar that is one output, updated in place: an executed notebook keeps only its last line."""

    def __init__(self, total: int, unit: str) -> None:
        from IPython.display import display

        handle: Any = display(_Html("", ""), display_id=True)  # type: ignore[no-untyped-call]
        super().__init__(total, unit, lambda page, text: handle.update(_Html(page, text)))


class _Html:
    def __init__(self, page: str, text: str) -> None:
        self.page, self.text = page, text

    def _repr_html_(self) -> str:
        return self.page

    def __repr__(self) -> str:
        return self.text


class _Terminal:
    """tqdm on stderr, for a shell."""

    def __init__(self, total: int, unit: str, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total or None, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True, disable=quiet
        )

    def show(self, done: int, text: str, *, at_once: bool = False) -> None:
        """Where it stands."""
        self._bar.set_description_str(text, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def close(self, done: int) -> None:
        """Leave nothing behind: what was measured is printed by whoever asked."""
        self._bar.close()


class _Count:
    """How far something is, and the bar that shows it."""

    def __init__(self, total: int, unit: str, *, quiet: bool) -> None:
        self.done = 0
        draw = _DRAWS.get()
        self._bar: _PageBar | _Terminal
        if draw is not None:
            self._bar = _PageBar(total, unit, lambda page, _: draw(page))
        elif _in_notebook() and not quiet:
            self._bar = _NotebookBar(total, unit)
        else:
            self._bar = _Terminal(total, unit, quiet=quiet)

    def show(self, text: str, done: int | None = None, *, at_once: bool = False) -> None:
        self.done = self.done if done is None else done
        self._bar.show(self.done, text, at_once=at_once)

    def __enter__(self) -> _Count:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close(self.done)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


@contextlib.contextmanager
def progress_bar(plans: Sequence[Plan], *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar over all requests of a measurement; the function it yields takes the client's progress events."""
    from .measured import describe

    before = [sum(plan.requests for plan in plans[:n]) for n in range(len(plans))]
    with _Count(sum(plan.requests for plan in plans), "request", quiet=quiet) as count:

        def event(progress: Progress) -> None:
            text = f"{describe(plans[progress.run])}, {progress.tokens_per_second:.0f} tokens/s"
            count.show(text, before[progress.run] + progress.done if progress.phase == "run" else None)

        yield event
        count.done = before[-1] + plans[-1].requests


@contextlib.contextmanager
def sweep_bar(total: int) -> Iterator[Callable[[str], None]]:
    """A bar over the points of a sweep; the function it yields takes what is measured next."""
    with _Count(total, "point", quiet=False) as count:
        said = 0

        def say(text: str) -> None:
            nonlocal said
            count.show(text, said)
            said += 1

        yield say
        count.done = said


@contextlib.contextmanager
def steps_bar(unit: str) -> Iterator[Callable[[str], None]]:
    """For work whose steps are not known beforehand (a build): the function it yields takes what is done next."""
    with _Count(0, unit, quiet=False) as count:
        yield lambda text: count.show(text[:100], count.done + 1)


@contextlib.contextmanager
def check_bar(total: int, *, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar over the checks; the function it yields takes the grader's events."""
    with _Count(total, "check", quiet=quiet) as count:
        current = ""

        def event(event: dict[str, Any]) -> None:
            nonlocal current
            if event["event"] == "start":
                current = event["check"]
                count.show(current, at_once=True)
            elif event["event"] == "say":
                count.show(f"{current}: {event['text']}")
            else:
                count.show(current, count.done + 1)

        yield event
