"""Traces as CSV files: llmlab's own columns, and those of two public traces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import LabError
from ..system.paths import replace_file
from .trace import Trace

OWN = ("arrival_s", "prompt_tokens", "output_tokens")
MORE = ("prefix", "prefix_tokens", "region")
#: Columns of arrival, prompt and reply in other layouts: Azure's LLM inference traces of 2023 and 2024
#: (github.com/Azure/AzurePublicDataset; the time as a date) and BurstGPT (github.com/HPMLL/BurstGPT; seconds; a reply of 0 tokens failed).
PUBLIC = {
    "Azure": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "BurstGPT": ("Timestamp", "Request tokens", "Response tokens"),
}
MOST = 10**9  # tokens; beyond it is no length
Say = Callable[[str], None]


def write(trace: Trace, path: str | Path) -> Path:
    """The trace as CSV, in llmlab's own columns: whole, or not at all.

    :raises LabError: when it cannot be written.
    """
    path = Path(path)
    columns = {name: getattr(trace, name) for name in OWN + MORE if getattr(trace, name) is not None}
    try:
        replace_file(path, pd.DataFrame(columns).to_csv(index=False).encode())
    except OSError as problem:
        raise LabError(
            f"The trace was not written: {problem.strerror or problem}.", where=str(path)
        ) from None
    return path


def read(path: str | Path, *, say: Say = lambda _: None) -> Trace:
    """A trace out of a CSV file with the columns `arrival_s` (seconds), `prompt_tokens` and `output_tokens`.

    `prefix`, `prefix_tokens` and `region` are read where they are there. A file in the layout of Azure's LLM inference traces or of
    BurstGPT is read as it is; its first request arrives at 0 s. `say` is told what was not taken as it stands: columns that were not
    read, rows that were sorted, and requests without a prompt or a reply, which are left out.

    :raises LabError: no such file, a column that is missing (with those there are), or a value that is none, with its line.
    """
    path = Path(path)
    table = _table(path)
    layout = next((name for name, columns in PUBLIC.items() if set(columns) <= set(table.columns)), None)
    arrival, prompt, output = PUBLIC.get(layout or "", OWN)
    missing = [name for name in (arrival, prompt, output) if name not in table.columns]
    if missing:
        raise LabError(
            f"There is no column {' and no '.join(missing)}; there are {', '.join(table.columns) or 'none'}.",
            where=f"{path}:1",
            fix=f"name the columns {', '.join(OWN)}",
        )
    if table.empty:
        raise LabError("There is no request in this trace.", where=str(path))
    seconds = _dates(table[arrival], path) if layout == "Azure" else _numbers(table[arrival], path)
    if layout:
        seconds = seconds - seconds.min()
    columns = {
        "arrival_s": seconds,
        "prompt_tokens": _counts(table[prompt], path),
        "output_tokens": _counts(table[output], path),
    }
    columns |= {name: _more(table[name], path) for name in MORE if name in table.columns and not layout}
    ignored = [name for name in table.columns if name not in (arrival, prompt, output, *columns)]
    if ignored:
        say(f"{path.name}: not read: {', '.join(ignored)}.")
    order = np.argsort(seconds, kind="stable")
    if (np.diff(seconds) < 0).any():
        line = int(table.index[int(np.argmax(np.diff(seconds) < 0)) + 1])
        say(f"{path.name}:{line}: earlier than the line before it; sorted by arrival.")
    empty = (columns["prompt_tokens"] == 0) | (columns["output_tokens"] == 0)
    if empty.any():
        first = table.index[int(empty.argmax())]
        say(
            f"{path.name}:{first}: a request without a prompt or a reply; all {empty.sum():,} such are left out."
        )
    if empty.all():
        raise LabError("No request of this trace has a prompt and a reply.", where=str(path))
    order = order[~empty[order]]
    return Trace(**{name: column[order] for name, column in columns.items()})


def _table(path: Path) -> pd.DataFrame:
    """All cells as text, by the number of their line; empty lines are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", pd.errors.ParserWarning
            )  # pandas would drop what is too much in a line
            table = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except pd.errors.EmptyDataError:
        raise LabError("The file is empty.", where=str(path), fix=f"a first line: {','.join(OWN)}") from None
    except pd.errors.ParserWarning:
        raise LabError(
            "The lines have more values than the first has names of columns.", where=str(path)
        ) from None
    except pd.errors.ParserError as problem:
        raise LabError(f"This is not CSV: {str(problem).strip()}", where=str(path)) from None
    except UnicodeDecodeError:
        raise LabError("This is no text in UTF-8.", where=str(path)) from None
    except OSError as problem:
        raise LabError(f"No trace to read: {problem.strerror or problem}.", where=str(path)) from None
    table.columns = table.columns.str.strip()
    table.index = table.index + 2  # the line in the file: the first has the names
    for name in table.columns:
        table[name] = table[name].fillna("").str.strip()
    return table[(table != "").any(axis=1)]


def _refused(column: pd.Series, bad: NDArray[np.bool_], what: str, path: Path) -> LabError:
    place = int(bad.argmax())
    others = int(bad.sum()) - 1
    return LabError(
        f"{column.name}: {column.iloc[place] or 'nothing'!r} {what}.",
        where=f"{path}:{column.index[place]}" + (f" (and {others:,} more)" if others else ""),
    )


def _numbers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    try:
        found = column.to_numpy(dtype=np.float64)
    except ValueError:
        found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(found)
    if bad.any():
        raise _refused(column, bad, "is not a number", path)
    if (found < 0).any():
        raise _refused(column, found < 0, "is negative", path)
    return found


def _counts(column: pd.Series, path: Path) -> NDArray[np.int64]:
    found = _numbers(column, path)
    bad = (found != np.floor(found)) | (found > MOST)
    if bad.any():
        raise _refused(column, bad, "is not a number of tokens", path)
    return found.astype(np.int64)


def _dates(column: pd.Series, path: Path) -> NDArray[np.float64]:
    found = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    bad = found.isna().to_numpy()
    if bad.any():
        raise _refused(column, bad, "is not a time", path)
    return np.asarray((found - found.min()).dt.total_seconds(), dtype=np.float64)


def _more(column: pd.Series, path: Path) -> NDArray[np.int64]:
    """Whole numbers, -1 for none; names (of regions) as numbers in the order of the alphabet."""
    found = pd.to_numeric(column.replace("", "-1"), errors="coerce")
    if found.isna().any():
        return pd.factorize(column, sort=True)[0].astype(np.int64)
    return found.to_numpy(dtype=np.int64)
