"""What a notebook holds of something that a lab has opened: what it says after its end, and when its work is interrupted."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Collection
from typing import Any

from ..errors import LabError, stoppable
from .shown import NothingToShow

SEEN = ("__repr__", "_repr_html_")  # what a cell shows that ends with it


class Face:
    """The base of what a notebook handles. `lab.check()` and `lab.stop()` close it, and the notebook still has its name.

    After its end every public method and property of its class raises one LabError, which says how to open it again, or shows
    those lines where the method is `shown`. An interrupted method raises `Stopped`. Both hold for subclasses too.

        class LiveEdge(Face, what="The edge", again="edge = lab.edge()", works=["key"]):

    :param what: what it is called at the beginning of the sentence.
    :param again: the learner's line that opens it again; `{self.file!r}` is filled in.
    :param works: the methods and properties that need nothing open.
    :param ends: the method that ends it.
    """

    _what, _again = "This", "the line that opened it"
    _closed = False

    def __init_subclass__(
        cls, *, what: str, again: str, works: Collection[str] = (), ends: str = "close", **more: Any
    ) -> None:
        super().__init_subclass__(**more)
        cls._what, cls._again = what, again
        for name, member in list(vars(cls).items()):
            open_only = name not in works
            if name == ends:
                setattr(cls, name, _ending(member))
            elif name in SEEN and open_only:
                setattr(cls, name, _seen(member))
            elif name.startswith("_"):
                continue
            elif isinstance(member, property):
                made = property(_guarded(member.fget, open_only=open_only), member.fset, doc=member.__doc__)
                setattr(cls, name, made)
            elif isinstance(member, types.FunctionType):
                setattr(cls, name, _guarded(member, open_only=open_only))

    def _over(self) -> bool:
        """Whether it has ended."""
        return self._closed

    def _ended(self) -> LabError:
        """That it has ended, and how to open it again."""
        return LabError(
            f"{self._what} ended with lab.check() or lab.stop().", fix=self._again.format(self=self)
        )


def _ending(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def ending(self: Face, *args: Any, **more: Any) -> Any:
        try:
            return method(self, *args, **more)
        finally:
            self._closed = True

    return ending


def _guarded(method: Any, *, open_only: bool) -> Any:
    @functools.wraps(method)
    def guarded(self: Face, *args: Any, **more: Any) -> Any:
        if open_only and self._over():
            if getattr(method, "shows", False):
                return NothingToShow(self._ended().lines())
            raise self._ended()
        with stoppable():
            return method(self, *args, **more)

    return guarded


def _seen(method: Callable[..., str]) -> Callable[..., str | None]:
    """After its end: the sentence. As HTML nothing more than that."""

    @functools.wraps(method)
    def seen(self: Face) -> str | None:
        if not self._over():
            return method(self)
        return None if method.__name__ == "_repr_html_" else str(self._ended())

    return seen
