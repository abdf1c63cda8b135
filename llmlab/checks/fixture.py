"""What several checks of a run share: made when the first of them asks, ended in reverse order when the run ends."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from .check import Context

P = ParamSpec("P")
T = TypeVar("T")


class _Ours(Protocol):
    """What `fixture(ours=True)` is: it takes the function that `fixture` takes."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Iterator[T]], /
    ) -> Callable[Concatenate[Context, P], T]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], T], /
    ) -> Callable[Concatenate[Context, P], T]: ...


@overload
def fixture(
    function: Callable[Concatenate[Context, P], Iterator[T]], /
) -> Callable[Concatenate[Context, P], T]: ...
@overload
def fixture(function: Callable[Concatenate[Context, P], T], /) -> Callable[Concatenate[Context, P], T]: ...
@overload
def fixture(*, ours: bool) -> _Ours: ...
def fixture(function: Callable[..., Any] | None = None, /, *, ours: bool = False) -> Any:
    """Make a fixture of `def stack(ctx): …; yield applied` (or `return`): checks call `stack(ctx)` and get the same thing all run long.

    Further arguments are part of what is asked for: `losses(ctx, "slow")` is made once, and `losses(ctx, "killed")` once. A `LabError`
    while it is made is the learner's: this check fails with its words (`DeploymentFailed`), and so does each other one that asks.
    The machine's trouble (`Unavailable`) stays that, and is tried again when the next check asks.

    :param ours: what the lab brings along: then a `LabError` is the grader's own error, unless it names a file that was handed in;
        also where a learner's fixture asks for this one.
    """
    if function is None:
        return functools.partial(_fixture, ours=ours)
    return _fixture(function, ours=ours)


def _fixture(function: Callable[..., Any], *, ours: bool) -> Callable[..., Any]:
    enter = contextlib.contextmanager(function) if inspect.isgeneratorfunction(function) else None

    @functools.wraps(function)
    def asked(ctx: Context, /, *key: Any) -> Any:
        def make() -> Any:
            return function(ctx, *key) if enter is None else ctx.enter(enter(ctx, *key))

        return ctx.made((function, key), make, ours=ours)

    return asked
