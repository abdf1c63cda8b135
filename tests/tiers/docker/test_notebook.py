"""An image and a container as a notebook handles them, where Docker's part is a stand-in's."""

from __future__ import annotations

from types import SimpleNamespace

import factory
import pytest

from llmlab.errors import LabError
from llmlab.tiers.docker import notebook
from llmlab.tiers.docker.notebook import LiveBuild, LiveContainer, MeasuredImage


class StandInClaim:
    """A name and labels, and whether what has them was removed."""

    def __init__(self, what: str) -> None:
        self.name, self.labels, self.closed = "llmlab-1", {}, 0

    def close(self) -> None:
        self.closed += 1


class StandInContainer:
    def __init__(self, image, arguments, **options) -> None:
        self.image, self.arguments, self.options = image, arguments, options
        self.address = "http://127.0.0.1:1"
        self.state = {"Running": False, "ExitCode": 132}
        self.health = None

    def wait(self, condition, *, within, what) -> None:
        raise LabError("it has ended")

    def log(self, lines: int) -> str:
        return "\n".join(["first", "second", "Illegal instruction"][-lines:])


@pytest.fixture
def daemonless(monkeypatch, tmp_path):
    monkeypatch.setattr(notebook, "Claim", StandInClaim)
    monkeypatch.setattr(notebook, "Container", StandInContainer)
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))


def test_a_container_that_ended_shows_where_it_was_and_its_last_words(daemonless):
    container = LiveContainer(SimpleNamespace(), "mine:1", "-m", "/models/tiny.gguf")
    assert container.url == "http://127.0.0.1:1"
    assert container.log(1) == "Illegal instruction"
    assert container.log() == "first\nsecond\nIllegal instruction"
    assert repr(container).startswith("✘ ended with exit code 132.")
    assert "-m /models/tiny.gguf" in container._repr_html_()
    container.close()
    container.close()
    assert container._claim.closed == 2


def test_an_images_bytes_are_those_of_its_layers(daemonless, monkeypatch, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\n")
    lab = SimpleNamespace(files=tmp_path, info=SimpleNamespace(images={}))
    made = SimpleNamespace(image=lambda: "llmlab-1:dockerfile", cached=True)
    asked = []
    monkeypatch.setattr(notebook, "build", lambda *_, **options: asked.append(options) or made)
    monkeypatch.setattr(notebook, "layers", lambda tag: [(f"FROM {tag}", 3_000_000), ("COPY . .", 500_000)])
    image = LiveBuild(lab)
    assert asked[0]["tag"] == image.tag == "llmlab-1:dockerfile"
    assert image.layers() == [("FROM llmlab-1:dockerfile", 3_000_000), ("COPY . .", 500_000)]
    assert image.bytes == 3_500_000
    assert "Dockerfile: 4 MB, built all of it from the cache" in repr(image)
    image.close()
    assert image._claim.closed == 1
    with pytest.raises(LabError, match=r"no Dockerfile\.cuda here"):
        LiveBuild(lab, "Dockerfile.cuda")


def test_images_stand_beside_each_other_in_the_order_they_were_given():
    def survey(name: str) -> MeasuredImage:
        columns = "image what label bytes seconds"
        return MeasuredImage(factory.table("images", columns, [[name, "layer", "FROM", 1e6, None]]))

    first = survey("one")
    both = first.beside(survey("two"), survey("three").tables[0])
    assert [table.rows[0][0] for table in both.tables] == ["one", "two", "three"]
    assert repr(both).splitlines() == ["one: 1.0 MB", "two: 1.0 MB", "three: 1.0 MB"]
    assert len(first.tables) == 1
