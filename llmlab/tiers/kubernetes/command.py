"""`llmlab cluster up|status|down`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from ...errors import LabError


def run(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code.

    :raises LabError: with what went wrong and the command that mends it.
    """
    if args.dry_run and args.what != "up":
        raise LabError(
            f"`cluster {args.what}` has no dry run.", where="--dry-run", fix="llmlab cluster up --dry-run"
        )
    return {"up": _up, "status": _status, "down": _down}[args.what](args)


def _say(args: argparse.Namespace) -> Callable[[str], None]:
    began = time.monotonic()
    if args.json:
        return lambda _: None
    return lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def _up(args: argparse.Namespace) -> int:
    from .drivers import hold

    order = {"driver": args.driver, "nodes": args.nodes, "context": args.context, "namespace": args.namespace}
    if args.dry_run:
        return _plan(args, order)
    handle = hold.up(order, _say(args))
    cluster = hold.running()
    assert cluster is not None
    if args.json:
        print(json.dumps({**handle, **cluster.facts()}, indent=1))
        return 0
    if cluster.stands_in:
        print(f"emulated: {cluster.stands_in}")
    print(f"ready after {handle['seconds']} s, kubeconfig: {cluster.kubeconfig}")
    print(f"look around:  {cluster.kubectl('get', 'pods', '-A')}")
    print("end it:       uv run llmlab cluster down")
    return 0


def _plan(args: argparse.Namespace, order: dict[str, Any]) -> int:
    from .drivers import choose

    cluster, why = choose.choose(**order)
    lines = cluster.plan()
    if args.json:
        print(json.dumps({"driver": cluster.driver, "name": cluster.name, "plan": lines}, indent=1))
        return 0
    print(f"# {cluster.driver}, because {why}; nothing was run")
    print("\n".join(lines))
    return 0


def _status(args: argparse.Namespace) -> int:
    from .drivers import choose, hold

    handle, drivers = hold.held(), choose.available()
    cluster = hold.running()
    facts = cluster.facts() if cluster else None
    if args.json:
        print(json.dumps({"cluster": facts, "drivers": drivers}, indent=1))
        return 0 if facts else 1
    if cluster is None or facts is None or handle is None:
        print("no cluster is up: uv run llmlab cluster up")
        for name, why in drivers.items():
            print(f"  {name:10} {why or 'can be used here'}")
        return 1
    nodes = ", ".join(f"{name} {'Ready' if ready else 'NotReady'}" for name, ready in facts["nodes"].items())
    memory = f", {facts['memory'] / 2**20:.0f} MiB" if "memory" in facts else ""
    print(
        f"{facts['driver']} {facts['name']}, Kubernetes {facts['version']}: {nodes}{memory} (held by pid {handle['pid']})"
    )
    if facts["stands_in"]:
        print(f"emulated: {facts['stands_in']}")
    print(f"kubeconfig: {facts['kubeconfig']}")
    print(f"look around: {cluster.kubectl('get', 'pods', '-A')}")
    return 0


def _down(args: argparse.Namespace) -> int:
    from .drivers import hold

    began = time.monotonic()
    ended = hold.down(_say(args))
    if args.json:
        print(json.dumps({"ended": ended, "seconds": round(time.monotonic() - began, 2)}))
    elif ended:
        print(f"gone after {time.monotonic() - began:.1f} s")
    else:
        print("no cluster was up")
    return 0
