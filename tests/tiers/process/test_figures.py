"""Speed against layers on the GPU: what is said is the median of what was timed. The curve here is made up: no GPU was near."""

from __future__ import annotations

import factory
import pytest

from llmlab.engine import find, no_cuda
from llmlab.errors import LabError
from llmlab.records.schema import Table
from llmlab.tiers.process.figures import offload
from llmlab.tiers.process.offload import COLUMNS, LAYERS, flags


def table(rows: list[list[int | float]], kind: str = "offload") -> Table:
    return Table(
        kind=kind,
        created="2026-11-25T10:00:00.000+00:00",
        machine=factory.MACHINE,
        columns=COLUMNS,
        rows=rows,  # type: ignore[arg-type]
        versions={},
        note="Model 200m on CUDA0, 128 tokens a reply, one user.",
    )


TIMED = [[layers, threads, 20.0 + 15 * layers + threads] for layers in (0, 6, 12) for threads in (1, 2, 3)]


def test_it_draws_medians_and_says_where_the_best_is():
    drawn = offload(table(TIMED))
    assert drawn.data == {"layers": [0, 6, 12], "median": [22.0, 112.0, 202.0]}
    assert "0 layers: 22 tokens per second; the most is 202 at 12 layers, 9.2 times as much." in drawn.alt
    assert "Median of 3 replies" in drawn.caption
    assert "CUDA0" in drawn.caption


def test_a_peak_before_the_end_is_named():
    drawn = offload(table([*TIMED, [14, 1, 150.0], [14, 2, 151.0], [14, 3, 149.0]]))
    assert "202 at 12 layers" in drawn.alt


@pytest.mark.parametrize("made", [table([]), table(TIMED, kind="shares")])
def test_nothing_timed_is_no_figure(made):
    with pytest.raises(LabError, match="Nothing to draw"):
        offload(made)


def test_the_engine_knows_the_flags_of_every_point():
    known = find().flags()
    for layers in LAYERS:
        assert known.argv(flags(layers), source=None)[:2] == ["--n-gpu-layers", str(layers)]


def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path):
    from types import SimpleNamespace

    from llmlab.tiers.process.offload import offload as shown
    from llmlab.tiers.process.offload import sweep

    if any(name.upper().startswith("CUDA") for name in find().devices()):
        pytest.skip("there is a GPU here")
    lab = SimpleNamespace(files=tmp_path, info=SimpleNamespace(name="08-gpus"), seed=0)
    with pytest.raises(LabError) as error:
        sweep(lab, model="tiny", layers=(0, 1), repeats=1)  # type: ignore[arg-type] # all that it uses of a lab
    assert "an engine with a CUDA device" in str(error.value)
    assert error.value.fix == no_cuda(find()).mend
    assert "an engine with a CUDA device" in repr(shown(lab, model="tiny", layers=(0,)))  # type: ignore[arg-type]
    assert not (tmp_path / "records").exists()
