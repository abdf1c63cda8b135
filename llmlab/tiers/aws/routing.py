"""What an Application Load Balancer does with one request: the first rule by priority whose conditions it meets, else the default action.

Conditions, wildcards and actions as in Elastic Load Balancing's user guide ("Condition types for listener rules",
"Action types for listener rules").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl

from ...errors import LabError

#: A client somewhere on the internet (an address kept for documentation, RFC 5737).
CLIENT = "203.0.113.7"
#: What routes a request is done after whatever else a rule does.
LAST = ("forward", "redirect", "fixed-response")
DEFAULT_PORTS = {"https": 443, "http": 80}


class ListenerRules(Protocol):
    """As much of a listener as decides."""

    @property
    def arn(self) -> str:
        """Its name in the account."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def protocol(self) -> str:
        """`HTTP` or `HTTPS`."""

    @property
    def actions(self) -> Sequence[Mapping[str, Any]]:
        """Of the default rule."""

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """The others."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as a load balancer sees it. `query` is raw, without the question mark."""

    path: str
    method: str = "GET"
    host: str = ""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    source: str = CLIENT

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def at(self, host: str) -> Request:
        """The same, of another host."""
        return replace(self, host=host)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request, and by which rule."""

    arn: str  # of the rule; of the listener for its default action
    priority: int | None  # None: the default action
    action: Mapping[str, Any]

    @property
    def by(self) -> str:
        """`rule 100`, or `the default action`."""
        return "the default action" if self.priority is None else f"rule {self.priority}"

    @property
    def shares(self) -> dict[str, float]:
        """Target groups that it is forwarded to, by ARN, and what part of such requests each gets; a weight of 0 gets nothing."""
        if self.action.get("Type") != "forward":
            return {}
        many = (self.action.get("ForwardConfig") or {}).get("TargetGroups") or [
            {"TargetGroupArn": self.action.get("TargetGroupArn")}
        ]
        weights = {group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in many}
        total = sum(weights.values())
        return {arn: weight / total for arn, weight in weights.items() if weight > 0}

    def location(self, listener: ListenerRules, request: Request) -> tuple[str, str, int] | None:
        """Where it is redirected to: scheme, host and port; None where it is not."""
        if self.action.get("Type") != "redirect":
            return None
        to = self.action["RedirectConfig"]
        scheme = str(to.get("Protocol") or "#{protocol}").replace("#{protocol}", listener.protocol).lower()
        host = str(to.get("Host") or "#{host}").replace("#{host}", request.host)
        port = str(to.get("Port") or "#{port}").replace("#{port}", str(listener.port))
        return scheme, host, int(port) if port.isdigit() else DEFAULT_PORTS[scheme]

    def words(self, listener: ListenerRules, request: Request, names: Mapping[str, str]) -> str:
        """`answered with 404 by the default action`.

        :param names: of target groups, by ARN.
        """
        kind = str(self.action.get("Type"))
        if kind == "fixed-response":
            done = f"answered with {self.action['FixedResponseConfig']['StatusCode']}"
        elif (to := self.location(listener, request)) is not None:
            done = f"redirected to {to[0]}://{to[1]}:{to[2]}"
        elif kind == "forward":
            done = (
                "forwarded to " + ", ".join(names.get(arn, arn) for arn in self.shares)
                if self.shares
                else "forwarded to nobody (every weight is 0)"
            )
        else:
            done = f"stopped at {kind}, for a client of an API has only its key"
        return f"{done} by {self.by}"


def decide(listener: ListenerRules, request: Request) -> Decision:
    """What a listener does with a request."""
    for rule in by_priority(listener):
        if not missed(rule, request):
            return decision(rule)
    return Decision(listener.arn, None, deciding(listener.actions))


def by_priority(listener: ListenerRules) -> list[Mapping[str, Any]]:
    """The rules in the order in which they are asked."""
    return sorted(listener.rules, key=lambda rule: int(rule["Priority"]))


def decision(rule: Mapping[str, Any]) -> Decision:
    """What a rule does with a request that meets its conditions."""
    return Decision(str(rule.get("RuleArn", "")), int(rule["Priority"]), deciding(rule["Actions"]))


def deciding(actions: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The action that decides for a client without a session: a login stops it, unless it lets the unknown pass."""
    last: Mapping[str, Any] = {}
    for last in sorted(actions, key=lambda action: (action["Type"] in LAST, action.get("Order") or 0)):
        if _asks_who(last).get("OnUnauthenticatedRequest") != "allow":
            break
    return last


