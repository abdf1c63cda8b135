"""Rules of a listener as Elastic Load Balancing's user guide states them, and layouts of strangers: no cloud, no Docker."""

from __future__ import annotations

import subprocess

import pytest

from llmlab.errors import LabError
from llmlab.tiers.aws import way
from llmlab.tiers.aws.door import door
from llmlab.tiers.aws.inventory import AutoScalingGroup, Inventory, Listener, LoadBalancer, TargetGroup
from llmlab.tiers.aws.routing import Request, decide, in_words, like

HEALTH = {"path": "/health", "matcher": "200", "port": "traffic-port", "interval": 9, "timeout": 5, "healthy": 2, "unhealthy": 2}  # fmt: skip
DOMAIN = "llm.example.com"
REFUSE = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
TO_HTTPS = {
    "Type": "redirect",
    "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
}
LOGIN = {
    "Type": "authenticate-oidc",
    "Order": 1,
    "AuthenticateOidcConfig": {"Issuer": "https://id.example.com"},
}


def forward(*to):
    """To one target group, or to several with weights."""
    if len(to) == 1 and isinstance(to[0], str):
        return {"Type": "forward", "TargetGroupArn": to[0]}
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in to]}}  # fmt: skip


def field(name, *values):
    """A condition as Terraform's provider writes it."""
    config = "".join(word.capitalize() for word in name.split("-")) + "Config"
    return {"Field": name, config: {"Values": list(values)}}


def header(name, *values):
    return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": list(values)}}


def rule(priority, action, *conditions):
    actions = action if isinstance(action, list) else [action]
    return {
        "RuleArn": f"rule/{priority}",
        "Priority": str(priority),
        "Conditions": list(conditions),
        "Actions": actions,
    }


def listener(default, *rules, port=443, protocol="HTTPS"):
    return Listener(f"listener/{port}", port, protocol, (), (default,), rules)


PATHS = field("path-pattern", "/v1/*", "/health")


