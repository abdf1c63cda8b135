"""What every LMS's layout must give: the same three learners, their files and times, whoever laid them out.

The layouts are those that the code knows (`exports.BY_NAME`, `exports.BY_CLASS`): one without a builder here fails by its name.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmlab.course.info import LabInfo, find_lab
from llmlab.errors import LabError
from llmlab.submissions import exports
from llmlab.submissions.handed_in import handed_in, learners_in
from llmlab.submissions.submission import take

COURSE = Path(__file__).resolve().parents[2]
LAB = (COURSE / "labs" / "01-one-server" / "01-one-server.ipynb").read_text("utf-8")


@dataclass(frozen=True)
class Learner:
    first: str
    last: str
    login: str
    number: int
    when: int  # seconds since the epoch, even: a zip counts in twos

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def server(self) -> bytes:
        return f"[flags]\nparallel = {self.number}\n".encode()

    @property
    def files(self) -> dict[str, bytes]:
        """The lab's notebook with an answer of this learner's, and the artifact."""
        assert LAB.count("knee=None") == 1
        return {
            "lab.ipynb": LAB.replace("knee=None", f"knee={self.number}").encode(),
            "server.toml": self.server,
        }


# An accent; an underscore, which most layouts part their names by; a comma, which others do.
LEARNERS = (
    Learner("Zoë", "Müller", "zmueller", 4001, 1_790_000_000),
    Learner("Ann", "Lee_O'Neil", "alee", 4002, 1_790_000_600),
    Learner("Cy", "Cox, Jr.", "ccox", 4003, 1_790_086_400),
)


class Laid:
    """A folder of the class, as somebody downloaded it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, data: bytes, when: int) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (when, when))

    def files(self, learner: Learner, name: str) -> None:
        """Each file under its name; `name` holds {} for it, and what names a folder ends with a slash."""
        for file, data in learner.files.items():
            self.write(name.format(file), data, learner.when)

    def packed(self, learner: Learner, name: str) -> None:
        """All in a zip, which is younger than what is in it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for file, data in learner.files.items():
                archive.writestr(zipfile.ZipInfo(file, time.localtime(learner.when)[:6]), data)


#: Lays one learner out, and gives the name under which the layout shows this learner.
Builder = Callable[[Laid, Learner], str]
BUILDERS: dict[str, list[Builder]] = {}


def builds(layout: str) -> Callable[[Builder], Builder]:
    def note(builder: Builder) -> Builder:
        BUILDERS.setdefault(layout, []).append(builder)
        return builder

    return note


@builds("moodle")
def moodle_folders(laid: Laid, learner: Learner) -> str:
    folder = f"{learner.name}_{learner.number}_assignsubmission_"
    laid.files(learner, f"{folder}file/{{}}")
    laid.write(f"{folder}onlinetext/onlinetext.html", b"<p>see the file</p>", learner.when + 50)
    return learner.name.replace("_", " ")


@builds("moodle")
def moodle_files(laid: Laid, learner: Learner) -> str:
    laid.files(learner, f"{learner.name}_{learner.number}_assignsubmission_file_{{}}")
    return learner.name.replace("_", " ")


@builds("moodle")
def moodle_zips(laid: Laid, learner: Learner) -> str:
    laid.packed(learner, f"{learner.name}_{learner.number}_assignsubmission_file/lab 01.zip")
    return learner.name.replace("_", " ")


def in_canvas(learner: Learner) -> str:
    """The sortable name in small letters, of which word characters stay (`sanitize_user_name` in its `content_zipper.rb`)."""
    sortable = f"{learner.last}, {learner.first}".lower()
    return "".join(character for character in sortable if character.isalnum() or character == "_")


@builds("canvas")
def canvas_files(laid: Laid, learner: Learner) -> str:
    for number, (file, data) in enumerate(learner.files.items(), 670_000 + learner.number):
        laid.write(f"{in_canvas(learner)}_{learner.number}_{number}_{file}", data, learner.when)
    return in_canvas(learner)


@builds("canvas")
def canvas_zips(laid: Laid, learner: Learner) -> str:
    laid.packed(learner, f"{in_canvas(learner)}_{learner.number}_{670_000 + learner.number}_lab-1.zip")
    return in_canvas(learner)


@builds("canvas")
def canvas_without_names(laid: Laid, learner: Learner) -> str:
    """Marked anonymously: five letters and digits instead of name and number."""
    number = {4001: "aB3dE", 4002: "12345", 4003: "Zz9Y8"}[learner.number]
    laid.files(learner, f"anon_{number}_{670_000 + learner.number}_{{}}")
    return f"anon {number}"


@builds("gradescope")
def gradescope_folders(laid: Laid, learner: Learner) -> str:
    laid.files(learner, f"submission_{learner.number}/{{}}")
    about = laid.folder / "submission_metadata.yml"
    before = about.read_text("utf-8") if about.exists() else "---\n"
    person = f"  - :name: {json.dumps(learner.name, ensure_ascii=False)}\n    :sid: '{learner.login}'\n"
    about.write_text(f"{before}submission_{learner.number}:\n  :submitters:\n{person}", "utf-8")
    return learner.name


@builds("brightspace")
def brightspace_files(laid: Laid, learner: Learner) -> str:
    when = datetime.fromtimestamp(learner.when).strftime("%b %d, %Y %I%M %p")
    laid.files(learner, f"{learner.number}-99 - {learner.name} - {when} - {{}}")
    return learner.name


@builds("brightspace")
def brightspace_folders(laid: Laid, learner: Learner) -> str:
    when = datetime.fromtimestamp(learner.when).strftime("%d %B, %Y %I%M %p")
    laid.files(learner, f"{learner.number}-99 - {learner.name} - {when}/{{}}")
    return learner.name


@builds("blackboard")
def blackboard_files(laid: Laid, learner: Learner) -> str:
    """By logins; beside the files a text of its own."""
    start = (
        f"Lab 01_{learner.login}_attempt_{datetime.fromtimestamp(learner.when).strftime('%Y-%m-%d-%H-%M-%S')}"
    )
    laid.files(learner, f"{start}_{{}}")
    laid.write(f"{start}.txt", f"Name: {learner.name} ({learner.login})".encode(), learner.when + 50)
    return learner.login


@builds("ilias")
def ilias_folders(laid: Laid, learner: Learner) -> str:
    laid.files(learner, f"{learner.last}_{learner.first}_{learner.login}_{learner.number}/{{}}")
    return learner.name.replace("_", " ")


@builds("nbgrader")
def nbgrader_folders(laid: Laid, learner: Learner) -> str:
    laid.files(learner, f"submitted/{learner.login}/01-one-server/{{}}")
    return learner.login


@builds("by hand")
def folders(laid: Laid, learner: Learner) -> str:
    laid.files(learner, f"{learner.name}/{{}}")
    return learner.name


@builds("by hand")
def zips(laid: Laid, learner: Learner) -> str:
    laid.packed(learner, f"{learner.name}.zip")
    return learner.name


KNOWN = {*exports.BY_NAME, *exports.BY_CLASS}
CASES = [
    pytest.param(layout, builder, id=builder.__name__ if builder else layout)
    for layout in [*BUILDERS, *sorted(KNOWN - BUILDERS.keys())]
    for builder in BUILDERS.get(layout, [None])
]


@pytest.fixture(scope="module")
def info() -> LabInfo:
    return find_lab("01", COURSE)


@pytest.fixture
def laid(tmp_path) -> Laid:
    return Laid(tmp_path / "submissions")


def lay(laid: Laid, layout: str, builder: Builder | None) -> dict[str, Learner]:
    """The class in that layout: the name shown → the learner."""
    assert builder, f"the code knows the layout {layout!r}, and nobody here builds it"
    return {builder(laid, learner): learner for learner in LEARNERS}


@pytest.mark.parametrize(("layout", "builder"), CASES)
def test_it_gives_the_same_learners_files_and_times(info, laid, tmp_path, layout, builder):
    shown = lay(laid, layout, builder)
    found = handed_in(laid.folder, info)
    assert {submission.learner for submission in found} == shown.keys()
    assert len({submission.key for submission in found}) == len(LEARNERS)
    for submission in found:
        learner = shown[submission.learner]
        taken = take(submission.source, info, tmp_path / "copies" / submission.key)
        assert taken.artifacts == ("server.toml",)
        assert (taken.folder / "server.toml").read_bytes() == learner.server
        assert [source.partition("#")[0].strip() for source in taken.cells.values()] == [
            f"lab.answer(knee={learner.number})"
        ]
        assert taken.submitted == datetime.fromtimestamp(learner.when, UTC)
        assert (submission.remarks, submission.late_mark) == ((), False)


@pytest.mark.parametrize(("layout", "builder"), CASES)
def test_the_class_is_found_in_it_and_in_a_folder_around_it(info, laid, layout, builder):
    shown = lay(laid, layout, builder)
    inner = laid.folder / "submitted" if layout == "nbgrader" else laid.folder
    assert learners_in(laid.folder, info) == [inner]
    around = laid.folder.with_name("download")
    around.mkdir()
    laid.folder.rename(around / "Lab 01")
    assert learners_in(around, info) == [around / "Lab 01" / inner.relative_to(laid.folder)]
    assert {submission.learner for submission in handed_in(around, info)} == shown.keys()


@pytest.mark.parametrize(("layout", "builder"), [case for case in CASES if case.values[0] in KNOWN])
def test_zipped_it_is_nobodys_submission(info, laid, tmp_path, layout, builder):
    """A class graded as one learner would lose all the others."""
    lay(laid, layout, builder)
    download = tmp_path / "download.zip"
    with zipfile.ZipFile(download, "w") as archive:
        for path in laid.folder.rglob("*"):
            archive.write(path, path.relative_to(laid.folder))
    with pytest.raises(LabError, match=r"download\.zip is a whole class, zipped") as caught:
        handed_in(download, info)
    assert caught.value.fix == f"unzip '{download}' -d submissions, and name that folder"


def test_a_builder_is_of_a_layout_that_is_known():
    assert BUILDERS.keys() - {"nbgrader", "by hand"} == KNOWN
