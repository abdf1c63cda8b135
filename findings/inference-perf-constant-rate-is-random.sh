#!/usr/bin/env bash
# inference-perf 0.7.0: `load.type: constant` is as irregular as `poisson`, and `base_seed` does not fix it.
#
# Behaviour seen: 300 requests at 20 a second to its own mock server. The gaps between them have a coefficient of variation of about 1 with
# `constant`, that of exponential gaps (even gaps have 0), and no two runs with the same `base_seed` send at the same times. The README calls it
# "Constant rate" beside "Poisson arrival"; the class speaks of "a small amount of random noise in timing".
# Cause: the gaps are drawn from an exponential distribution, unseeded, and scaled so that the run lasts as long as asked
# (loadgen/load_timer.py, `ConstantLoadTimer`; `PoissonLoadTimer` is made of it, a second at a time).
# What it costs: whoever takes a constant load to see a server without the chance of arrivals sees queues all the same (a single server that is
# busy half the time has a queue with exponential gaps and none with even ones), and a p99 that differs from run to run.
# What to do: `load.type: trace_replay` with even times (its timer takes a trace's times as they are), or `concurrent`.
# Needs: Python 3.12 (`PYTHON`).
# Output seen:
#   constant: 300 requests, 19.9 a second, coefficient of variation of the gaps 1.00; gaps under a fifth of the mean: 20%
#   constant: 300 requests, 20.0 a second, coefficient of variation of the gaps 1.07; gaps under a fifth of the mean: 18%
#   poisson: 300 requests, 21.2 a second, coefficient of variation of the gaps 1.13; gaps under a fifth of the mean: 21%
#   two constant runs with one base_seed at the same times: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.12}" -m venv env
env/bin/pip install -q inference-perf==0.7.0
cat >constant.py <<'PY'
import json
import statistics
import subprocess
import sys

RATE, SECONDS = 20, 15


def sent(kind, name):
    """When the requests of a run were sent, in seconds from the first."""
    settings = {
        "api": {"type": "completion"},
        "data": {"type": "mock"},
        "load": {"type": kind, "base_seed": 7, "num_workers": 1, "stages": [{"rate": RATE, "duration": SECONDS}]},
        "server": {"type": "mock", "base_url": "http://127.0.0.1:1"},
        "report": {"request_lifecycle": {"per_request": True}},
        "storage": {"local_storage": {"path": name}},
    }
    with open(f"{name}.yaml", "w") as file:
        json.dump(settings, file)  # JSON is YAML
    subprocess.run(["env/bin/inference-perf", "-c", f"{name}.yaml"], check=True, stdout=sys.stderr, stderr=sys.stderr)
    with open(f"{name}/per_request_lifecycle_metrics.json") as file:
        starts = sorted(request["start_time"] for request in json.load(file))
    return [start - starts[0] for start in starts]


runs, good = [], True
for name, kind in (("one", "constant"), ("two", "constant"), ("three", "poisson")):
    times = sent(kind, name)
    gaps = [after - before for before, after in zip(times, times[1:])]
    spread = statistics.pstdev(gaps) / statistics.mean(gaps)
    short = sum(gap < 0.2 / RATE for gap in gaps) / len(gaps)
    print(
        f"{kind}: {len(times)} requests, {len(gaps) / times[-1]:.1f} a second, coefficient of variation of the gaps {spread:.2f}; "
        f"gaps under a fifth of the mean: {short:.0%}",
        flush=True,
    )
    runs.append(times)
    good &= spread > 0.7 and short > 0.1
same = all(abs(first - second) < 0.2 / RATE for first, second in zip(runs[0], runs[1]))
print(f"two constant runs with one base_seed at the same times: {same}")
if not good or same:
    sys.exit("not as seen")
PY
env/bin/python constant.py 2>log || { tail -5 log; exit 1; }
