"""The lab's files among those that were handed in: by name, or by the name that a browser or an LMS has made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .entry import STAMP, Entry, Refused
from .pile import Pile
from .text import MIB, few, nfc, shown

MAX_ARTIFACT = 1 * MIB

_COPY = r"(?:copy|kopie|copie|copia)"
_COPY_OF = re.compile(rf"^{_COPY}(?: of| von| de| di)? +", re.I)
_AGAIN = re.compile(rf"(?: ?\(\d{{1,3}}\)|(?: -)? {_COPY}(?: ?\(?\d{{1,3}}\)?)?)(?=\.[^.]*$|$)", re.I)


def plain_name(name: str) -> str:
    """`server.toml` of `20261128231502_server.toml`, `server (1).toml`, `Copy of server.toml`, `server - Kopie.toml`."""
    stamp = STAMP.match(name)
    name = name[stamp.end() :] if stamp else name
    return _AGAIN.sub("", _COPY_OF.sub("", name, count=1), count=1)


def artifact(
    entries: Sequence[Entry], pile: Pile, name: str, home: str | None, said: list[str]
) -> tuple[Entry, bytes] | str:
    """One artifact: outside zips, beside the notebook, else in the shallowest folder that has it; or why there is none.

    A file of exactly this name comes first; of those that a tool has renamed, the newest by its stamp, then by its time. An LMS
    without folders hands `tests/a.hcl` over as `a.hcl` or `tests_a.hcl`: beside the notebook that is taken, where nothing better is.
    """
    wanted = nfc(name).split("/")
    lower = [part.casefold() for part in wanted]
    flattened = {lower[-1], "_".join(lower), "-".join(lower)} if len(lower) > 1 else set()
    found = []
    for entry in entries:
        parts = entry.parts
        tail = [part.casefold() for part in parts[-len(wanted) :]]
        renamed = tail != lower
        in_place = tail[:-1] == lower[:-1] and (not renamed or plain_name(tail[-1]) == lower[-1])
        beside = "/".join(parts[:-1]) == (home or "") and plain_name(tail[-1]) in flattened
        if not (in_place or beside):
            continue
        base = parts[: -len(wanted)] if in_place else parts[:-1]
        exact = parts[-len(wanted) :] == wanted
        where = (not in_place, entry.level, renamed, "/".join(base) != home, len(base), not exact)
        found.append((*where, *entry.newest, entry.name, entry))
    why = ""
    taken: tuple[Entry, bytes] | None = None
    others = []
    for *_, entry in sorted(found, key=lambda candidate: candidate[:-1])[:10]:
        try:
            data = pile.read(entry, MAX_ARTIFACT)
        except Refused as problem:
            why = why or str(problem)
            continue
        pile.mentioned.add(entry.name)
        if taken is None:
            taken = entry, data
        elif data != taken[1]:
            others.append(entry)
    if taken is None:
        like = [
            entry for entry in entries if entry.parts[-1].casefold().startswith(lower[-1].partition(".")[0])
        ]
        if not why and like:
            return f"was not handed in under this name ({few([entry.name for entry in like])} was)"
        return why or "was not handed in"
    if taken[0].parts[-len(wanted) :] != wanted:
        said.append(f"{shown(taken[0].name)} was taken as {name}.")
    if others:
        said.append(
            f"There are several {name} that differ: {shown(taken[0].name)} was taken, not {few([other.name for other in others])}."
        )
    return taken
