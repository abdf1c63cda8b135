#!/usr/bin/env bash
# guidellm 0.8.1: a Poisson load of 200 requests has 20 gaps, each of them ten times, and is sent half as quickly again as asked.
#
# Behaviour seen: the ten worker processes (`max_worker_processes`) take turns at one shared clock, and each of them draws the gaps from a generator of
# its own with the same seed. So all ten draw the same sequence, and a run of 200 requests consists of its first 20 numbers. Their mean is no mean of
# 200: with guidellm's default seed the rate is 1.56 times the one asked, with another between 0.77 and 1.61 times, the same in each run. With one
# worker there are 200 gaps. A longer run comes nearer to its rate (2,000 requests: 1.00), and still ten gaps in a row are alike.
# Here guidellm's own strategy draws, in as many processes, each as often as the scheduler's workers do in turn; against a server the whole
# program sent 30.9 requests a second for 20.
# Cause: `random.Random(self.random_seed)` in each process (scheduler/strategies.py, `AsyncPoissonStrategy.next_request_time`).
# What it costs: a server is called slow, or its queue long, at a load that nobody asked for; a second run with the same seed confirms it.
# What to do: look at the rate that was sent, or set `GUIDELLM__MAX_WORKER_PROCESSES=1`.
# Output seen:
#   10 workers, seed 42: 200 requests, 20 different gaps, 1.56 times the rate asked
#   10 workers, seed 2: 200 requests, 20 different gaps, 0.77 times the rate asked
#   10 workers, seed 7: 200 requests, 20 different gaps, 1.61 times the rate asked
#   1 worker, seed 42: 200 requests, 200 different gaps, 1.00 times the rate asked
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q culsans==0.10.0 eval_type_backport==0.4.0 faker==40.63.0 httpx==0.28.1 loguru==0.7.3 more-itertools==11.2.1 msgpack==1.2.4 \
    numpy==2.4.6 pydantic==2.14.4 pydantic-settings==2.16.3 pyyaml==6.0.4 typing-extensions==4.16.0 uvloop==0.22.1
# Without torch and transformers, which its scheduler does not need.
env/bin/pip install -q --no-deps guidellm==0.8.1
cat >poisson.py <<'PY'
import asyncio
import multiprocessing
import sys

from guidellm.scheduler import AsyncPoissonStrategy
from guidellm.settings import settings

RATE, REQUESTS, DEFAULT = 20.0, 200, AsyncPoissonStrategy(rate=1.0).random_seed


def work(strategy, index, count, times):
    """Put the times at which a worker would send."""

    async def drawn():
        return [await strategy.next_request_time(index) for _ in range(count)]

    times.put(asyncio.run(drawn()))


def sent(workers, seed):
    """When the requests of a run are sent, in seconds from its start."""
    context = multiprocessing.get_context("fork")
    strategy = AsyncPoissonStrategy(rate=RATE, random_seed=seed)
    strategy.init_processes_timings(workers, REQUESTS, context)
    strategy.init_processes_start(0.0)
    times = context.Queue()
    processes = [context.Process(target=work, args=(strategy, index, REQUESTS // workers, times)) for index in range(workers)]
    for process in processes:
        process.start()
    found = sorted(time for _ in processes for time in times.get(timeout=60))
    for process in processes:
        process.join()
    return found


good = (settings.max_worker_processes, DEFAULT) == (10, 42)
for workers, seed, gaps, times in ((10, 42, 20, 1.56), (10, 2, 20, 0.77), (10, 7, 20, 1.61), (1, 42, 200, 1.00)):
    found = sent(workers, seed)
    different = len({round(after - before, 9) for before, after in zip([0.0, *found], found)})
    rate = len(found) / found[-1] / RATE
    print(f"{workers} worker{'s' * (workers > 1)}, seed {seed}: {len(found)} requests, {different} different gaps, {rate:.2f} times the rate asked", flush=True)
    good &= (different, round(rate, 2)) == (gaps, times)
if not good:
    sys.exit("not as seen")
PY
env/bin/python -W ignore poisson.py 2>log || { tail -5 log; exit 1; }
