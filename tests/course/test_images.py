"""`[images]` of lab.toml: the lab says which images it deploys, llmlab knows no lab by its number."""

from __future__ import annotations

import re

import pytest
from imports import PACKAGE

from llmlab.course.info import all_labs
from llmlab.tiers.docker import images as docker
from llmlab.tiers.kubernetes.programs import images as kubernetes

COURSE = PACKAGE.parent
LABS = all_labs(COURSE)
NUMBERED = re.compile(
    r"\b[Ll]abs? \d\d\b"  # lab 04, labs 06 to 08
    r"|[\"']0\d[\"']"  # "04"; in quotes, "10" and more are numbers of other things
    rf"|\b(?:{'|'.join(lab.name for lab in LABS)})\b"
)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_what_our_labs_name_is_in_the_catalogues(lab):
    assert set(lab.images) <= {"docker", "kubernetes"}
    for name in lab.images.get("docker", ()):
        assert docker.named(name) in docker.CATALOGUE
    for name in lab.images.get("kubernetes", ()):
        assert kubernetes.named(name).name == name


def test_each_image_of_the_container_labs_is_a_labs():
    assert {image.name for image in docker.CATALOGUE} == {
        name for lab in LABS for name in lab.images.get("docker", ())
    }


def test_no_lab_number_stands_in_the_package():
    found = []
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".png") and "template" not in path.parts:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                found += [f"{path.relative_to(COURSE)}:{number}: {hit[0]}" for hit in NUMBERED.finditer(line)]
    assert found == []
