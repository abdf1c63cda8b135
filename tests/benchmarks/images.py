"""What three ways to an image cost: the guide's, the distribution's package, the source. Minutes, megabytes, tokens/s."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmlab import models
from llmlab.course.info import find_lab
from llmlab.records.store import write
from llmlab.tiers.docker.figures import images as draw
from llmlab.tiers.docker.images import ensure
from llmlab.tiers.docker.survey import survey

COURSE = Path(__file__).resolve().parents[2]
SOLUTION = COURSE / "solutions" / "03-container-image"
#: The starter does not start; this is the guide's image with what it forgot, and nothing else changed.
REPAIRED = (
    "COPY --from=builder /usr/bin/llama-server /usr/local/bin/",
    "RUN apt-get update && apt-get install -y llama.cpp-tools",
)


def images(repeats: int, *, source: bool, keep: bool) -> Iterator[str]:
    """Build each cold and warm, start it, measure one user's tokens/s; `keep` writes the records to data/."""
    model = models.get("20m")
    bundle = os.environ.get("SSL_CERT_FILE")  # where a proxy signs certificates of its own
    ensure(find_lab("03", COURSE).images["docker"])
    with tempfile.TemporaryDirectory(prefix="llmlab-bench-") as name:
        guide = Path(name) / "guide"
        shutil.copytree(SOLUTION / "starter", guide)
        text = (guide / "Dockerfile").read_text()
        assert REPAIRED[0] in text
        (guide / "Dockerfile").write_text(text.replace(*REPAIRED))
        ways = [("the guide's, repaired", guide), ("package", SOLUTION)]
        ways += [("source", SOLUTION / "from-source")] if source else []
        tables = []
        for number, (title, folder) in enumerate(ways, 1):
            table = survey(
                folder,
                "Dockerfile",
                name=title,
                arguments=["--host", "0.0.0.0", "--port", "8080", "-m", f"/models/{model.path.name}"],
                mounts={model.path.parent: "/models"},
                repeats=repeats,
                speed=model,
                secrets={"ca": Path(bundle)} if bundle else None,
                lab="03-container-image",
            )
            tables.append(table)
            if keep:
                write(table, COURSE / "data" / f"images-{number}.json")
        yield draw(tables).alt
