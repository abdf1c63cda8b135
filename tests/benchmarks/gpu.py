"""What the owner of a GPU runs once: lab 01's and lab 08's measurements on it, as records that the labs show beside a learner's own.

`uv run python -m tests.benchmarks gpu --write` on a machine with an NVIDIA GPU and its CUDA toolkit: builds llama-server for it (unless
one is here), measures, and writes data/recorded/GPU/. Some forty minutes on a large GPU, most of it the build; `--quick`, the 20m model
only. `--keep FOLDER` writes there instead. `--cpu` runs the very same on the CPU, under that label: what it is for is to try this.

throughput-MODEL.json  records: tokens/s and TTFT against 1 to 64 streams, with 64 slots
slots-MODEL.json       records: 64 streams on 1 to 64 slots
offload-MODEL.json     tables: tokens/s against n-gpu-layers (lab 08's sweep)
prefill-MODEL.json     tables: prompt tokens/s against the prompt's length
memory-MODEL.json      tables: MiB of each buffer against the context, as llama-server logs them
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec

from llmlab import engine, machine
from llmlab.engine import nvidia
from llmlab.errors import LabError
from llmlab.load import closed, measure
from llmlab.load.run import versions
from llmlab.models.synthetic import Shape, write
from llmlab.records import store
from llmlab.records.schema import Cell, Plan, Record, Run, ServerInfo, Table
from llmlab.records.stats import Spread, tokens_per_second
from llmlab.serve import Server, Spec
from llmlab.tiers.process.offload import COLUMNS, flags, timed

from .race import target_of

HOME = Path(__file__).resolve().parents[2] / "data" / "recorded"
#: TinyLlama's shape with our vocabulary: 1.03 billion weights.
BILLION = Shape(1000, 32768, 2048, 5632, 22, 32, 4, 16384, 12)
BUFFER = re.compile(r"(\S+)\s+(model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB")


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured."""

    models: tuple[str, ...]
    streams: tuple[int, ...]
    slots: tuple[int, ...]
    prompts: tuple[int, ...]
    contexts: tuple[int, ...]
    layers: tuple[int, ...]
    repeats: int
    tokens: int  # of a reply


FULL = Sizes(
    models=("20m", "200m", "1b"),
    streams=(1, 2, 4, 8, 16, 32, 64),
    slots=(1, 2, 4, 8, 16, 32, 64),
    prompts=(128, 512, 2048, 8192),
    contexts=(4096, 16384, 32768, 131072),
    layers=(0, 2, 4, 8, 12, 16, 20, 24),
    repeats=3,
    tokens=128,
)
QUICK = Sizes(
    models=("20m",),
    streams=(1, 2, 4),
    slots=(1, 4),
    prompts=(128, 512),
    contexts=(1024, 4096),
    layers=(0, 12),
    repeats=1,
    tokens=32,
)


def gpu(sizes: Sizes, keep: Path | None, *, device: str, write: bool) -> Iterator[str]:
    """The lines to print; the records go to `keep`, with `write` to data/recorded, else to a new temporary folder.

    :raises LabError: no GPU in reach, or `write` with the CPU: data/ holds no figure under another label.
    """
    if write and device != "cuda":
        raise LabError("data/recorded is for GPUs.", fix="--keep FOLDER")
    program = yield from _engine(device)
    about = nvidia.driver().line if device == "cuda" else "On the CPU, to try the script"
    slug = (
        re.sub(r"[^a-z0-9]+", "-", nvidia.driver().gpus[0].name.lower()).strip("-")
        if device == "cuda"
        else "cpu"
    )
    folder = keep or (HOME / slug if write else Path(tempfile.mkdtemp(prefix="llmlab-gpu-")))
    yield f"  {program.line()}; {about}; records go to {folder}"
    for name in sizes.models:
        with tempfile.TemporaryDirectory(prefix="llmlab-1b-") as scratch:
            bench = _Bench(name, _model(name, Path(scratch)), device, sizes, about)
            for what in ("throughput", "slots", "offload", "prefill", "memory"):
                began = perf_counter()
                made, line = getattr(bench, what)()
                path = store.write(made, folder / f"{what}-{name}.json")
                yield f"  {name:5} {what:11} {line}  [{perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.1f} MB]"


def _engine(device: str) -> Generator[str, None, engine.Engine]:
    """The engine for that device; one with CUDA is built where none is here."""
    if device != "cuda":
        return engine.find()
    try:
        return engine.find(need=("cuda",))
    except LabError:
        if not nvidia.driver().gpus:
            raise
    began = perf_counter()
    said: list[str] = []
    made = engine.build(cuda=True, say=said.append)
    yield f"  built in {perf_counter() - began:.0f} s: {said[-1]}"
    return made


def _model(name: str, folder: Path) -> str:
    if name != "1b":
        return name
    write(folder / "1b.gguf", BILLION, name)
    return str(folder / "1b.gguf")


