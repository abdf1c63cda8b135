"""The class in one table: a CSV file for spreadsheets and learning platforms, and a summary for the terminal."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

from ..errors import LabError
from ..submissions.text import printable
from ..system.paths import replace_file
from .schema import Graded
from .scores import Score

Row = tuple[Graded, Score]
Cell = str | float | int | None

HEAD = (
    "learner", "key", "status", "score", "max", "points", "uncounted", "automatic", "manual",
    "late_days", "late_share", "late_points", "submitted", "review",
)  # fmt: skip
#: What a spreadsheet takes for the beginning of a formula, or drops before one (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def write_gradebook(path: Path, rows: Sequence[Row], checks: Sequence[tuple[str, float]]) -> None:
    """Write the gradebook whole or not at all; the same rows give the same bytes, in whatever order they come.

    One row per learner, sorted by key. After the columns of `HEAD` come one column per check with its points, one
    per check with its status, and the instructor's comments. A score that says nothing of the learner (the grader
    failed), and the points of a check that nobody could judge, are empty, never 0. Times of grading are left out.

    UTF-8 with a byte order mark: without it Excel reads "Zoë" as "ZoÃ«"; pandas, LibreOffice and the usual
    learning platforms skip it, and Python's csv does with `encoding="utf-8-sig"`. Text is quoted, numbers are not.
    Text that a spreadsheet would run gets an apostrophe in front.

    :param checks: name and points, in the lab's order.
    :raises LabError: when it cannot be written; the file that was there is untouched.
    """
    names = [name for name, _ in checks]
    table: list[list[Cell]] = [[*HEAD, *names, *(f"{name} status" for name in names), "comment"]]
    for graded, score in sorted(rows, key=lambda row: (row[0].key.casefold(), row[0].key)):
        table.append(_row(graded, score, names))
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, quoting=csv.QUOTE_NONNUMERIC
    )  # quotes also keep "a;=b" one cell for other commas
    writer.writerows([_safe(cell) for cell in row] for row in table)
    write_whole(path, b"\xef\xbb\xbf" + buffer.getvalue().encode("utf-8", "backslashreplace"))


def _row(graded: Graded, score: Score, names: Sequence[str]) -> list[Cell]:
    found = {check.check: check for check in score.checks}
    comments = [
        score.comment,
        *(f"{check.check}: {check.comment}" for check in score.checks if check.comment),
        *(f"{name}: {answer.comment}" for name, answer in score.answers.items() if answer.comment),
    ]
    points = [found[name].points if name in found and found[name].counted else None for name in names]
    return [
        graded.learner,
        graded.key,
        graded.status,
        score.score if score.known else None,
        score.max_points,
        score.points,
        score.uncounted,
        score.automatic,
        score.manual,
        score.late_days,
        score.late_share,
        score.late_points,
        "" if score.submitted is None else score.submitted.isoformat(timespec="seconds"),
        "; ".join(score.review),
        *points,
        *(found[name].status if name in found else "" for name in names),
        "\n".join(filter(None, comments)),
    ]


def _safe(cell: Cell) -> Cell:
    """A text a spreadsheet shows and never runs; a number as short as it is (3, not 3.0)."""
    if isinstance(cell, str):
        return "'" + cell if cell.lstrip(" ").startswith(FORMULA) else cell
    if isinstance(cell, float):
        short = round(cell, 6)
        return int(short) if short.is_integer() else short
    return "" if cell is None else cell


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step, or leave it as it was.

    :raises LabError: when it cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        raise LabError(
            f"{path.name} was not written: {error.strerror or error}.",
            where=str(path),
            without="what was there before is unchanged",
        ) from None


def summary(rows: Sequence[Row]) -> list[str]:
    """The class as plain lines for a terminal: how many, the scores, what most failed, who needs a look."""
    rows = sorted(rows, key=lambda row: (row[0].key.casefold(), row[0].key))
    count = {
        status: sum(graded.status == status for graded, _ in rows)
        for status in ("graded", "refused", "error")
    }
    said = [f"{count['graded']} graded", f"{count['refused']} refused"]
    if count["error"]:
        said.append(_many(count["error"], "grader error"))
    out = [f"{_many(len(rows), 'submission')}: {', '.join(said)}"]
    scores = [score.score for graded, score in rows if graded.status == "graded" and score.known]
    if scores:
        middle, mean = statistics.median(scores), statistics.fmean(scores)
        out.append(
            f"score: mean {mean:.2f}, median {middle:.2f} of {rows[0][1].max_points:g}, of {len(scores)} graded"
        )
    out += _by_check(rows)
    review = [(graded, score) for graded, score in rows if score.review]
    if review:
        out.append(f"to look at: {len(review)}")
        out += [
            f"  {printable(graded.learner)}: {printable('; '.join(score.review))}" for graded, score in review
        ]
    return out


def _by_check(rows: Sequence[Row]) -> list[str]:
    """How many passed each check, the one that most failed first."""
    said: dict[str, list[str]] = {}
    for _, score in rows:
        for check in score.checks:
            if check.status and check.max_points > 0:
                said.setdefault(check.check, []).append(check.status)
    out = []
    wide = max((len(name) for name in said), default=0)
    for name, found in sorted(said.items(), key=lambda item: -item[1].count("failed")):
        rest = [
            f"{found.count(status)} {word}"
            for status, word in (
                ("failed", "failed"),
                ("skipped", "skipped"),
                ("inconclusive", "inconclusive"),
                ("error", "grader error"),
            )
            if status in found
        ]
        more = f" ({', '.join(rest)})" if rest else ""
        out.append(f"  {name:<{wide}}  {found.count('passed')} of {len(found)} passed{more}")
    return out


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
