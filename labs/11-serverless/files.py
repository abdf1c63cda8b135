"""What all three files say of their images: a version that stays, in a registry that is there."""

import re

from llmlab.checks import Context, Verdict, check, verdict
from llmlab.tiers.serverless.for_labs import read_task, reference

from .fargate import TASK
from .instances import SCRIPT, asked
from .stack import SERVICE, service

#: Registries that are gone, and since when.
RETIRED = {
    "gcr.io": "Container Registry was shut down on 2025-03-18; Artifact Registry is NAME-docker.pkg.dev"
}


@check(title="Every image has a version, and its registry is still there", points=2, realism="schema")
def images(ctx: Context) -> Verdict:
    """Read the names of the images in all three files."""
    with ctx.deploying():
        named = [*of_service(ctx), *of_task(ctx), *of_group(ctx)]
    wrong = []
    for where, image in named:
        found = reference(image)
        host = found.registry.lower()
        if found.moving:
            wrong.append(f"{where}: {image} may be another image tomorrow")
        for gone, why in RETIRED.items():
            if host == gone or re.fullmatch(rf"(us|eu|asia)\.{re.escape(gone)}", host):
                wrong.append(f"{where}: {gone}: {why}")
    return verdict(
        not wrong,
        expected="a tag that is not latest, or a digest, in a registry that answers",
        observed="\n".join(wrong) or f"{len(named)} images, each with a version",
        look="image: in all three files",
    )


def of_service(ctx: Context):
    """(file and line, image) of each container."""
    document = service(ctx).document
    for place, container in enumerate(service(ctx).containers):
        line = document.line_of(f"spec.template.spec.containers[{place}].image") or document.line
        yield f"{SERVICE}:{line}", str(container.get("image", ""))


def of_task(ctx: Context):
    """The same of a task."""
    definition = read_task(ctx.files / TASK)
    found = definition.document.get("containerDefinitions") if isinstance(definition.document, dict) else None
    for place, container in enumerate(found if isinstance(found, list) else ()):
        if isinstance(container, dict):
            yield definition.where(("containerDefinitions", place, "image")), str(container.get("image", ""))


def of_group(ctx: Context):
    """The same of a container group."""
    one = asked(ctx)
    yield one.where or SCRIPT, str(one.image)
