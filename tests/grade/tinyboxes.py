"""A container lab in miniature: one image, one Compose project, one answer. Everything it makes carries TOKEN."""

from __future__ import annotations

import uuid
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from llmlab.course.info import LabInfo, read_info

TOKEN = f"tb{uuid.uuid4().hex[:8]}"

LAB_TOML = """
title = "Two boxes"
minutes = 5
objectives = ["start two boxes"]
needs = ["docker"]
artifacts = ["Dockerfile", "compose.yaml"]
points = 5

[grade]
notebook = 40
answer = 5
checks = 40
build = 12
ready = 20
memory = "96M"
processes = 64
"""

CHECKS = '''
from llmlab.checks import Context, Verdict, check, failed, passed
from llmlab.tiers.compose.project import Project
from llmlab.tiers.docker.build import build
from llmlab.tiers.docker.container import Container
from llmlab.tiers.docker.owning import Claim


@check(title="The image builds and says hello", points=2)
def image(ctx: Context) -> Verdict:
    """Build it, run it."""
    claim = ctx.enter(Claim("image of a test"))
    with ctx.deploying():
        tag = build(ctx.files, tag=f"{claim.name}:image", labels=claim.labels).image()
        one = Container(tag, claim=claim)
        one.wait(lambda: "hello" in one.log() or one.status == "exited", within=15, what="saying hello")
    said = one.log()
    host = one.raw.attrs["HostConfig"]
    verdict = passed if "hello" in said else failed
    return verdict(expected="hello", observed=said, pids=host["PidsLimit"], memory=host["Memory"], cpus=host["NanoCpus"])


@check(title="The project comes up", points=2)
def stack(ctx: Context) -> Verdict:
    """Up, healthy."""
    with ctx.deploying():
        project = ctx.enter(Project(ctx.files / "compose.yaml", own_ports=True))
        project.up(timeout=60)
    made = [one.attrs["HostConfig"] for one in project.containers()]
    limits = sorted({(one["PidsLimit"], one["Memory"], one["NanoCpus"]) for one in made})
    return passed(expected="up", observed=f"{len(made)} containers", limits=str(limits))


@check(title="You have a word for it", points=1)
def word(ctx: Context) -> Verdict:
    """Free text."""
    said = ctx.answers.get("word")
    return (passed if said == "box" else failed)(expected="lab.answer(word='box')", observed=f"your answer is {said!r}")
'''

HINTS = "".join(
    f"## {name}\n\n1. A nudge for {name}.\n2. Where to look.\n3. Nearly it.\n\n"
    for name in ("image", "stack", "word")
)

DOCKERFILE = f"FROM debian:trixie-slim\nLABEL test={TOKEN}\nCMD echo hello; sleep 600\n"


def compose(
    service: str = "", rest: str = "", command: str = "echo hello; touch /tmp/up; exec sleep 600"
) -> str:
    """A Compose file that works; `service` and `rest` are more lines for its service and for the file."""
    more = "".join(f"    {line}\n" for line in service.splitlines())
    return f"""services:
  web:
    image: debian:trixie-slim
    command: ["sh", "-c", {command!r}]
    stop_grace_period: 0s
    healthcheck: {{test: ["CMD", "test", "-f", "/tmp/up"], interval: 500ms, timeout: 5s, retries: 20}}
    labels: {{test: {TOKEN}}}
    networks: [{TOKEN}]
{more}networks:
  {TOKEN}: {{}}
{rest}"""


def notebook(**cells: str):
    """The lab's notebook; keywords (dashes as underscores) replace cells."""
    replaced = {name.replace("_", "-"): source for name, source in cells.items()}

    def code(name: str, source: str, *tags: str):
        return new_code_cell(replaced.get(name, source), id=name, metadata={"tags": list(tags)})

    made = new_notebook(
        cells=[
            new_markdown_cell("# Two boxes", id="title"),
            code("parameters", "submission = None\nseed = 0", "parameters"),
            code(
                "lab", "from llmlab import Lab\nlab = Lab.here('90-boxes', submission=submission, seed=seed)"
            ),
            code("build", "image = lab.build('Dockerfile')\nf'{image.seconds:.1f} s', image.size / 2**20"),
            code("run", "one = lab.run(image, '-m', 'x')\none.load(concurrency=4).plot()"),
            code(
                "up",
                "stack = lab.up(scale={'web': 3})\n[step.name for step in stack.steps], stack['web'].log()",
            ),
            code("boot", "lab.boot().install('install.sh')"),
            code("answer-word", "lab.answer(word=None)", "answer"),
            code("check", "lab.check()"),
            code("stop", "lab.stop()"),
        ],
        metadata={
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        },
    )
    made.nbformat_minor = 5
    return made


def make(course: Path, **replace: str) -> LabInfo:
    """Write the lab below `course/labs`; keywords are keys of its lab.toml."""
    folder = course / "labs" / "90-boxes"
    folder.mkdir(parents=True)
    lines = [
        f"{line.split(' = ')[0]} = {replace[line.split(' = ')[0]]}"
        if line.split(" = ")[0] in replace
        else line
        for line in LAB_TOML.splitlines()
    ]
    (folder / "lab.toml").write_text("\n".join(lines) + "\n")
    (folder / "checks.py").write_text(CHECKS)
    (folder / "hints.md").write_text(HINTS)
    (folder / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    (folder / "compose.yaml").write_text("services: {}\n")
    (folder / "lab.ipynb").write_text(nbformat.writes(notebook()))
    return read_info(folder)


def hand_in(
    folder: Path,
    *,
    dockerfile: str = DOCKERFILE,
    stack: str | None = None,
    word: str = "lab.answer(word='box')",
) -> Path:
    """One learner's folder."""
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "compose.yaml").write_text(compose() if stack is None else stack)
    (folder / "lab.ipynb").write_text(nbformat.writes(notebook(answer_word=word)))
    return folder


def left() -> list[str]:
    """What is still in the daemon of all that was handed in here."""
    from llmlab.tiers.docker.daemon import client

    daemon = client()
    mine = {"label": f"test={TOKEN}"}
    found = [
        f"container {container.name}"
        for container in daemon.containers.list(all=True, filters=mine, ignore_removed=True)
    ]
    found += [f"image {image.tags or image.id}" for image in daemon.images.list(all=True, filters=mine)]
    found += [f"network {network.name}" for network in daemon.networks.list() if TOKEN in network.name]
    return found + [f"volume {volume.name}" for volume in daemon.volumes.list() if TOKEN in volume.name]
