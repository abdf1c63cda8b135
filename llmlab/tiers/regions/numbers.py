"""`regions.yaml`: the numbers of a routing, once; they are filled in where the zone and the proxies' file name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from ...errors import LabError
from ...system import yaml_nodes
from .places import regions

NAME = "regions.yaml"
POLICIES = ("pickclosest", "all", "random", "hashed")


def _seconds(least: float, most: float, whole: bool = True) -> dict[str, Any]:
    return {"type": "integer" if whole else "number", "minimum": least, "maximum": most}


def _object(required: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(required),
        "required": list(required),
        "additionalProperties": False,
    }


def schema() -> dict[str, Any]:
    """What stands in the file. Seconds are whole where PowerDNS takes no other."""
    names = list(regions())
    return _object(
        {
            "policy": {"enum": list(POLICIES)},
            "ttl": _seconds(1, 86_400),
            "weights": _object({name: {"type": "integer", "minimum": 1, "maximum": 100} for name in names}),
            "health": _object(
                {
                    "interval": _seconds(1, 300),
                    "timeout": _seconds(1, 60),
                    "fall": {"type": "integer", "minimum": 1, "maximum": 20},
                    "rise": {"type": "integer", "minimum": 1, "maximum": 100},
                }
            ),
            "promise": _object({name: _seconds(0.1, 3600, whole=False) for name in ("region", "servers")}),
        }
    )


@dataclass(frozen=True, slots=True)
class Numbers:
    """The file's values. Times are seconds."""

    policy: str
    ttl: int
    interval: int
    timeout: int
    fall: int
    rise: int
    promise_region: float
    promise_servers: float
    names: Mapping[str, str]  # under what a file may ask for each: HEALTH_INTERVAL for health.interval

    def predicted_region(self, patience: float) -> dict[str, float]:
        """The worst case when a region is gone, part by part: the name server notices, answers run out, users let go.

        PowerDNS takes one failed check for a failure. Interval and threshold as in Amazon's "How Amazon Route 53 determines
        whether a health check is healthy"; the sum, with TTL and client, is ours.
        """
        return {"check": float(self.interval + self.timeout), "TTL": float(self.ttl), "client": patience}

    def predicted_servers(self, patience: float) -> dict[str, float]:
        """The same when only its servers are gone, or late: the proxies notice, and there is no TTL."""
        return {"checks": float(self.fall * (self.interval + self.timeout)), "client": patience}


def read(file: Path) -> Numbers:
    """The file.

    :raises LabError: with its line: no YAML, an unknown region or key, a TTL of zero, a number that cannot be.
    """
    if not file.is_file():
        raise LabError(f"There is no {file.name}.", fix="llmlab reset")
    try:
        text = file.read_text(encoding="utf-8")
        top = yaml.compose(text, Loader=yaml.SafeLoader)
        if top is None or yaml_nodes.nothing(top):
            raise LabError(f"{file.name} is empty.", where=file.name, fix="llmlab reset")
        yaml_nodes.plain(file.name, top)
        data = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise LabError(f"{file.name} is no text in UTF-8: {error.reason}.", where=file.name) from error
    except yaml.YAMLError as error:
        key = getattr(error, "context", None) == "while scanning a simple key"  # then that is where it stands
        mark = getattr(error, "context_mark" if key else "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        raise LabError(
            f"{file.name} is no YAML: {getattr(error, 'problem', None) or error}.", where=where
        ) from error
    # What nobody knows first: a name that is mistyped is missing, too.
    found = sorted(
        Draft202012Validator(schema()).iter_errors(data),
        key=lambda one: (one.validator != "additionalProperties", list(map(str, one.path))),
    )
    wrong = next(iter(found), None)
    if wrong is not None:
        path = [str(part) for part in wrong.path]
        raise LabError(
            f"{'.'.join(path) or file.name}: {_words(wrong, path)}",
            where=f"{file.name}:{yaml_nodes.line_of(top, [*path, *_extra(wrong)]) or 1}",
        )
    health, promise = data["health"], data["promise"]
    if health["timeout"] > health["interval"]:
        raise LabError(
            "health.timeout: a check that may take longer than the time between two is asked again before it is over.",
            where=f"{file.name}:{yaml_nodes.line_of(top, ['health', 'timeout'])}",
            fix="a timeout of at most the interval",
        )
    return Numbers(
        policy=data["policy"],
        ttl=data["ttl"],
        interval=health["interval"],
        timeout=health["timeout"],
        fall=health["fall"],
        rise=health["rise"],
        promise_region=float(promise["region"]),
        promise_servers=float(promise["servers"]),
        names=dict(_flat(data)),
    )


def _flat(data: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        name = f"{above}{key}".upper()
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}_")
        else:
            yield name, str(value)


def _extra(wrong: Any) -> list[str]:
    found = re.search(r"'(\w+)' (?:was|were) unexpected", wrong.message)
    return [found[1]] if found else []


def _words(wrong: Any, path: list[str]) -> str:
    if path == ["ttl"] and wrong.validator == "minimum":
        return "with a TTL of zero nobody may keep an answer: every single request waits for the name server first."
    if wrong.validator == "additionalProperties" and path == ["weights"]:
        return f"there is no region {', '.join(_extra(wrong))}; there are {', '.join(regions())}"
    if wrong.validator == "required":
        return str(wrong.message).replace("is a required property", "is missing")
    if wrong.validator == "additionalProperties":
        return f"nothing is known of {', '.join(_extra(wrong)) or 'some of it'}"
    return str(wrong.message)


def fill(text: str, names: Mapping[str, str], file: str) -> str:
    """A text with its `${NAME}` filled in, as HAProxy does it in its own file.

    :raises LabError: with the line of a name that is not known.
    """

    def one(found: re.Match[str]) -> str:
        if found[1] not in names:
            line = text.count("\n", 0, found.start()) + 1
            raise LabError(
                f"Nothing is called ${{{found[1]}}}; there are {', '.join(sorted(names))}.",
                where=f"{file}:{line}",
            )
        return names[found[1]]

    return re.sub(r"\$\{(\w+)\}", one, text)
