"""`llmlab fetch`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

from .. import doctor, tier
from ..course.info import LabInfo, find_lab
from ..errors import LabError
from ..say import Say
from ..show.terminal import print_json, progress, table
from ..system import without
from ..tier import Need

#: What a learner may ask for, and the lab that it is for: then only what that lab needs of it.
Wanted = dict[str, LabInfo | None]


def run(args: argparse.Namespace) -> int:
    """Bring what was named, or list it; 1 where something is missing afterwards.

    :raises LabError: for a name that is neither a need nor a lab.
    """
    wanted = [(name, lab) for word in args.names or ["all"] for name, lab in _named(word).items()]
    if args.list or not args.names:
        return _list(list(dict(wanted)), as_json=args.json)
    rows = [_bring(name, lab, as_json=args.json) for name, lab in wanted]
    if args.json:
        print_json(rows)
    return 0 if all(row["met"] for row in rows) else 1


def _named(word: str) -> Wanted:
    """A need wins over a lab of the same name: `regions` is the need, the lab has its number."""
    brings = tier.all_of("fetches")
    if word == "all":
        return dict.fromkeys(brings)
    if word in brings or word in doctor.needs():
        return {word: None}
    lab = _lab(word)
    needs = {"models", *lab.needs}
    # In the registry's order: an engine goes into the images of a cluster.
    return {name: lab for name in (*(name for name in brings if name in needs), *lab.needs)}


def _lab(word: str) -> LabInfo:
    try:
        return find_lab(word)
    except LabError as error:
        named = ", ".join([*tier.all_of("fetches"), "all"])
        raise LabError(f"{word!r} is neither a lab nor one of {named}.", fix=error.fix) from None


def _bring(name: str, lab: LabInfo | None, *, as_json: bool) -> dict[str, Any]:
    """One of them; what cannot be had is said, and keeps nothing else from being brought."""
    began, steps = time.monotonic(), 0

    def say(text: str) -> None:
        nonlocal steps
        steps += 1
        if not as_json:
            progress(f"{time.monotonic() - began:6.1f} s  {text}")

    try:
        need = _brought(name, lab, say)
        trouble = None if need.met else LabError(f"{name}: {need.detail}", fix=need.mend)
    except LabError as error:
        need, trouble = Need(name, False, error.what, error.fix or ""), error
    seconds = round(time.monotonic() - began, 1)
    if not as_json and trouble:
        print(f"✘ {trouble}", file=sys.stderr, flush=True)
    elif not as_json:
        print(f"✔ {name}: {need.detail} ({f'{seconds} s' if steps else 'here already'})", flush=True)
    return asdict(need) | {"brought": steps > 0, "seconds": seconds}


def _brought(name: str, lab: LabInfo | None, say: Say) -> Need:
    brings = tier.all_of("fetches")
    if name not in brings:
        return doctor.need(name)
    if name in doctor.needs() and without.taken(name):
        raise LabError(f"{name} is {without.WORDS}.", fix=without.MEND)
    found = tier.load(brings[name])(say, lab)
    if isinstance(found, Need):
        return found
    return doctor.need(name) if name in doctor.needs() else Need(name, True, "")


def _list(names: list[str], *, as_json: bool) -> int:
    brings = tier.all_of("fetches")
    rows: list[dict[str, Any]] = []
    for name in names:
        need = doctor.need(name) if name in doctor.needs() else None
        what = (tier.load(brings[name]).__doc__ or "").partition("\n")[0] if name in brings else ""
        mend = need.mend if need else ""
        rows.append(
            {
                "name": name,
                "met": need.met if need else None,
                "detail": need.detail if need else "",
                "what": what or mend,
            }
        )
    if as_json:
        print_json(rows)
        return 0
    marks = {True: "✔", False: "–", None: ""}
    shown = [(marks[row["met"]], row["name"], row["detail"], row["what"]) for row in rows]
    table("", ("", "name", "found", "what fetch does, or what brings it"), shown)
    return 0
