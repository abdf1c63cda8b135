"""The learner's project, up, with what the lab lays beside it; and load for it."""

from collections.abc import Iterator
from pathlib import Path

from llmlab.checks import Context, fixture
from llmlab.load import measure
from llmlab.tiers.compose.for_labs import CLEAN, Fleet, Project, furnish

HERE = Path(__file__).parent
FILE = "compose.yaml"
REPLICAS, SLOTS, CONTEXT = 3, 2, 2048


@fixture(ours=True)
def furnished(ctx: Context) -> str:
    """What the lab lays beside the learner's files, in a folder that nothing ran in before; its key."""
    return furnish(ctx.files, HERE, fresh=True)


@fixture
def stack(ctx: Context) -> Iterator[Fleet]:
    """The learner's project, up."""
    key = furnished(ctx)
    with Project(ctx.files / FILE, own_ports=True, env=CLEAN) as project:
        project.up()
        with Fleet(project, key) as fleet:
            fleet.door()
            fleet.service  # noqa: B018 - raises when no container runs llama-server
            yield fleet


def load(ctx: Context, fleet: Fleet, plan, **more):
    """Requests through the door: their samples."""
    return measure(fleet.target(), [plan], **more).runs[0].samples
