"""llmlab's load client beside the field's: AIPerf, guidellm, inference-perf and vLLM's `bench serve`, on one server, with one plan.

Each is installed in an environment of its own (uv; pinned below), in `--keep FOLDER` or in a temporary folder. Two of them bring
torch, with which nobody computes here: guidellm's data loader and vLLM's package import it. Each tool runs as one runs it, from exec
to exit, under one meter (`whole`), in alternating rounds; what it reports is read from its own JSON.

Prompts: 32 tokens of ids for llmlab and AIPerf (the same bodies); 32 words of the server's vocabulary as text for the others, who
take no ids or no bodies. Connections: AIPerf is told to reuse none (its default fails on llama-server); the others have no such
switch, and what that costs stands in the column of failures.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmlab import machine
from llmlab.load import closed
from llmlab.load.metrics import vocabulary
from llmlab.load.prompts import body
from llmlab.records.schema import Plan
from llmlab.records.stats import Spread
from llmlab.serve import Server, Spec

from .race import target_of
from .whole import Broken, _last_words, _metered

STREAMS, WORDS, TOKENS = 8, 32, 64
PAGE = Path(__file__).resolve().parents[2] / "docs" / "peers.md"
BEGIN, END = "<!-- measured: uv run python -m tests.benchmarks peers --write -->", "<!-- end -->"
#: Words that the synthetic models' vocabulary holds whole.
LEXICON = [first + second for first in "bcdfghjklmnpqrstvwxyz" for second in "aeiou"]
OURS = """
import json, sys
import msgspec
from llmlab.load import Target, measure
from llmlab.records import stats
from llmlab.records.schema import Plan, ServerInfo
job = json.load(sys.stdin)
info, plan = msgspec.convert(job["info"], ServerInfo), msgspec.convert(job["plan"], Plan)
(run,) = measure(Target(url=job["url"], api_key=job["key"], info=info), [plan]).runs
times, good = stats.ttft(run), stats.good(run)
print(json.dumps({"rate": stats.tokens_per_second(run), "p50": stats.percentile(times, 50), "p99": stats.percentile(times, 99),
    "failed": len(run.samples) - len(good), "tokens": sum(s.completion_tokens for s in good)}))