@pytest.mark.parametrize(
    ("condition", "meets", "misses"),
    [
        (field("path-pattern", "/v1/*"), [Request("/v1/"), Request("/v1/a/b", query="c=d")], [Request("/v1"), Request("/V1/a"), Request("/x/v1/a"), Request("/", query="/v1/a")]),
        (field("path-pattern", "/v?/models"), [Request("/v1/models")], [Request("/v/models"), Request("/v10/models")]),
        (field("path-pattern", "/a.b", "/c"), [Request("/a.b"), Request("/c")], [Request("/axb"), Request("/c/")]),
        ({"Field": "path-pattern", "Values": ["/old"]}, [Request("/old")], [Request("/old/er")]),
        (field("host-header", "*.example.com"), [Request("/", host="LLM.Example.COM"), Request("/", host="a.b.example.com:443")], [Request("/", host="example.com"), Request("/", host="llm.example.com.evil.net"), Request("/")]),
        (field("http-request-method", "POST"), [Request("/", "POST")], [Request("/", "post"), Request("/", "POSTED"), Request("/")]),
        (field("http-request-method", "*"), [], [Request("/")]),
        (header("X-Team", "blue*"), [Request("/", headers=(("x-team", "BLUE-2"),)), Request("/", headers=(("X-Team", "red"), ("X-Team", "blue")))], [Request("/"), Request("/", headers=(("X-Teams", "blue"),))]),
        (header("Host", "llm.*"), [Request("/", host="llm.example.com")], [Request("/", host="example.com")]),
        (field("query-string", {"Key": "version", "Value": "v?"}), [Request("/", query="a=b&Version=V1")], [Request("/", query="version=v10"), Request("/version=v1"), Request("/")]),
        (field("query-string", {"Value": "*example*"}), [Request("/", query="any=an-example-it-is")], [Request("/", query="example=any")]),
        (field("query-string", {"Value": r"\*"}), [Request("/", query="q=*")], [Request("/", query="q=all")]),
        (field("source-ip", "10.0.0.0/8", "2001:db8::/32"), [Request("/", source="10.1.2.3"), Request("/", source="2001:db8::1")], [Request("/"), Request("/", source="11.0.0.1", headers=(("X-Forwarded-For", "10.0.0.1"),))]),
        (field("source-ip", "0.0.0.0/0"), [Request("/")], [Request("/", source="2001:db8::1")]),
    ],
    ids=lambda value: in_words(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_condition(condition, meets, misses):
    only = listener(REFUSE, rule(7, forward("servers"), condition))
    assert [request for request in meets if decide(only, request).priority != 7] == []
    assert [request for request in misses if decide(only, request).priority is not None] == []


def test_all_conditions_of_a_rule_must_be_met_and_the_lowest_number_is_asked_first():
    rules = (
        rule(100, forward("late"), field("path-pattern", "/v1/*")),
        rule(9, forward("early"), field("path-pattern", "/v1/*"), field("http-request-method", "POST")),
    )
    both = listener(REFUSE, *rules)
    found = {
        str(request): decide(both, request)
        for request in (Request("/v1/a", "POST"), Request("/v1/a"), Request("/"))
    }
    assert [decided.by for decided in found.values()] == ["rule 9", "rule 100", "the default action"]
    assert found["POST /v1/a"].shares == {"early": 1.0}
    assert found["GET /"].arn == "listener/443"


@pytest.mark.parametrize(
    ("actions", "shares", "says"),
    [
        ([forward(("a", 9), ("b", 1))], {"a": 0.9, "b": 0.1}, "forwarded to a, b"),
        ([forward(("a", 1), ("b", 0))], {"a": 1.0}, "forwarded to a"),
        ([forward(("a", 0), ("b", 0))], {}, "every weight is 0"),
        ([TO_HTTPS], {}, "redirected to https://llm.example.com:443"),
        ([{"Type": "redirect", "RedirectConfig": {"Protocol": "#{protocol}", "Port": "#{port}", "Host": "www.#{host}", "StatusCode": "HTTP_302"}}], {}, "redirected to https://www.llm.example.com:443"),
        ([REFUSE], {}, "answered with 404"),
        ([LOGIN, forward("a") | {"Order": 2}], {}, "stopped at authenticate-oidc"),
        ([forward("a") | {"Order": 2}, LOGIN | {"AuthenticateOidcConfig": {"OnUnauthenticatedRequest": "allow"}}], {"a": 1.0}, "forwarded to a"),
        ([LOGIN | {"AuthenticateOidcConfig": {"OnUnauthenticatedRequest": "deny"}}, forward("a") | {"Order": 2}], {}, "stopped at authenticate-oidc"),
    ],
    ids=["shares", "a-weight-of-0", "all-weights-0", "to-https", "placeholders", "a-reply", "a-login", "a-login-that-lets-pass", "a-login-that-denies"],
)  # fmt: skip
def test_an_action(actions, shares, says):
    only = listener(REFUSE, rule(1, actions, field("path-pattern", "*")))
    found = decide(only, Request("/", host=DOMAIN))
    assert found.shares == shares
    assert says in found.words(only, Request("/", host=DOMAIN), {})


def test_a_field_of_tomorrow_is_named():
    with pytest.raises(LabError, match="asks for moon-phase"):
        decide(listener(REFUSE, rule(1, forward("a"), field("moon-phase", "full"))), Request("/"))


@pytest.mark.parametrize(
    ("pattern", "text", "is_like"),
    [("*", "", True), ("?", "", False), ("a*b*c", "a1b2c", True), ("a*b*c", "a1c2b", False), ("[a]", "a", False), ("/?/*", "/x/", True)],
)  # fmt: skip
def test_wildcards(pattern, text, is_like):
    assert like(pattern, text) == is_like


# -- layouts of strangers ---------------------------------------------------------------------------------


def world(*listeners, groups=("servers",), fleets=None):
    """A load balancer with these listeners; each target group has a fleet of its own unless `fleets` says otherwise."""
    made = [TargetGroup(name, name, 8080, "HTTP", HEALTH, {}, (f"i-{name}",)) for name in groups]
    backed = groups if fleets is None else fleets
    behind = [
        AutoScalingGroup(name, ("a", "b"), 2, 2, 2, (name,), (f"i-{name}",), {}, "ELB") for name in backed
    ]
    balancer = LoadBalancer("lb", "lb", False, (), ("a", "b"), {}, listeners, {})
    return Inventory([balancer], made, behind), balancer


@pytest.mark.parametrize(
    ("listeners", "lost"),
    [
        ([listener(forward("servers"))], []),
        ([listener(REFUSE, rule(100, forward("servers"), field("path-pattern", "*")))], []),
        ([listener(REFUSE, rule(100, forward("servers"), PATHS))], []),
        ([listener(REFUSE, rule(1, forward("servers"), field("host-header", "*.example.com")))], []),
        ([listener(REFUSE, rule(1, forward("servers"), field("path-pattern", "/v1/*")))],
         ["GET /health: answered with 404 by the default action of HTTPS 443; rule 1 leads to servers, and asks for path-pattern /v1/*"]),
        ([listener(REFUSE, rule(5, forward("servers"), field("path-pattern", "/v1/*", "/health"), field("http-request-method", "POST")))],
         ["GET /health, GET /v1/models: answered with 404 by the default action of HTTPS 443; rule 5 leads to servers, and asks for http-request-method POST"]),
        ([listener(forward("servers"), rule(10, REFUSE, field("path-pattern", "/v1/chat/*")))],
         ["POST /v1/chat/completions: answered with 404 by rule 10 of HTTPS 443"]),
        ([listener(forward("servers"), rule(10, REFUSE, field("path-pattern", "/metrics", "/slots")))], []),
        ([listener(forward("servers"), rule(10, [LOGIN, forward("servers")], field("path-pattern", "/v1/models")))],
         ["GET /v1/models: stopped at authenticate-oidc, for a client of an API has only its key by rule 10 of HTTPS 443"]),
    ],
    ids=["plain", "default-404-rule-forwards", "two-patterns", "host-wildcard", "no-health", "posts-only", "one-path-refused", "metrics-hidden", "a-login-before-models"],
)  # fmt: skip
def test_what_arrives_and_what_does_not(listeners, lost):
    have, _ = world(*listeners)
    found = way.find(have, DOMAIN)
    assert found is not None
    assert (found.group.name, found.fleet.name) == ("servers", "servers")
    assert [loss.words() for loss in found.lost] == lost


def test_the_rule_that_decides_is_named_with_its_place():
    have, _ = world(listener(REFUSE, rule(5, forward("servers"), field("path-pattern", "/v1/*"))))
    (lost,) = way.find(have, DOMAIN).lost
    assert lost.words({"rule/5": "main.tf:90", "listener/443": "main.tf:70"}.get).endswith(
        "(main.tf:70, main.tf:90)"
    )


def test_a_host_header_rule_of_another_domain_leads_nowhere_and_says_so():
    have, _ = world(listener(REFUSE, rule(1, forward("servers"), field("host-header", "api.other.com"))))
    assert way.find(have, DOMAIN) is None
    assert "asks for host-header api.other.com" in way.nowhere(have, DOMAIN)


def test_two_services_behind_one_door_by_host():
    """A stranger's layout: the same load balancer serves the web page of another team."""
    have, _ = world(
        listener(
            forward("web"),
            rule(
                10,
                forward("servers"),
                field("host-header", DOMAIN),
                field("path-pattern", "/v1/*", "/health*"),
            ),
        ),
        groups=("web", "servers"),
        fleets=("servers",),
    )
    found = way.find(have, DOMAIN)
    assert (found.group.name, found.lost) == ("servers", ())
    assert [loss.requests[0].path for loss in found.besides] == ["/completion"]


def test_http_redirects_and_https_forwards():
    """A stranger's layout: two listeners. The redirect must lead to where somebody speaks TLS."""
    plain = listener(TO_HTTPS, port=80, protocol="HTTP")
    have, balancer = world(plain, listener(forward("servers")))
    assert way.find(have, DOMAIN).listener.port == 443
    assert way.redirects(plain, DOMAIN)
    assert way.in_clear(plain) == []
    assert way.misled(balancer, DOMAIN) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"Protocol": "HTTPS", "StatusCode": "HTTP_301"},
            "https://llm.example.com:80, where nobody speaks TLS",
        ),
        (
            {"Protocol": "HTTP", "Port": "443", "StatusCode": "HTTP_301"},
            "http://llm.example.com:443, where nobody",
        ),
    ],
    ids=["the-port-stays-80", "the-scheme-stays-http"],
)
def test_a_redirect_that_leads_nowhere(config, says):
    _, balancer = world(
        listener({"Type": "redirect", "RedirectConfig": config}, port=80, protocol="HTTP"),
        listener(forward("servers")),
    )
    (found,) = way.misled(balancer, DOMAIN)
    assert says in found


