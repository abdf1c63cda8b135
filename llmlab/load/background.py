"""Servers that are kept busy while something else is measured."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from ..errors import LabError
from ..records.schema import Plan
from .process import Worker
from .protocol import Order
from .run import setup
from .target import Target


@contextlib.contextmanager
def kept_busy(targets: Sequence[Target], plan: Plan) -> Iterator[None]:
    """Each server gets the plan's requests over and over again, from a client of its own, as long as this lasts.

    It takes no turn: who measures meanwhile has it.

    :raises LabError: at the end, when a client failed.
    """
    cancel, failed = threading.Event(), list[LabError]()

    def work(target: Target) -> None:
        try:
            with Worker(setup(target), cancel=cancel) as worker:
                while not cancel.is_set():
                    worker.carry_out(Order(plan=plan, warmup=False), lambda _: None)
        except LabError as error:
            if not cancel.is_set():
                failed.append(error)

    threads = [threading.Thread(target=work, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        cancel.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
