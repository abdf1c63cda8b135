"""A Compose file that leaves something to an .env, or to another file that nobody hands in: said by its name and line."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.tiers.compose.project import Project
from llmlab.tiers.compose.variables import explained, unset

TEXT = """\
# ${NOT_USED} is a comment
services:
  web:
    image: ${IMAGE}   # ${NEITHER}
    command: ["$$HOME", "$SHORT", "${A:-1}", "${B-}", "${C:+x}", "${D+x}", "${E:?why}", "${F?}", "${IMAGE}"]
"""


def names(folder, env=None, dotenv=None):
    (folder / "compose.yaml").write_text(TEXT)
    if dotenv is not None:
        (folder / ".env").write_text(dotenv)
    return [(variable.name, variable.line) for variable in unset(folder / "compose.yaml", env or {})]


def test_what_has_neither_a_value_nor_a_default_is_found_with_its_line(tmp_path):
    assert names(tmp_path) == [("IMAGE", 4), ("SHORT", 5), ("E", 5), ("F", 5)]
    assert names(tmp_path, {"IMAGE": "a", "SHORT": "", "E": "1"}) == [("SHORT", 5), ("F", 5)]
    assert names(tmp_path, dotenv="# IMAGE2=x\nexport SHORT='a'\nE = 1\nF: 2\n") == [("IMAGE", 4)]


def test_an_error_that_has_nothing_to_do_with_it_stays_as_it_was(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    error = LabError("port 80 is taken", where="compose.yaml:7", fix="another")
    assert str(explained(error, tmp_path / "compose.yaml", {}, alone=True)) == str(error)


#: Real ways to leave something out: the file, what is said, and on which line.
FILES = {
    "required": ("  web:\n    image: i\n    scale: ${N:?how many}\n", ["N (line 4) is not set here.", "how many"], 4),
    "required-even-if-blank": ("  web:\n    image: i\n    command: [a, '${N?err}']\n", ["N (line 4) is not set here.", "err"], 4),
    "blank-image": ("  web:\n    image: ${IMAGE}\n", ["IMAGE (line 3) is not set here: Compose takes a blank"], 2),
    "blank-number": ("  web:\n    image: i\n    scale: $N\n", ["N (line 4) is not set here"], 4),
    "several": ("  web:\n    image: ${I}\n    scale: ${N:?}\n    user: ${U}\n", ["N (line 4), I (line 3) and U (line 5) are not set"], 4),
    "a-profile-that-is-off": ("  web:\n    image: i\n    profiles: [x]\n    user: ${U:?}\n", ["U (line 5) is not set"], 5),
    "env-file": ("  web:\n    image: i\n    env_file:\n      - app.env\n", ["app.env is not here."], 5),
    "extends": ("  web:\n    extends:\n      file: base.yaml\n      service: x\n", ["base.yaml is not here."], 4),
}  # fmt: skip


@pytest.mark.needs("docker", "images")
@pytest.mark.parametrize(("text", "says", "line"), FILES.values(), ids=FILES)
def test_what_is_left_out_is_named_and_that_only_the_labs_files_are_handed_in(tmp_path, text, says, line):
    file = tmp_path / "compose.yaml"
    file.write_text(f"services:\n{text}")
    with pytest.raises(LabError) as caught:
        Project(file, vet=True).config()
    for words in says:
        assert words in caught.value.what
    assert "Only the lab's own files are handed in and graded" in caught.value.what
    assert "`docker compose up` in your own folder may work" in caught.value.what
    assert caught.value.where == f"compose.yaml:{line}"
    assert "into compose.yaml" in caught.value.fix


@pytest.mark.needs("docker", "images")
def test_on_the_learners_own_machine_nothing_is_said_of_handing_in_and_an_env_beside_it_counts(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    image: ${IMAGE:?which}\n")
    with pytest.raises(LabError, match="IMAGE") as caught:
        Project(file, vet=False).config()
    assert "handed in" not in caught.value.what
    (tmp_path / ".env").write_text("IMAGE=debian:trixie-slim\n")
    assert Project(file, vet=False).services()["web"]["image"] == "debian:trixie-slim"
