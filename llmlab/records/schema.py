"""The one schema of what was measured and where.

A record is one JSON document. Times are seconds, as floats, relative to the start of their run unless the
field says otherwise; sizes are bytes. A value that was not measured is null, never zero.
"""

from __future__ import annotations

from msgspec import Struct, field

SCHEMA = "llmlab/record/1"


class Machine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine a run was made on."""

    cpu: str  # model name as the system gives it
    cores: int  # logical cores this process may use
    memory: int  # bytes of RAM, or the container's limit if lower
    system: str  # e.g. "Linux 6.18 x86_64"
    python: str  # its version
    llmlab: str  # its version
    profile: str  # binder | laptop | workstation

    @property
    def line(self) -> str:
        """One line for a caption."""
        return f"{self.cpu}, {self.cores} cores, {self.memory / 2**30:.0f} GiB"


class Device(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the layers ran. `used` differs from `asked` when no such device was found; `note` says so."""

    asked: str = "cpu"  # cpu | cuda
    used: str = "cpu"  # cpu | cuda
    name: str | None = None  # the GPU's
    note: str | None = None  # why another one was used
    driver: str | None = None  # the GPU's, its version
    cuda: str | None = None  # the newest CUDA that this driver runs


class ServerInfo(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server that was measured: enough to start it again."""

    command: list[str]  # program and arguments
    flags: dict[str, str | int | float | bool | list[str]]  # llama-server's long names
    engine: str  # path | PATH | built | wheel
    engine_version: str  # as it says itself
    model: str  # name or file name
    model_sha256: str  # of the file
    model_parameters: int | None  # how many; null: the file does not say
    model_bytes: int  # size of the file
    slots: int  # requests worked on at once
    ctx_per_slot: int  # tokens
    threads: int | None  # as asked; null: the engine's own choice
    device: Device = field(default_factory=Device)
    cpus: float | None = None  # CPU quota in cores; null: none
    memory_limit: int | None = None  # bytes
    limiter: str | None = None  # cgroup1 | cgroup2 | systemd | taskset | rlimit


class Plan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the client was asked to do in one run."""

    pattern: str  # closed | constant | poisson | trace | sessions
    concurrency: int | None = None  # closed: streams kept open; sessions: users at once
    rate: float | None = None  # constant, poisson: requests per second
    offsets: list[float] | None = None  # trace: seconds from the start, as given
    requests: int = 0  # measured requests, warm-up not counted
    warmup: int = 0  # requests before them, not measured
    prompt_tokens: int = 32  # of each prompt, about; sessions: what each turn adds
    max_tokens: int = 64  # of each reply
    each_prompt: list[int] | None = (
        None  # tokens of each request's own prompt, as ordered; null: prompt_tokens for all
    )
    each_reply: list[int] | None = (
        None  # tokens of each request's own reply, as ordered; null: max_tokens for all
    )
    seed: int = 0  # what prompts and arrivals are drawn from
    api: str = "completion"  # completion (/v1/completions) | chat (/v1/chat/completions)
    cache_prompt: bool = False  # whether the server may reuse what it knows of a prompt
    timeout: float = 120.0  # seconds after which a request is given up
    turns: int | None = None  # sessions: requests of each, every one with all that was said before
    think: float = 0.0  # sessions: mean seconds between a reply and the same user's next turn
    system_tokens: int = 0  # sessions: of the system prompt that all of them share, about


class Sample(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One request. All times in seconds from the start of the run."""

    n: int  # its place in the schedule
    scheduled: float  # when it was due (closed loop: when a stream came free)
    sent: float  # when its last byte was handed to the socket
    first: float | None = None  # first non-empty content
    last: float | None = None  # last non-empty content
    end: float | None = None  # the reply was complete
    chunks: list[float] = field(default_factory=list)  # arrival of each non-empty chunk
    prompt_tokens: int = 0  # from the server's usage
    completion_tokens: int = 0  # from the server's usage
    counted_by: str = "usage"  # usage | chunks: there was no usage, so the non-empty chunks
    cached_tokens: int = 0  # prompt tokens the server reused
    prompt_ms: float | None = None  # the server's own prefill time
    predicted_ms: float | None = None  # the server's own decode time
    status: int = 0  # HTTP status; 0: no reply
    finish: str | None = None  # why the reply ended, in the server's word
    error: str | None = None  # null: it worked
    session: int | None = None  # which session it belongs to, from 0; null: it stands alone
    turn: int | None = None  # its place in the session, from 0

    @property
    def ok(self) -> bool:
        """Whether the request was answered in full."""
        return self.error is None and self.end is not None


class Noise(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What else was going on, as shares of the whole machine (0..1) or of one core where said."""

    foreign_cpu: float | None  # CPU taken by others, steal included; null: cannot be told apart
    server_cpu: float | None  # null: the server's process is not visible from here
    client_cpu: float  # share of ONE core taken by the load client
    lateness_p99: float  # seconds the client's own clock was late (open loop: dispatch; closed: event loop)
    client_limited: bool  # the client, not the server, may have been the limit
    noisy: bool  # others took enough CPU to doubt the figures
    reason: str | None = None  # of noisy or client_limited, in words
    client_processes: int = 1  # that sent the requests; client_cpu is of all of them together
    piled: float | None = None  # share of chunks read together with the one before, whose arrivals are one


class Counters(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's own counters over the measured window (delta between two quiet moments)."""

    prompt_tokens: int  # computed
    completion_tokens: int  # written
    cached_tokens: int  # of prompts, reused
    agrees: bool  # equals the sum over the samples' usage


class Throttle(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """cgroup CPU throttling over the run."""

    periods: int  # of the quota, in all
    throttled: int  # those in which it was held back
    throttled_seconds: float  # for how long


class Run(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One load against one server."""

    server: int  # index into Record.servers
    plan: Plan
    samples: list[Sample]
    started: str  # ISO 8601, UTC
    wall: float  # seconds from the first send to the last end
    full: float | None  # closed loop: seconds, from 0, until a stream had nothing left; null: open loop
    noise: Noise
    repeat: int = 0  # which repetition of the same plan
    counters: Counters | None = None
    throttle: Throttle | None = None
    peak_rss: int | None = None  # bytes, of the server
    label: str | None = None  # what figures call it


class Record(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything one measurement produced."""

    kind: str  # load | threads
    created: str  # ISO 8601, UTC
    machine: Machine
    servers: list[ServerInfo]
    runs: list[Run]
    versions: dict[str, str]
    schema: str = SCHEMA
    lab: str | None = None
    seed: int = 0
    realism: str = "real"
    note: str | None = None


TABLE = "llmlab/table/1"

Cell = str | float | int | bool | None


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was measured of a deployment rather than of its requests: image layers, shares per replica, exposure.

    `columns` gives each column's unit or meaning; a row has one value for each, in that order.
    """

    kind: str  # image | shares | exposure | ...
    created: str  # ISO 8601, UTC
    machine: Machine
    columns: dict[str, str]  # name -> unit ("s", "bytes", "requests") or meaning
    rows: list[list[Cell]]
    versions: dict[str, str]
    schema: str = TABLE
    lab: str | None = None
    seed: int = 0
    realism: str = "real"
    note: str | None = None

    def column(self, name: str) -> list[Cell]:
        """The values of one column.

        :raises KeyError: when there is no such column.
        """
        place = list(self.columns).index(name) if name in self.columns else None
        if place is None:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.columns)}")
        return [row[place] for row in self.rows]

    def dicts(self) -> list[dict[str, Cell]]:
        """The rows, each by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]
