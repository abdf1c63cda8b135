"""`llmlab doctor`."""

from __future__ import annotations

import argparse
from typing import Any

from ..show.terminal import print_json, table


def run(args: argparse.Namespace) -> int:
    """Print what this machine can run; 0 where it can run a server."""
    from .. import doctor

    report = doctor.report()
    if args.json:
        print_json(report)
    else:
        show_doctor(report)
    return 0 if next(need for need in report["needs"] if need["name"] == "process")["met"] else 1


def show_doctor(report: dict[str, Any]) -> None:
    """Print the doctor's table."""
    machine = report["machine"]
    print(f"{machine['line']} · {machine['system']} · profile {machine['profile']}")
    rows = [
        ("✔" if need["met"] else "–", need["name"], need["detail"], "" if need["met"] else need["mend"])
        for need in report["needs"]
    ]
    table("", ["", "need", "found", "to bring it"], rows)
    show_cuda(report["cuda"])


def show_cuda(cuda: dict[str, Any]) -> None:
    """Print what stands between the GPUs that are here and the engines; nothing where nothing does."""
    for said in cuda["says"]:
        print(f"CUDA: {said['what']}" + (f"\n      {said['mend']}" if said["mend"] else ""))
