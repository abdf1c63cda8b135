"""A Grafana dashboard's file: its panels, and their queries as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import LabError


def panels(dashboard: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every query of a Grafana dashboard: (panel's title, unit, expression, legend); rows are looked into.

    :raises LabError: when it is no dashboard.
    """
    if not isinstance(dashboard, dict) or not isinstance(dashboard.get("panels"), list):
        raise LabError(
            "dashboard.json is no Grafana dashboard: it has no list of panels.", where="dashboard.json"
        )
    found = []
    for panel in _flat(dashboard["panels"]):
        unit = ((panel.get("fieldConfig") or {}).get("defaults") or {}).get("unit", "")
        for target in panel.get("targets") or []:
            if target.get("expr"):
                found.append(
                    (str(panel.get("title", "")), unit, target["expr"], target.get("legendFormat", ""))
                )
    return found


def read_dashboard(file: Path) -> Any:
    """A dashboard's JSON.

    :raises LabError: with the line where it is none.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{file.name} cannot be read: {error.strerror}.", where=str(file)) from None
    except ValueError as error:
        raise LabError(
            f"{file.name} is no JSON: {error}.", where=f"{file.name}:{getattr(error, 'lineno', 1)}"
        ) from None


def filled(expr: str) -> str:
    """A query with Grafana's variables in place, as Grafana would send it (its own: 30 s; a board's: anything)."""
    expr = re.sub(r"\$\{?__(rate_interval|interval|range)\}?", "30s", expr)
    return re.sub(r"\$\{?\w+(:\w+)?\}?", ".+", expr)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """What Grafana calls a series: its legend with the labels in place, else the labels themselves."""
    if legend and legend != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)
    return (
        ", ".join(f"{key}={value}" for key, value in labels.items() if key not in ("__name__", "job"))
        or "value"
    )


def _flat(found: Sequence[Any]) -> list[dict[str, Any]]:
    out = []
    for panel in found:
        if isinstance(panel, dict):
            out += [panel, *_flat(panel.get("panels") or [])]
    return out