def test_a_rule_of_port_80_that_forwards_beside_a_redirect_is_seen():
    plain = listener(
        TO_HTTPS, rule(3, forward("servers"), field("path-pattern", "/v1/*")), port=80, protocol="HTTP"
    )
    (found,) = way.in_clear(plain)
    assert (found.by, found.arn) == ("rule 3", "rule/3")
    assert not way.redirects(plain, DOMAIN)
    assert way.in_clear(listener(REFUSE, port=80, protocol="HTTP")) == []


@pytest.mark.parametrize(
    ("weights", "main", "served", "lost"),
    [
        ((("servers", 90), ("canary", 10)), "servers", ["servers", "canary"], 0),
        ((("servers", 10), ("canary", 90)), "canary", ["canary", "servers"], 0),
        ((("servers", 1), ("canary", 0)), "servers", ["servers"], 0),
        ((("servers", 9), ("empty", 1)), "servers", ["servers"], 4),
    ],
    ids=["a-tenth", "nearly-done", "not-yet", "to-nobody"],
)
def test_a_weighted_canary(weights, main, served, lost):
    """A stranger's layout: two fleets, of which one is new."""
    have, _ = world(
        listener(forward(*weights)), groups=("servers", "canary", "empty"), fleets=("servers", "canary")
    )
    found = way.find(have, DOMAIN)
    assert found.group.name == main
    assert [group.name for group, _ in found.served] == served
    assert sum(len(loss.requests) for loss in found.lost) == lost
    if lost:
        assert "10% of it to empty, which belongs to no Auto Scaling group" in found.lost[0].words()