class _Bench:
    """One model on one device; each method gives what it measured, and a line on it."""

    def __init__(self, name: str, model: str, device: str, sizes: Sizes, about: str) -> None:
        self.name, self.model, self.device, self.sizes, self.about = name, model, device, sizes, about

    def spec(self, **more: int) -> Spec:
        """A server with this model on this device."""
        given = {"metrics": True, **{key.replace("_", "-"): value for key, value in more.items()}}
        return Spec(model=self.model, device=self.device, flags=given)

    def throughput(self) -> tuple[Record, str]:
        """Every number of streams on one server with as many slots as the most of them."""
        most = max(self.sizes.streams)
        with Server(self.spec(parallel=most, ctx_size=512 * most), port=0) as server:
            self._honest(server)
            record = measure(
                target_of(server),
                self._plans(self.sizes.streams),
                repeats=self.sizes.repeats,
                note=self.about,
            )
        return self._named(record), self._speeds(record.runs)

    def slots(self) -> tuple[Record, str]:
        """As many streams as the most slots, on each number of slots."""
        streams = max(self.sizes.slots)
        parts = []
        for count in self.sizes.slots:
            with Server(self.spec(parallel=count, ctx_size=512 * count), port=0) as server:
                self._honest(server)
                plans = self._plans((streams,))
                parts.append(measure(target_of(server), plans, repeats=self.sizes.repeats, note=self.about))
        record = self._named(_together(parts))
        return record, self._speeds(record.runs)

    def offload(self) -> tuple[Table, str]:
        """Lab 08's sweep: one stream against the layers on the GPU."""
        rows: list[list[Cell]] = []
        for layers in self.sizes.layers:
            with Server(
                self.spec(**{key.replace("-", "_"): value for key, value in flags(layers).items()}), port=0
            ) as server:
                self._honest(server)
                timed(server)  # nobody times the first
                rows += [
                    [layers, repeat + 1, round(timed(server), 2)] for repeat in range(self.sizes.repeats)
                ]
        return self._table("offload", COLUMNS, rows)

    def prefill(self) -> tuple[Table, str]:
        """Prompt tokens a second, as the server times them, against the prompt's length."""
        longest = max(self.sizes.prompts)
        rows: list[list[Cell]] = []
        with Server(self.spec(parallel=1, ctx_size=longest + 256), port=0) as server:
            self._honest(server)
            for repeat in range(self.sizes.repeats):
                for length in self.sizes.prompts:
                    ids = [300 + (7 * place + 13 * repeat) % 1000 for place in range(length)]
                    body = {"prompt": ids, "n_predict": 1, "cache_prompt": False}
                    timings = server.post("/completion", body)["timings"]
                    rows.append([length, repeat + 1, round(float(timings["prompt_per_second"]), 1)])
        return self._table("prefill", {"prompt": "tokens", "repeat": "from 1", "speed": "tokens/s"}, rows)

    def memory(self) -> tuple[Table, str]:
        """The buffers that llama-server logs while it loads, against the context of one slot."""
        rows: list[list[Cell]] = []
        for context in self.sizes.contexts:
            with Server(self.spec(parallel=1, ctx_size=context, log_verbosity=4), port=0) as server:
                self._honest(server)
                for where, what, mib in BUFFER.findall(server.log.read_text(errors="replace")):
                    rows.append([context, where, what, float(mib)])
        columns = {
            "context": "tokens",
            "where": "device",
            "buffer": "model | KV | compute | output",
            "size": "MiB",
        }
        return self._table("memory", columns, rows)

    def _honest(self, server: Server) -> None:
        """:raises LabError: when it runs on something else than asked: there is no record of that."""
        if server.device.used != self.device:
            raise LabError(server.device.note or f"It runs on the {server.device.used}.")

    def _plans(self, streams: Sequence[int]) -> list[Plan]:
        return [closed(count, requests=max(24, 4 * count), max_tokens=self.sizes.tokens) for count in streams]

    def _named(self, record: Record) -> Record:
        """The model by its name, not by the file that was written for the occasion."""
        servers = [msgspec.structs.replace(server, model=self.name) for server in record.servers]
        return msgspec.structs.replace(record, servers=servers)

    def _speeds(self, runs: Sequence[Run]) -> str:
        return f"tokens/s {Spread.of(tokens_per_second(run) for run in runs)}"

    def _table(self, kind: str, columns: dict[str, str], rows: list[list[Cell]]) -> tuple[Table, str]:
        table = Table(
            kind=kind,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            machine=machine.describe(),
            columns=columns,
            rows=rows,
            versions=versions()
            | {"llama-server": engine.find(need=("cuda",) if self.device == "cuda" else ()).version},
            note=f"Model {self.name}, {self.about}",
        )
        last = list(columns)[-1]
        return table, f"{last} {Spread.of(float(row[-1] or 0) for row in rows)} {columns[last]}"


def _together(parts: Sequence[Record]) -> Record:
    """One record of measurements of several servers."""
    servers: list[ServerInfo] = []
    runs: list[Run] = []
    for part in parts:
        runs += [msgspec.structs.replace(run, server=len(servers)) for run in part.runs]
        servers += part.servers
    return msgspec.structs.replace(parts[0], servers=servers, runs=runs)
