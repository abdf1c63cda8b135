"""The same service in a container, as Podman's generator makes it."""

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.tiers.systemd.for_labs import HOME, quadlets

from .service import machine_of

PORT = "127.0.0.1:8080"  # where the Quadlet publishes


@check(title="The Quadlet describes the same service in a container", points=2, realism="schema")
def quadlet(ctx: Context) -> Verdict:
    """Podman's generator makes a service of it; that service is what is looked at, not the file."""
    machine, _ = machine_of(ctx)
    with ctx.deploying():
        made = quadlets.generate(machine, f"{HOME}/llama.container")
        source = (ctx.files / "llama.container").read_text(encoding="utf-8", errors="replace")
        run = quadlets.parse(made, podman=quadlets.version(machine), source=source)
        wrong = quadlets.faults(run, publish=PORT)
    return verdict(
        not wrong,
        expected=f"image pinned (by digest, or localhost/… with Pull=never), read-only, no new privileges, no capabilities, the key as a secret, {PORT} published",
        observed="; ".join(wrong) or f"all of that, of {run.image}",
        look="machine = lab.boot(); machine.quadlet()",
    )
