"""How long the longest reply takes when every slot is busy, measured on a server here, and what its tokens cost on a cloud's machines."""

from __future__ import annotations

from ....errors import LabError
from ....load import closed, measure
from ....load.target import target
from ....records import stats
from ....records.schema import Cell, Record, Table
from ....serve import Server, Spec
from ....show.bars import progress_bar
from ....show.bench import Bench
from ....show.kept import keep, store
from .. import prices

MODEL, SLOTS = "200m", 4
REQUESTS, SHORT = 100, 12  # a 99th percentile needs a hundred; short ones say as much of the time for a token


class Longest:
    """What was measured: seconds to the first token and for each further one, their 99th percentiles, and what follows.

    :param record: one user alone, then all slots at work.
    :param tokens: of the longest reply.
    """

    def __init__(self, record: Record, tokens: int) -> None:
        self.record, self.tokens = record, tokens
        alone, run = record.runs
        first, each = stats.percentile(stats.ttft(run), 99), stats.percentile(stats.tpot(run), 99)
        if first is None or each is None:
            raise LabError("No request was answered: nothing to reckon with.", fix="infra.longest()")
        self.first = first  # seconds to the first token, p99
        self.each = each  # seconds for each further one, p99
        self.rate = stats.tokens_per_second(run)  # tokens a second, of all slots together
        #: What one steady user makes of it: their tokens a second, of those that all slots write.
        self.share = min(1.0, stats.tokens_per_second(alone) / self.rate)

    @property
    def seconds(self) -> float:
        """TTFT p99 + tokens × TPOT p99."""
        return self.first + self.tokens * self.each

    def __repr__(self) -> str:
        return (
            f"{SLOTS} slots busy, {self.rate:.0f} tokens/s in all; "
            f"p99: first token after {self.first:.2f} s, then {1000 * self.each:.0f} ms for each\n"
            f"a reply of {self.tokens:,} tokens takes up to {self.seconds:.0f} s; "
            "a client that does not stream hears nothing until then"
        )


def longest(lab: Bench, tokens: int) -> Longest:
    """Load a server with one stream, and with as many as it has slots."""
    spec = Spec(model=MODEL, flags={"ctx-size": 4096, "parallel": SLOTS, "threads": 1}, folder=lab.files)
    plans = [
        closed(streams, requests=requests, max_tokens=SHORT, seed=lab.seed, timeout=120)
        for streams, requests in ((1, REQUESTS // 5), (SLOTS, REQUESTS))
    ]
    with Server(spec, port=0) as server, progress_bar(plans, quiet=False) as bar:
        record = measure(target(server), plans, on_event=bar, lab=lab.info.name)
    store(record, lab.files / "records")
    return Longest(record, tokens)


def cost(lab: Bench, measured: Longest) -> tuple[Table, list[str]]:
    """By machine of the price table: dollars for a million tokens, at the utilisation that one steady user was measured to make."""
    table = prices.catalogue()
    share = measured.share
    rows: list[list[Cell]] = [
        [machine["name"], float(machine["dollars"]), measured.rate, share] for machine in table["instance"]
    ]
    note = (
        f"As if every machine wrote as many tokens a second as this one did with all slots busy ({measured.rate:.0f}, model {MODEL}): "
        f"a GPU writes far more, so measure there. List prices, us-east-1, written down on {table['as_of']} from memory (data/aws.toml)."
    )
    columns = {
        "machine": "instance type",
        "dollars": "an hour",
        "tokens_per_second": "all slots busy",
        "utilisation": "share",
    }
    made, _ = keep(lab, "per-million", columns, rows, note=note)
    lines = [
        f"{row[0]}: ${float(row[1] or 0) / (measured.rate * share * 3600) * 1e6:,.2f} for a million tokens at {share:.0%}"
        for row in rows
    ]
    return made, lines
