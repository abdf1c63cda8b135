"""Links of all labs: each relative one leads to a file and a heading that is there, each external one has the form of an address.

No network: whether a page elsewhere is still there is nobody's to say in a test.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from llmlab.checks import load_checks
from llmlab.course.info import all_labs

COURSE = Path(__file__).resolve().parents[2]
LABS = all_labs(COURSE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
#: Not there before something was run: `llmlab` writes it.
WRITTEN = {"labs/index.md"}


def markdown(path: Path) -> str:
    """A file's Markdown; of a notebook, that of its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return FENCE.sub("", text)


def slug(heading: str, jupyter: bool) -> str:
    """The anchor of a heading: as GitHub makes it, or as JupyterLab does."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    if jupyter:
        return plain.replace(" ", "-")
    kept = (c for c in plain.lower() if c in "-_ " or unicodedata.category(c)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    return {slug(heading, path.suffix == ".ipynb") for heading in HEADING.findall(markdown(path))}


def wrong(link: str, where: Path) -> str | None:
    """Why a link leads nowhere; None where it leads somewhere."""
    parts = urlsplit(link)
    if parts.scheme:
        host = parts.hostname or ""
        if parts.scheme != "https" or not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", host):
            return "is no address that starts with https://"
        return None
    if link.startswith("/"):
        return "starts at the root of some machine"
    target = (where.parent / unquote(parts.path)).resolve() if parts.path else where
    if not target.is_relative_to(COURSE):
        return "leads out of the course"
    if target.relative_to(COURSE).as_posix() in WRITTEN:
        return None
    if not target.exists():
        return "leads to no file"
    if parts.fragment and unquote(parts.fragment) not in anchors(target):
        return f"leads to no heading of {target.name}"
    return None


TEXTS = sorted(
    path
    for pattern in (
        "labs/*/*.ipynb",
        "labs/*/*.md",
        "labs/*.md",
        "solutions/*/lab.ipynb",
        "*.md",
    )
    for path in COURSE.glob(pattern)
    if path.relative_to(COURSE).as_posix() not in WRITTEN and ".llmlab" not in path.parts
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(COURSE).as_posix())
def test_links_lead_somewhere(path):
    # A solution's notebook is run in its folder and read as the learner's: its links are those of the lab.
    where = path
    if path.relative_to(COURSE).parts[0] == "solutions":
        where = COURSE / "labs" / path.parent.name / f"{path.parent.name}.ipynb"
    found = {link: why for link in LINK.findall(markdown(path)) if (why := wrong(link, where))}
    assert found == {}


@pytest.mark.parametrize("info", LABS, ids=lambda info: info.name)
def test_what_a_text_calls_a_check_of_the_lab_is_one(info):
    """The list below "What is graded", and the calls of `lab.check` and `lab.hint` in texts and hints."""
    names = {check.name for check in load_checks(info.folder)}
    texts = "\n".join([markdown(info.notebook), (info.folder / "hints.md").read_text(encoding="utf-8")])
    called = [
        name
        for words in re.findall(r"lab\.(?:check|hint)\(([^)]*)\)", texts)
        for name in re.findall(r'"([^"]+)"', words)
    ]
    graded = re.search(r"## What is graded\n(.*?)(?=\n#|\Z)", markdown(info.notebook), re.DOTALL)
    items = re.findall(r"^- ((?:`[^`]+`(?:, | and )?)+):", graded[1], re.MULTILINE) if graded else []
    listed = [name for item in items for name in re.findall(r"`([^`]+)`", item)]
    assert set(called) | set(listed) <= names
    if listed:
        assert names - set(listed) == set(), "a check that the text does not name"


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("nowhere.md", "no file"),
        ("instructors.md#no-such-part", "no heading"),
        ("#grade-a-class", None),
        ("instructors.md#grade-a-class", None),
        ("14-capstone/14-capstone.ipynb#Check", None),
        ("14-capstone/14-capstone.ipynb#Czech", "no heading"),
        ("../../elsewhere", "out of the course"),
        ("/etc/passwd", "root"),
        ("http://example.org/", "https"),
        ("https://exa mple/", "https"),
        ("https://localhost/x", "https"),
        ("https://example.org/a#b", None),
    ],
)
def test_a_link_that_leads_nowhere_is_seen(link, why):
    found = wrong(link, COURSE / "labs" / "instructors.md")
    assert (found is None) if why is None else why in found
