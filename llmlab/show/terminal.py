"""What a verb prints: a line, a table, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO


def say(text: str) -> None:
    """A line, at once."""
    print(text, flush=True)


def progress(text: str, to: TextIO | None = None) -> None:
    """A line of something under way; one that counts (`[12/210] …`) stands where the one before stood.

    :param to: default: what is printed.
    """
    to = to or sys.stdout
    over = to.isatty() and "[" in text[:12]
    print(f"\x1b[2K{text}" if over else text, end="\r" if over else "\n", file=to, flush=True)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*row)
    Console(soft_wrap=False).print(made)


def print_json(data: Any) -> None:
    """For programs."""
    print(json.dumps(data, indent=1, ensure_ascii=False, default=str))
