"""Grafana, which is described and not run."""

from pathlib import Path

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.tiers.compose.for_labs import CLEAN, Project

from .stack import FILE


@check(
    title="Grafana is provisioned, and without a default password", points=1, needs=("up",), realism="schema"
)
def grafana(ctx: Context) -> Verdict:
    """Read what the file would start behind its profile: Grafana itself is not run here."""
    project = Project(ctx.files / FILE, env=CLEAN, profiles=["*"])
    with ctx.deploying():
        found = {
            name: service
            for name, service in project.services().items()
            if "grafana" in str(service.get("image", ""))
        }
    if not found:
        problems = ["no service runs a grafana image"]
    else:
        (service, *_) = found.values()
        problems = [] if service.get("profiles") else ["it has no profile, so that every `up` starts it"]
        env = {name: str(value) for name, value in (service.get("environment") or {}).items()}
        if "GF_SECURITY_ADMIN_PASSWORD__FILE" not in env:
            problems.append(f"its admin password is {env.get('GF_SECURITY_ADMIN_PASSWORD') or 'admin'!r}")
        elif not any(secret.get("source") for secret in service.get("secrets") or []):
            problems.append("its password file is not given to it as a secret")
        inside = [
            str(volume.get("target", ""))
            for volume in service.get("volumes") or []
            if volume.get("type") == "bind"
        ]
        sources = [Path(str(volume.get("source", ""))).name for volume in service.get("volumes") or []]
        if not any(path.startswith("/etc/grafana/provisioning") for path in inside):
            problems.append("nothing is mounted at /etc/grafana/provisioning: no datasource, no dashboard")
        if "dashboard.json" not in sources and not any(
            path == "/var/lib/grafana/dashboards" for path in inside
        ):
            problems.append("dashboard.json is not mounted below /var/lib/grafana/dashboards")
        if "prometheus" not in project.services():
            problems.append("its datasource asks http://prometheus:9090, and no service has that name")
    return verdict(
        not problems,
        expected="behind a profile, password from a file, datasource and dashboard mounted",
        observed="; ".join(problems)
        or f"behind {', '.join(map(str, service['profiles']))}, password from a secret, {len(sources)} mounts",
        look="docker compose --profile grafana config grafana",
    )
