"""The simulator's model in SimPy, and queues in SimPy and Ciw: for the tests and for `python -m tests.benchmarks capacity`."""

from __future__ import annotations

import math

import ciw
import numpy as np
import simpy


def simpy_queue(trace, service, capacity):
    """When each request starts in one queue for so many servers; the leanest SimPy for it."""
    env = simpy.Environment()
    servers = simpy.Resource(env, capacity)
    started = np.zeros(len(service))

    def request(number, seconds):
        with servers.request() as turn:
            yield turn
            started[number] = env.now
            yield env.timeout(seconds)

    def door():
        for number, (arrival, seconds) in enumerate(
            zip(trace.arrival_s.tolist(), service.tolist(), strict=True)
        ):
            yield env.timeout(arrival - env.now)
            env.process(request(number, seconds))

    env.process(door())
    env.run()
    return started


def ciw_queue(trace, service, capacity):
    """When each request starts, from Ciw's records of the same queue."""
    gaps = np.diff(trace.arrival_s, prepend=0.0).tolist()
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, math.inf])],
        service_distributions=[ciw.dists.Sequential(service.tolist())],
        number_of_servers=[capacity],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(gaps), method="Finish")
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    return np.array([record.service_start_date for record in records])


class Server:
    """A llama-server in SimPy: a prompt at a time, and generating stands still meanwhile."""

    def __init__(self, env):
        self.prefill = simpy.Resource(env, 1)
        self.prompts = self.busy = 0
        self.stall, self.resume = env.event(), env.event()


def simpy_servers(trace, speeds, servers):
    """(started, TTFT, E2E) of each request, with a queue at the door and least connections; for a step that is the same for all b."""
    assert len(set(speeds.step)) == 1
    env = simpy.Environment()
    fleet = [Server(env) for _ in range(servers)]
    waiting: list[simpy.Event] = []
    out = np.full((3, len(trace.arrival_s)), np.nan)

    def dispatch():
        while waiting:
            server = min(fleet, key=lambda server: server.busy)
            if server.busy == speeds.slots:
                break
            server.busy += 1
            waiting.pop(0).succeed(server)

    def request(number, prompt, output):
        arrival, turn = env.now, env.event()
        waiting.append(turn)
        dispatch()
        server = yield turn
        out[0, number] = env.now
        server.prompts += 1
        if server.prompts == 1:
            server.stall.succeed()
            server.stall = env.event()
        with server.prefill.request() as mine:
            yield mine
            yield env.timeout(speeds.overhead + prompt / speeds.prefill)
        out[1, number] = env.now - arrival
        server.prompts -= 1
        if server.prompts == 0:
            server.resume.succeed()
            server.resume = env.event()
        left = (output - 1) * speeds.step[0]
        while left > 1e-12:
            if server.prompts:
                yield server.resume
            else:
                began = env.now
                yield env.timeout(left) | server.stall
                left -= env.now - began
        out[2, number] = env.now - arrival
        server.busy -= 1
        dispatch()

    def door():
        columns = (trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist())
        for number, (arrival, prompt, output) in enumerate(zip(*columns, strict=True)):
            yield env.timeout(arrival - env.now)
            env.process(request(number, prompt, output))

    env.process(door())
    env.run()
    return out