"""
VLLM = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One run of a tool: what it reports, and what it cost."""

    rate: float  # output tokens/s
    p50: float | None  # TTFT, seconds
    p99: float | None
    failed: int  # of the requests
    tokens: int  # written, as it counts them
    cpu: float  # CPU-seconds of its whole process tree, from exec to exit
    wall: float  # seconds from exec to exit


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool: what is installed for it, and how it is run."""

    name: str
    pins: tuple[str, ...]  # what pip installs
    run: Callable[
        [Path, Server, Plan, Path], PeerRun
    ]  # its environment, the server, the plan, a folder of its own
    python: tuple[int, int] = (3, 11)  # the least it takes


def ours(_home: Path, server: Server, plan: Plan, folder: Path) -> PeerRun:
    """llmlab.load, in a Python of its own."""
    job = {
        "url": server.url,
        "key": server.key,
        "info": msgspec.to_builtins(server.info()),
        "plan": msgspec.to_builtins(plan),
    }
    root = str(PAGE.parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    spent = _run([sys.executable, "-c", OURS], folder, {"PYTHONPATH": path}, json.dumps(job))
    got = json.loads((folder / "said").read_text().splitlines()[-1])
    return PeerRun(cpu=spent["cpu"], wall=spent["wall"], **got)


def aiperf(home: Path, server: Server, plan: Plan, folder: Path) -> PeerRun:
    """`aiperf profile` with the very bodies that llmlab sends."""
    vocab = vocabulary(target_of(server))
    bodies = [json.loads(body(plan, n, vocab=vocab)) for n in range(plan.requests)]
    _tokenizer(folder / "tokenizer")
    sessions = [{"session_id": str(n), "payloads": [payload]} for n, payload in enumerate(bodies)]
    (folder / "inputs.json").write_text(json.dumps({"data": sessions}))
    line = [
        str(home / "bin/aiperf"),
        "profile",
        "--model",
        "model",
        "--url",
        server.url,
        "--tokenizer",
        "./tokenizer",
    ]
    line += ["--endpoint-type", "completions", "--streaming", "--use-server-token-count"]
    line += ["--input-file", "inputs.json", "--custom-dataset-type", "inputs-json"]
    line += ["--dataset-sampling-strategy", "sequential", "--connection-reuse-strategy", "never"]
    line += ["--concurrency", str(plan.concurrency), "--request-count", str(plan.requests)]
    line += ["--no-server-metrics", "--no-gpu-telemetry", "--ui", "none"]
    line += ["--export-level", "summary", "--output-artifact-dir", "out"]
    spent = _run(line, folder)
    found = _json(folder, "out/profile_export_aiperf.json")
    good = int(found["request_count"]["avg"]) if found.get("request_count") else 0
    times = found.get("time_to_first_token") or {}
    return PeerRun(
        rate=found["output_token_throughput"]["avg"] if good else 0.0,
        p50=_ms(times.get("p50")),
        p99=_ms(times.get("p99")),
        failed=plan.requests - good,
        tokens=int(found["total_osl"]["avg"]) if good else 0,
        cpu=spent["cpu"],
        wall=spent["wall"],
    )


def guidellm(home: Path, server: Server, plan: Plan, folder: Path) -> PeerRun:
    """`guidellm run`, concurrent profile, prompts from a file."""
    _tokenizer(folder / "tokenizer")
    rows = [{"prompt": text, "output_tokens_count": plan.max_tokens} for text in _prompts(plan)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extras = json.dumps({"body": {"ignore_eos": True, "cache_prompt": False}})
    line = [str(home / "bin/guidellm"), "run", "--disable-console"]
    backend = {
        "kind": "openai_http",
        "target": server.url,
        "model": "model",
        "request_format": "/v1/completions",
        "http2": False,
        "extras": json.loads(extras),
    }
    line += ["--backend", json.dumps(backend)]
    line += ["--profile", json.dumps({"kind": "concurrent", "streams": [plan.concurrency]})]
    line += ["--constraint", json.dumps({"kind": "max_requests", "count": plan.requests})]
    line += ["--data", json.dumps({"kind": "json_file", "path": "prompts.jsonl"})]
    line += ["--tokenizer", json.dumps({"kind": "hf_auto", "model": "./tokenizer"})]
    line += ["--output", json.dumps({"kind": "json", "path": "report.json"})]
    spent = _run(line, folder)
    found = _json(folder, "report.json")["benchmarks"][0]["metrics"]
    totals = found["request_totals"]
    times = found["time_to_first_token_ms"]["successful"]["percentiles"]
    return PeerRun(
        rate=found["output_tokens_per_second"]["successful"]["mean"],
        p50=_ms(times["p50"]),
        p99=_ms(times["p99"]),
        failed=totals["errored"] + totals["incomplete"],
        tokens=round(found["output_token_count"]["successful"]["total_sum"]),
        cpu=spent["cpu"],
        wall=spent["wall"],
    )


def inference_perf(home: Path, server: Server, plan: Plan, folder: Path) -> PeerRun:
    """`inference-perf`, concurrent load, random words."""
    _tokenizer(folder / "tokenizer")
    length = {"type": "fixed", "min": WORDS, "max": WORDS, "mean": WORDS, "std_dev": 0}
    config = {
        "api": {"type": "completion", "streaming": True},
        "data": {
            "type": "random",
            "input_distribution": {**length, "total_count": plan.requests},
            "output_distribution": {
                "type": "fixed",
                "min": plan.max_tokens,
                "max": plan.max_tokens,
                "mean": plan.max_tokens,
                "std_dev": 0,
                "total_count": plan.requests,
            },
        },
        "load": {
            "type": "concurrent",
            "stages": [{"num_requests": plan.requests, "concurrency_level": plan.concurrency}],
            "base_seed": plan.seed,
        },
        "server": {"type": "vllm", "model_name": "model", "base_url": server.url, "ignore_eos": True},
        "tokenizer": {"pretrained_model_name_or_path": "./tokenizer"},
        "storage": {"local_storage": {"path": "reports"}},
        "report": {
            "request_lifecycle": {"summary": True, "use_server_output_tokens": True},
            "prometheus": None,
        },
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    spent = _run([str(home / "bin/inference-perf"), "--config_file", "config.yml"], folder)
    found = _json(folder, "reports/summary_lifecycle_metrics.json")
    good = found["successes"]
    times = good["latency"]["time_to_first_token"] or {}
    return PeerRun(
        rate=good["throughput"]["output_tokens_per_sec"],
        p50=times.get("median", times.get("p50")),
        p99=times.get("p99"),
        failed=found["failures"]["count"],
        tokens=good["count"]
        * plan.max_tokens,  # its own sum is of words of the reply; the server writes all that it may
        cpu=spent["cpu"],
        wall=spent["wall"],
    )


def vllm(home: Path, server: Server, plan: Plan, folder: Path) -> PeerRun:
    """`vllm bench serve`: its main(), called from a Python without the engine's own command line."""
    _tokenizer(folder / "tokenizer")
    rows = [{"prompt": text, "output_tokens": plan.max_tokens} for text in _prompts(plan)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = [
        str(home / "bin/python"),
        "-c",
        VLLM,
        "--backend",
        "openai",
        "--base-url",
        server.url,
        "--model",
        "model",
    ]
    line += ["--tokenizer", "./tokenizer", "--dataset-name", "custom", "--dataset-path", "prompts.jsonl"]
    line += ["--custom-output-len", str(plan.max_tokens), "--skip-chat-template", "--disable-shuffle"]
    line += ["--num-prompts", str(plan.requests), "--max-concurrency", str(plan.concurrency), "--ignore-eos"]
    line += ["--seed", str(plan.seed), "--disable-tqdm", "--save-result", "--result-filename", "result.json"]
    line += ["--percentile-metrics", "ttft", "--metric-percentiles", "50,99"]
    line += ["--extra-body", '{"cache_prompt": false}']
    spent = _run(line, folder)
    found = _json(folder, "result.json")
    return PeerRun(
        rate=found["output_throughput"],
        p50=_ms(found.get("median_ttft_ms")),
        p99=_ms(found.get("p99_ttft_ms")),
        failed=plan.requests - found["completed"],
        tokens=found["total_output_tokens"],
        cpu=spent["cpu"],
        wall=spent["wall"],
    )


PEERS = (
    Peer("llmlab.load", (), ours),
    Peer("AIPerf", ("aiperf==0.13.0",), aiperf),
    Peer("guidellm", ("guidellm==0.8.1",), guidellm),
    Peer("inference-perf", ("inference-perf==0.7.0",), inference_perf, python=(3, 12)),
    Peer("vLLM bench serve", ("vllm==0.33.0",), vllm),
)


def peers(rounds: int, requests: int, keep: Path | None, *, write: bool) -> Iterator[str]:
    """The lines to print; with `write`, the table of docs/peers.md is made anew of them."""
    home = keep or Path(tempfile.mkdtemp(prefix="llmlab-peers-"))
    home.mkdir(parents=True, exist_ok=True)
    try:
        found, missing = [], {}
        for peer in PEERS:
            try:
                install(peer, home)
                found.append(peer)
            except Broken as problem:
                missing[peer.name] = str(problem)
                yield f"  {peer.name}: not installed: {problem}"
        runs: dict[str, list[PeerRun]] = {peer.name: [] for peer in found}
        starts: dict[str, PeerRun] = {}
        flags = {"parallel": STREAMS, "ctx-size": 512 * STREAMS, "threads": 1, "metrics": True}
        with Server(Spec(model="20m", flags=flags)) as server:
            yield f"  {server.engine.line()}, model 20m, 1 thread, {STREAMS} slots; {requests} requests over {STREAMS} streams"
            for turn in range(rounds):
                for peer in list(found)[:: 1 if turn % 2 else -1]:
                    plan = closed(
                        STREAMS,
                        requests=requests,
                        warmup=0,
                        seed=turn,
                        prompt_tokens=WORDS,
                        max_tokens=TOKENS,
                    )
                    try:
                        if turn == 0:
                            short = msgspec.structs.replace(plan, requests=STREAMS, seed=1000)
                            starts[peer.name] = _once(peer, home, server, short)
                        runs[peer.name].append(_once(peer, home, server, plan))
                    except Broken as problem:
                        found.remove(peer)
                        runs.pop(peer.name)
                        missing[peer.name] = str(problem)
                        yield f"  {peer.name} failed: {problem}"
            about = f"{server.engine.version}, model 20m, 1 thread, {STREAMS} slots"
        rows = [
            _row(peer, runs[peer.name], starts[peer.name], requests) for peer in PEERS if runs.get(peer.name)
        ]
        yield from ("  " + " | ".join(row) for row in rows)
        if write:
            PAGE.write_text(_page(PAGE.read_text("utf-8"), rows, missing, about, requests, rounds), "utf-8")
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


def install(peer: Peer, home: Path) -> None:
    """Its environment, unless it is there.

    :raises Broken: no Python new enough, no uv, or what uv says.
    """
    where = home / peer.name.split()[0]
    if not peer.pins or (where / "installed").is_file():
        return
    python = where / "bin/python"
    for step in (
        ["venv", "-q", "--clear", "--python", _python(peer.python), str(where)],
        ["pip", "install", "-q", "--python", str(python), *peer.pins],
    ):
        done = subprocess.run(["uv", *step], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken((done.stderr.strip().splitlines() or ["uv failed"])[-1].strip())
    (where / "installed").touch()


def _python(least: tuple[int, int]) -> str:
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], 15):
        found = shutil.which(f"python3.{minor}")
        # pyenv has a script of that name for a Python that is not chosen, which only fails.
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    raise Broken(f"it needs Python {least[0]}.{least[1]}, and none on PATH runs")


