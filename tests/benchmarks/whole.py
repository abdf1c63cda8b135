"""Load tools as one runs them, from exec to exit: CPU of the whole process tree, start-up included.

AIPerf (`aiperf profile`, found on PATH or named by LLMLAB_AIPERF) beside llmlab's `measure`, both under the same meter
and with the same bodies, byte for byte. AIPerf's traps, as of 0.13: it wants a tokenizer even where the server counts
(one of a single word does); `raw-payload` input takes chat bodies only, `inputs-json` any; pooled sockets fail on
llama-server, so `never` reuse; HF_HUB_OFFLINE=1 makes it refuse a local folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil

from llmlab.load import closed
from llmlab.load.metrics import vocabulary
from llmlab.load.prompts import body
from llmlab.records.schema import Plan
from llmlab.records.stats import Spread
from llmlab.serve import Server

LIMIT = 300  # seconds for one run of a tool

# The child that starts the tool: what its own children cost is then the tool's tree and nothing else. (Checked
# against the sum over the processes seen: AIPerf leaves no orphans, so none goes uncounted.)
METER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=open("said", "wb"), stderr=subprocess.STDOUT)
wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": code, "wall": wall, "cpu": used.ru_utime + used.ru_stime}))
"""

OURS = """
import json, sys
import msgspec
from llmlab.load import Target, measure
from llmlab.records.schema import Plan, ServerInfo
job = json.load(sys.stdin)
info, plan = msgspec.convert(job["info"], ServerInfo), msgspec.convert(job["plan"], Plan)
(run,) = measure(Target(url=job["url"], api_key=job["key"], info=info), [plan]).runs
good = [s.completion_tokens for s in run.samples if s.ok]
print(json.dumps({"tokens": sum(good), "rate": sum(good) / run.wall, "failed": len(run.samples) - len(good)}))
"""


Tool = Callable[[Server, Plan], "Whole"]


@dataclass(frozen=True, slots=True)
class Whole:
    """One run of a tool, from exec to exit."""

    cpu: float  # CPU-seconds of its process tree
    wall: float  # seconds
    tokens: int
    rate: float  # tokens/s over the measured window, as the tool reports it
    failed: int

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu / max(1, self.tokens) * 1000


class Broken(Exception):
    """A tool that did not bring a result; its own last words."""


def aiperf() -> str | None:
    """The executable, if there is one here."""
    found = shutil.which(os.environ.get("LLMLAB_AIPERF") or "aiperf")
    return str(Path(found).absolute()) if found else None


def version(executable: str) -> str:
    """As it says itself.

    :raises Broken: it does not.
    """
    try:
        said = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise Broken(str(problem)) from None
    return said.stdout.strip().partition("\n")[0]


def with_aiperf(executable: str, server: Server, plan: Plan) -> Whole:
    """The plan (a closed loop) through `aiperf profile`, without the network and without its side dishes.

    :raises Broken: it failed, with its last lines.
    """
    vocab = vocabulary(server.url)
    bodies = [json.loads(body(plan, n, vocab=vocab)) for n in range(plan.requests)]
    with tempfile.TemporaryDirectory(prefix="llmlab-aiperf-") as folder:
        home = Path(folder)
        _tokenizer(home / "tokenizer")
        sessions = [{"session_id": str(n), "payloads": [payload]} for n, payload in enumerate(bodies)]
        (home / "inputs.json").write_text(json.dumps({"data": sessions}))
        line = [executable, "profile", "--model", "model", "--url", server.url, "--tokenizer", "./tokenizer"]
        line += ["--endpoint-type", "completions", "--streaming", "--use-server-token-count"]
        line += ["--input-file", "inputs.json", "--custom-dataset-type", "inputs-json"]
        line += ["--dataset-sampling-strategy", "sequential", "--connection-reuse-strategy", "never"]
        line += ["--concurrency", str(plan.concurrency), "--request-count", str(plan.requests)]
        line += ["--no-server-metrics", "--no-gpu-telemetry", "--ui", "none"]
        line += ["--export-level", "summary", "--output-artifact-dir", "out"]
        # A home of its own: its caches go with the folder, and so does what a user set for Hugging Face or for it.
        kept = {name: x for name, x in os.environ.items() if not name.startswith(("HF_", "AIPERF_"))}
        spent = _metered(line, home, env=kept | {"HOME": folder})
        made = home / "out" / "profile_export_aiperf.json"
        if spent["code"] or not made.is_file():
            raise Broken(f"exit code {spent['code']}: {_last_words(home)}")
        found = json.loads(made.read_text())
        good = int(found["request_count"]["avg"]) if found.get("request_count") else 0
        return Whole(
            cpu=spent["cpu"],
            wall=spent["wall"],
            tokens=int(found["total_osl"]["avg"]) if good else 0,
            rate=found["output_token_throughput"]["avg"] if good else 0.0,
            failed=plan.requests - good,
        )


