"""How many layers on the GPU? Tokens per second against `n-gpu-layers`, where there is an NVIDIA GPU and an engine that can use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...engine import find
from ...errors import LabError
from ...records.schema import Cell, Table
from ...serve import Server, Spec
from ...show.bars import steps_bar
from ...show.kept import keep
from ...show.shown import Said

if TYPE_CHECKING:
    from ...figures import Picture
    from ...show.bench import Bench

COLUMNS = {"layers": "asked of n-gpu-layers", "repeat": "from 1", "speed": "tokens/s"}
LAYERS = (0, 2, 4, 6, 8, 10, 12)
TOKENS = 128


class Offload:
    """Speeds by layers on the GPU."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def plot(self) -> Picture:
        """Tokens per second against layers."""
        from .figures import offload

        return offload(self.table)

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>{self.plot().html}"

    def __repr__(self) -> str:
        speeds: dict[Cell, list[float]] = {}
        for row in self.table.dicts():
            speeds.setdefault(row["layers"], []).append(float(row["speed"] or 0))
        return "\n".join(
            f"{layers} layers on the GPU: {sorted(it)[len(it) // 2]:.0f} tokens/s (median of {len(it)})"
            for layers, it in speeds.items()
        )


def offload(lab: Bench, model: str = "200m", layers: Sequence[int] = LAYERS) -> Offload | Said:
    """The curve of this machine's GPU; where there is none, what is missing: the notebook goes on."""
    try:
        return sweep(lab, model, layers)
    except LabError as error:
        return Said(error.lines())


def sweep(lab: Bench, model: str = "200m", layers: Sequence[int] = LAYERS, repeats: int = 3) -> Offload:
    """Start a server for each number of layers and time `repeats` replies, after one that nobody times.

    :param layers: more than the model has means all of them.
    :raises LabError: where no CUDA device is in reach of the engine: what the CPU does instead would be no answer.
    """
    rows: list[list[Cell]] = []
    name = ""
    find(need=("cuda",))  # before anything is started: it says what is missing
    with steps_bar("server") as say:
        for count in layers:
            say(f"{count} layers")
            spec = Spec(model=model, device="cuda", flags=flags(count), folder=lab.files)
            with Server(spec, port=0) as server:
                name = server.device.name or "a CUDA device"
                for number in range(repeats + 1):
                    speed = timed(server)
                    if number:
                        rows.append([count, number, round(speed, 2)])
    note = f"Model {model} on {name}, {TOKENS} tokens a reply, one user."
    table, _ = keep(lab, "offload", COLUMNS, rows, note=note)
    return Offload(table)


def flags(layers: int) -> dict[str, int]:
    """llama-server's flags for one point of the curve."""
    return {"n-gpu-layers": layers, "ctx-size": 1024, "parallel": 1}


def timed(server: Server) -> float:
    """Tokens per second of one reply, as the server times it (`timings.predicted_per_second`)."""
    body = {"prompt": "once", "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False}
    return float(server.post("/completion", body)["timings"]["predicted_per_second"])
