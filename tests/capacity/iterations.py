"""llama-server as a loop over its iterations, and a door before several: slow, and as plain as it can be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

BATCH = 2048  # tokens of one iteration (llama-server's batch-size)


@dataclass(eq=False)
class Request:
    began: float
    prompt: int
    output: int
    prefilled: int = 0  # tokens of the prompt
    tokens: list[float] = field(default_factory=list)  # when each came


class Engine:
    def __init__(self, speeds):
        self.speeds, self.held, self.left = (
            speeds,
            [],
            0.0,
        )  # left: seconds of work of this iteration; 0: idle

    def begin(self):
        """The next iteration: a token for each slot that generates, and the prompts that wait, as far as the batch goes."""
        speeds = self.speeds
        self.decoding = [it for it in self.held if it.prefilled == it.prompt]
        self.prefilling = []
        if self.decoding:
            context = sum(it.prompt + len(it.tokens) for it in self.decoding)
            self.left = speeds.step[len(self.decoding) - 1] + speeds.attend * context
        room = BATCH - len(self.decoding)
        for it in self.held:
            part = min(room, it.prompt - it.prefilled)
            if part:
                done = it.prefilled + part
                self.left += part / speeds.prefill + speeds.square * (done**2 - it.prefilled**2)
                self.left += 0 if it.prefilled else speeds.overhead
                self.prefilling.append((it, done))
                room -= part

    def end(self, now):
        """Who is done with this iteration."""
        for it, done in self.prefilling:
            it.prefilled = done
            if done == it.prompt:
                it.tokens.append(now)
        for it in self.decoding:
            it.tokens.append(now)
        over = [it for it in self.held if len(it.tokens) == it.output]
        self.held = [it for it in self.held if len(it.tokens) < it.output]
        self.left = 0.0
        return over


def replay(
    trace,
    speeds,
    servers: int,
    *,
    streams: int | None = None,
    pace: Callable[[int], float] = lambda busy: 1.0,
) -> list[Request]:
    """What becomes of each request: the door gives a server no more than it has slots, and the one with the fewest the next.

    :param streams: a closed loop of so many; it does not look at the times of the trace.
    :param pace: how fast each of so many busy servers is, as a share of what one alone is.
    """
    slots = len(speeds.step)
    requests = [
        Request(float(at), int(prompt), int(output))
        for at, prompt, output in zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True)
    ]
    engines, now = [Engine(speeds) for _ in range(servers)], 0.0
    coming = deque(requests)
    queue = deque(coming.popleft() for _ in range(min(streams or 0, len(requests))))
    while True:
        while queue and (free := [engine for engine in engines if len(engine.held) < slots]):
            min(free, key=lambda engine: len(engine.held)).held.append(queue.popleft())
        for engine in engines:
            if engine.held and not engine.left:
                engine.begin()
        busy = [engine for engine in engines if engine.left]
        rate = pace(len(busy))
        until = min([engine.left / rate for engine in busy], default=np.inf)
        due = max(0.0, coming[0].began - now) if coming and not streams else np.inf
        if until == due == np.inf:
            return requests
        passed = min(until, due)
        now += passed
        for engine in busy:
            if engine.left / rate <= passed:
                for _ in engine.end(now):
                    if streams and coming:
                        coming[0].began = now
                        queue.append(coming.popleft())
            else:
                engine.left -= passed * rate
        while coming and not streams and coming[0].began <= now:
            queue.append(coming.popleft())


def times(requests: list[Request]) -> tuple[np.ndarray, np.ndarray]:
    """TTFT and E2E, in seconds."""
    return (
        np.array([it.tokens[0] - it.began for it in requests]),
        np.array([it.tokens[-1] - it.began for it in requests]),
    )
