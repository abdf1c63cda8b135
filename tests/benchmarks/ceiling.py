"""HTTP throughput as a share of llama.cpp's own batched benchmark, which has no HTTP, sampling or detokenising."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from llmlab import engine, models
from llmlab.errors import LabError
from llmlab.load import closed, measure
from llmlab.records.stats import Spread, tokens_per_second
from llmlab.serve import Server, Spec

from .race import target_of

PROMPT, TOKENS = 32, 64


def batched(program: Path, model: Path, streams: list[int]) -> dict[int, float]:
    """Tokens/s by number of streams: B * tokens / (prefill + decode), since a closed loop also prefills."""
    line = [
        str(program),
        "-m",
        str(model),
        "-t",
        "1",
        "-c",
        "16384",
        "-npp",
        str(PROMPT),
        "-ntg",
        str(TOKENS),
    ]
    line += ["-npl", ",".join(map(str, streams)), "--output-format", "jsonl"]
    said = subprocess.run(line, capture_output=True, text=True, timeout=180, check=True).stdout
    rows = [json.loads(row) for row in said.splitlines() if row.startswith("{")]
    return {row["pl"]: row["pl"] * TOKENS / (row["t_pp"] + row["t_tg"]) for row in rows}


def ceiling(rounds: int, names: list[str]) -> list[str]:
    """The lines to print."""
    try:
        found = engine.find(need=("batched-bench",))
    except LabError as missing:
        return ["HTTP beside llama-batched-bench: not measured", *(f"  {line}" for line in missing.lines())]
    program = Path(found.argv[0]).with_name("llama-batched-bench")
    lines = [
        f"HTTP beside llama-batched-bench: 1 thread, {PROMPT} + {TOKENS} tokens, {rounds} alternating rounds"
    ]
    for name in names:
        model = models.get(name).path
        streams = [1, 4, 8] if name == "20m" else [4]
        top: dict[int, list[float]] = {n: [] for n in streams}
        http: dict[int, list[float]] = {n: [] for n in streams}
        for turn in range(rounds):
            for n, rate in batched(program, model, streams).items():
                top[n].append(rate)
            for n in streams:
                flags = {"parallel": n, "ctx-size": 1024 * n, "threads": 1, "metrics": True}
                with Server(Spec(model=name, flags=flags), need=("batched-bench",)) as server:
                    plan = closed(
                        n, requests=(8 if name == "20m" else 4) * n, seed=turn, prompt_tokens=PROMPT
                    )
                    (run,) = measure(target_of(server), [plan]).runs
                    http[n].append(tokens_per_second(run))
        for n in streams:
            share = Spread.of(a / b for a, b in zip(http[n], top[n], strict=True))
            lines.append(
                f"  {name:5} {n} streams: HTTP {Spread.of(http[n])} tokens/s | bench {Spread.of(top[n])} | share {share}"
            )
    return lines