def _once(peer: Peer, home: Path, server: Server, plan: Plan) -> PeerRun:
    with tempfile.TemporaryDirectory(prefix="llmlab-peer-") as folder:
        try:
            return peer.run(home / peer.name.split()[0], server, plan, Path(folder))
        except (KeyError, IndexError, TypeError) as problem:
            raise Broken(f"its report has no {problem}: {_last_words(Path(folder))}") from None


def _run(line: list[str], folder: Path, more: dict[str, str] | None = None, said: str = "") -> dict[str, Any]:
    """Run it with a home of its own, without the network's model hubs.

    :raises Broken: it failed, with its last lines.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "AIPERF_", "VLLM_"))
    }
    env = kept | {"HOME": str(folder), "VLLM_NO_USAGE_STATS": "1", "CUDA_VISIBLE_DEVICES": ""} | (more or {})
    spent = _metered(line, folder, env=env, said=said)
    if spent["code"]:
        raise Broken(f"exit code {spent['code']}: {_last_words(folder)}")
    return spent


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise Broken(f"it wrote no {name}: {_last_words(folder)}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _ms(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _prompts(plan: Plan) -> list[str]:
    drawn = random.Random(plan.seed)
    return [" ".join(drawn.choices(LEXICON, k=WORDS)) for _ in range(plan.requests)]


def _tokenizer(folder: Path) -> None:
    """A tokenizer of those words, as a Hugging Face folder: what a tool counts or draws with it is a word, and the server counts tokens."""
    folder.mkdir()
    words = {word: number for number, word in enumerate(["[UNK]", *LEXICON])}
    whole: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _row(peer: Peer, runs: list[PeerRun], start: PeerRun, requests: int) -> list[str]:
    def span(values: list[float | None], scale: float = 1.0) -> str:
        known = [value * scale for value in values if value is not None]
        return str(Spread.of(known)) if known else "–"

    version = peer.pins[0].partition("==")[2] if peer.pins else _own_version()
    # ignore_eos: every good reply has all of its tokens, whatever a tool counted
    written = [(requests - run.failed) * TOKENS for run in runs]
    rates = [
        run.rate * all_ / run.tokens if run.tokens else None for run, all_ in zip(runs, written, strict=True)
    ]
    beyond = [
        (run.cpu - start.cpu) / (all_ - STREAMS * TOKENS) * 1000 if all_ > STREAMS * TOKENS else None
        for run, all_ in zip(runs, written, strict=True)
    ]
    return [
        f"{peer.name} {version}",
        span([run.rate for run in runs]),
        span(rates),
        span([run.p50 for run in runs], 1000),
        span([run.p99 for run in runs], 1000),
        f"{sum(run.failed for run in runs)} of {requests * len(runs)}",
        span(beyond),
        f"{start.cpu:.1f}",
    ]


def _own_version() -> str:
    from llmlab import __version__

    return __version__


HEADS = (
    "tool",
    "tokens/s that it reports",
    "tokens/s, replies counted as the server wrote them",
    "TTFT p50, ms",
    "TTFT p99, ms",
    "failed",
    "client CPU-s per 1,000 tokens written, beyond start-up",
    "CPU-s to start",
)


def _page(
    text: str, rows: list[list[str]], missing: dict[str, str], about: str, requests: int, rounds: int
) -> str:
    """The page with its table made anew."""
    from datetime import UTC, datetime

    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    where = machine.describe()
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {where.line}; llama-server {about}; {requests} requests of {WORDS} + {TOKENS} tokens over "
        f"{STREAMS} streams; medians [lowest–highest] of {rounds} alternating rounds, the machine alone.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + "---|" * len(HEADS),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    if missing:
        lines += ["", *(f"- **{name}** did not run here: {why}" for name, why in missing.items())]
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}"