def with_llmlab(server: Server, plan: Plan) -> Whole:
    """The same plan through `llmlab.load.measure` in a Python of its own, under the same meter.

    :raises Broken: it failed, with its last lines.
    """
    told = {"info": msgspec.to_builtins(server.info()), "plan": msgspec.to_builtins(plan)}
    job = {"url": server.url, "key": server.key, **told}
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(prefix="llmlab-whole-") as folder:
        home = Path(folder)
        env = {**os.environ, "PYTHONPATH": path}
        spent = _metered([sys.executable, "-c", OURS], home, env=env, said=json.dumps(job))
        if spent["code"]:
            raise Broken(f"exit code {spent['code']}: {_last_words(home)}")
        got = json.loads((home / "said").read_text().splitlines()[-1])
        return Whole(spent["cpu"], spent["wall"], got["tokens"], got["rate"], got["failed"])


def beside(server: Server, *, streams: int, requests: int, rounds: int) -> list[str]:
    """The lines to print: AIPerf and llmlab in alternating rounds, each with a long run and a short one."""
    executable = aiperf()
    if executable is None:
        named = os.environ.get("LLMLAB_AIPERF")
        why = f"LLMLAB_AIPERF={named} is no executable" if named else "it is not on PATH"
        return [f"  AIPerf: {why}, so not measured (LLMLAB_AIPERF names its executable)"]
    try:
        named = f"AIPerf {version(executable)}"
        tools: dict[str, Tool] = {"llmlab.load": with_llmlab, named: partial(with_aiperf, executable)}
        runs: dict[str, list[tuple[Whole, Whole]]] = {name: [] for name in tools}
        for turn in range(rounds):
            for name in list(tools)[:: 1 if turn % 2 else -1]:
                long = tools[name](server, closed(streams, requests=requests, warmup=0, seed=turn))
                short = tools[name](server, closed(streams, requests=streams, warmup=0, seed=1000 + turn))
                runs[name].append((long, short))
    except Broken as problem:
        return [f"  AIPerf ({executable}) failed, so not measured: {problem}"]
    lines = ["  whole process trees, from exec to exit; start-up: a run of as many requests as streams"]
    for name, pairs in runs.items():
        cpu = Spread.of(long.cpu_per_1000 for long, _ in pairs)
        start = Spread.of(short.cpu for _, short in pairs)
        beyond = Spread.of(_beyond(pair) for pair in pairs)
        wall, rate = Spread.of(long.wall for long, _ in pairs), Spread.of(long.rate for long, _ in pairs)
        failed = sum(run.failed for pair in pairs for run in pair)
        lines += [
            f"  {name:14} CPU-s per 1,000 tokens {cpu} | start-up CPU-s {start} | beyond it, per 1,000 {beyond}",
            f"  {'':14} tokens/s it reports {rate} | seconds from exec to exit {wall} | failed {failed}",
        ]
    both = list(zip(runs["llmlab.load"], runs[named], strict=True))
    whole = Spread.of(mine[0].cpu_per_1000 / other[0].cpu_per_1000 for mine, other in both)
    beyond = Spread.of(_beyond(mine) / _beyond(other) for mine, other in both)
    rate = Spread.of(mine[0].rate / other[0].rate for mine, other in both)
    lines.append(f"  llmlab.load over {named}: CPU {whole} | beyond start-up {beyond} | tokens/s {rate}")
    return lines


def _beyond(pair: tuple[Whole, Whole]) -> float:
    """CPU-seconds per 1,000 tokens that a long run costs beyond a short one."""
    long, short = pair
    return (long.cpu - short.cpu) / max(1, long.tokens - short.tokens) * 1000


def _metered(line: list[str], folder: Path, *, env: dict[str, str], said: str = "") -> dict[str, Any]:
    """Run it in that folder to its end; its tree ends with this call, whatever happens."""
    meter = subprocess.Popen(
        [sys.executable, "-c", METER, *line],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        out, _ = meter.communicate(said, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Broken(f"no end within {LIMIT} s: {_last_words(folder)}") from None
    finally:
        if meter.poll() is None:
            for process in psutil.Process(meter.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            meter.kill()
            meter.wait()
    if meter.returncode:
        raise Broken(f"the meter ended with code {meter.returncode}")
    spent: dict[str, Any] = json.loads(out)
    return spent


def _last_words(folder: Path) -> str:
    said = folder / "said"
    lines = said.read_text(errors="replace").split("\n") if said.is_file() else []
    errors = [line for line in lines if "ERROR" in line] or [line for line in lines if line.strip()]
    return errors[-1].strip() if errors else "no message"


def _tokenizer(folder: Path) -> None:
    """A tokenizer of one word, as a Hugging Face folder: loaded, and never asked, since the server counts."""
    folder.mkdir()
    whole: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