def _asks_who(action: Mapping[str, Any]) -> Mapping[str, Any]:
    return action.get("AuthenticateOidcConfig") or action.get("AuthenticateCognitoConfig") or {}


def missed(rule: Mapping[str, Any], request: Request) -> list[str]:
    """The conditions of a rule that a request does not meet, in words; empty: it is taken."""
    return [in_words(condition) for condition in rule["Conditions"] if not meets(condition, request)]


def values(condition: Mapping[str, Any]) -> list[Any]:
    """What a condition compares with, whichever of its two spellings it has."""
    given: list[Any] = condition.get("Values") or next(
        (
            config["Values"]
            for config in condition.values()
            if isinstance(config, Mapping) and config.get("Values")
        ),
        [],
    )
    return given


def in_words(condition: Mapping[str, Any]) -> str:
    """`path-pattern /v1/*`, `http-header X-Team: a or b`."""
    field = str(condition["Field"])
    if field == "http-header":
        field += f" {condition['HttpHeaderConfig']['HttpHeaderName']}:"
    written = [
        f"{value['Key']}={value['Value']}" if isinstance(value, Mapping) and value.get("Key") else
        str(value["Value"]) if isinstance(value, Mapping) else str(value)
        for value in values(condition)
    ]  # fmt: skip
    return f"{field} {' or '.join(written)}"


def meets(condition: Mapping[str, Any], request: Request) -> bool:
    """Whether a request meets one condition: one of its values is enough.

    :raises LabError: for a field that no load balancer of 2025 has.
    """
    field, given = condition["Field"], values(condition)
    if field == "path-pattern":  # of the path alone, and it tells capitals from small letters
        return any(like(pattern, request.path) for pattern in given)
    if field == "host-header":
        host = re.sub(r":\d+$", "", request.host)
        return any(like(pattern, host, capitals=False) for pattern in given)
    if field == "http-request-method":  # exactly: no wildcard here
        return request.method in given
    if field == "http-header":
        name = condition["HttpHeaderConfig"]["HttpHeaderName"].lower()
        sent = [value for key, value in (*request.headers, ("host", request.host)) if key.lower() == name]
        return any(like(pattern, value, capitals=False) for pattern in given for value in sent)
    if field == "query-string":
        return any(_asked(pair, request.query) for pair in given)
    if field == "source-ip":
        address = ipaddress.ip_address(request.source)
        return any(address in ipaddress.ip_network(network, strict=False) for network in given)
    raise LabError(
        f"A listener rule asks for {field}, which this stand-in for a load balancer does not know."
    )


def _asked(pair: Mapping[str, str], query: str) -> bool:
    """Without a key, any key will do."""
    return any(
        like(pair.get("Key") or "*", key, capitals=False, escaped=True)
        and like(pair["Value"], value, capitals=False, escaped=True)
        for key, value in parse_qsl(query, keep_blank_values=True)
    )


def like(pattern: str, text: str, *, capitals: bool = True, escaped: bool = False) -> bool:
    r"""Whether a text is like a pattern: `*` any characters or none, `?` exactly one.

    :param capitals: they differ from small letters.
    :param escaped: `\*` and `\?` stand for themselves (query strings).
    """
    flags = re.DOTALL if capitals else re.DOTALL | re.IGNORECASE
    return re.fullmatch(expression(pattern, escaped=escaped), text, flags) is not None


def expression(pattern: str, *, escaped: bool = False, any_of: str = ".") -> str:
    """A pattern as a regular expression; `any_of`: what its wildcards stand for."""
    parts = re.findall(r"\\[*?]|.", pattern, re.DOTALL) if escaped else list(pattern)
    known = {"*": f"{any_of}*", "?": any_of, r"\*": r"\*", r"\?": r"\?"}
    return "".join(known.get(part, re.escape(part)) for part in parts)
