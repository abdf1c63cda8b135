"""What stands in for everything that a lab opens while a grader runs its notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Elsewhere:
    """What a notebook of a container lab gets while a grader runs it: there is no Docker, and nothing to see.

    Whatever is asked of it is the same again, so that the cells after it, and the answers in them, still run.
    """

    def _same(self, *_: Any, **__: Any) -> Elsewhere:
        return self

    __call__ = __getitem__ = __enter__ = _same
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = __round__ = (
        _same
    )

    def __getattr__(self, name: str) -> Elsewhere:
        if name.startswith("_"):  # what Jupyter, numpy and copy look for
            raise AttributeError(name)
        return self

    def __exit__(self, *_: object) -> None: ...
    def __setitem__(self, key: object, value: object) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, _: object) -> bool:
        return False

    def __lt__(self, _: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__

    def __float__(self) -> float:
        return float("nan")

    def __int__(self) -> int:
        return 0

    __index__ = __int__

    def __repr__(self) -> str:
        return "The grader deploys these files itself."

    def __format__(self, _: str) -> str:
        return repr(self)