@pytest.mark.parametrize(
    ("have", "says"),
    [
        (Inventory(), "no load balancer listens for HTTPS (listeners: none)"),
        (world(listener(forward("servers"), port=80, protocol="HTTP"))[0], "(listeners: HTTP 80)"),
        (world(listener(forward("servers")), fleets=())[0], "there is no Auto Scaling group"),
        (world(listener(forward("other")), groups=("servers", "other"), fleets=("servers",))[0], "other, which belongs to no Auto Scaling group"),
        (world(listener(forward(("servers", 0), ("servers", 0))))[0], "forwarded to nobody (every weight is 0) by the default action"),
    ],
    ids=["nothing", "http-only", "no-fleet", "another-group", "weights-of-0"],
)  # fmt: skip
def test_why_nothing_arrives(have, says):
    assert way.find(have, DOMAIN) is None
    assert says in way.nowhere(have, DOMAIN)


def test_the_door_settles_the_rule_before_it_answers():
    """HAProxy asks its http-request lines before any use_backend: a default 404 must not answer for a rule that forwards."""
    have, balancer = world(
        listener(
            REFUSE,
            rule(
                20,
                forward(("servers", 3), ("canary", 1)),
                field("path-pattern", "/v1/*"),
                header("X-Team", "a b"),
            ),
            rule(
                3,
                TO_HTTPS,
                field("query-string", {"Key": "old", "Value": "*"}),
                field("source-ip", "10.0.0.0/8"),
            ),
        ),
        groups=("servers", "canary"),
    )
    made = door(have, balancer, int, ["i-servers", "i-canary"])
    lines = [line.strip() for line in made.config.splitlines()]
    first, second = (
        lines.index(next(text for text in lines if f"set-var(txn.rule) int({it})" in text)) for it in (3, 20)
    )
    assert first < second
    for line in (
        "acl rule20-0 path -m reg '^/v1/.*$'", "acl rule20-1 req.hdr(X-Team) -m reg -i '^a\\ b$'", "acl rule3-1 always_false",
        "http-request set-var(txn.rule) int(20) if !{ var(txn.rule) -m found } rule20-0 rule20-1",
        "use_backend targets-servers if { var(txn.rule) -m int eq 20 } { var(txn.share) -m int lt 750 }",
        "use_backend targets-canary if { var(txn.rule) -m int eq 20 } { var(txn.share) -m int lt 1000 }",
        'http-request return status 404 if !{ var(txn.rule) -m found }',
    ):  # fmt: skip
        assert line in lines, made.config
    assert made.targets == {"servers": ("i-servers",), "canary": ("i-canary",)}


@pytest.mark.needs("docker", "images")
def test_haproxy_reads_what_the_door_writes(tmp_path):
    """Every condition and action, with what a shell or a regular expression would take for its own."""
    elsewhere = {"Protocol": "#{protocol}", "Port": "8443", "Host": "www.#{host}", "Path": "/new/#{path}", "Query": "a=b", "StatusCode": "HTTP_302"}  # fmt: skip
    have, balancer = world(
        listener(
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/html", "MessageBody": "it's <b>no</b>thing\n%[x]"}},
            rule(1, forward(("servers", 3), ("canary", 1)), field("path-pattern", "/v1/*", "/it's~\"$ #{x}"), header("X-Team", "a b")),
            rule(2, TO_HTTPS, field("query-string", {"Key": "old", "Value": "*"}, {"Value": r"\*x"}), field("source-ip", "10.0.0.0/8")),
            rule(3, {"Type": "redirect", "RedirectConfig": elsewhere}, field("http-request-method", "GET", "HEAD")),
            rule(4, [LOGIN, forward("servers")], field("host-header", "*.example.com")),
            rule(5, forward(("servers", 0), ("canary", 0)), field("path-pattern", "/nobody")),
            port=80,
            protocol="HTTP",
        ),
        listener(forward("servers"), port=81, protocol="HTTP"),
        groups=("servers", "canary"),
    )  # fmt: skip
    (tmp_path / "haproxy.cfg").write_text(door(have, balancer, int, ["i-servers", "i-canary"]).config)
    tmp_path.chmod(0o755)
    line = [
        "docker",
        "run",
        "--rm",
        "-v",
        f"{tmp_path}:/door:ro",
        "haproxy:3.0",
        "haproxy",
        "-c",
        "-f",
        "/door/haproxy.cfg",
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
