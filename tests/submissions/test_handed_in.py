"""Who handed in what: plain folders and the exports of learning management systems."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from llmlab.course.info import LabInfo, find_lab
from llmlab.errors import LabError
from llmlab.submissions.handed_in import Submission, handed_in, key_of, learners_in
from llmlab.submissions.submission import take

COURSE = Path(__file__).resolve().parents[2]
LAB = (COURSE / "labs" / "01-one-server" / "01-one-server.ipynb").read_bytes()
SERVER = b"[flags]\n"
OLD, NEW = 1_700_000_000, 1_710_000_000


@pytest.fixture(scope="module")
def info() -> LabInfo:
    return find_lab("01", COURSE)


@pytest.fixture
def lay(tmp_path: Path):
    def write(*paths: str, top: str = "submissions") -> Path:
        folder = tmp_path / top
        folder.mkdir(exist_ok=True)
        for name in paths:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir()
            elif name.endswith(".zip"):
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr("lab.ipynb", LAB)
                    archive.writestr("server.toml", SERVER + name.encode())
            else:
                path.write_bytes(LAB if name.endswith(".ipynb") else SERVER)
        return folder

    return write


@pytest.fixture
def taken(info, tmp_path):
    """What a submission holds: (artifacts, notebook)."""

    def read(one: Submission) -> tuple[tuple[str, ...], str | None]:
        found = take(one.source, info, tmp_path / "copies" / one.key)
        return found.artifacts, found.notebook

    return read


def learners(found: list[Submission]) -> list[str]:
    return [submission.learner for submission in found]


def aged(path: Path, when: int) -> None:
    os.utime(path, (when, when))


# A class's own folder


def test_each_entry_is_one_learner(info, lay, taken):
    folder = lay(
        "bob.zip", "Carol Ann/lab.ipynb", "alice/server.toml", "Müller, Zoë Jr..zip", "dave.ipynb", "eve/"
    )
    found = handed_in(folder, info)
    assert learners(found) == ["alice", "bob", "Carol Ann", "dave", "eve", "Müller, Zoë Jr."]
    assert [submission.key for submission in found] == [
        "alice",
        "bob",
        "Carol Ann",
        "dave",
        "eve",
        "Müller_ Zoë Jr",
    ]
    assert [submission.path.name for submission in found][-1] == "Müller, Zoë Jr..zip"
    assert taken(found[0]) == (("server.toml",), None)
    assert taken(found[3]) == ((), "dave.ipynb")
    with pytest.raises(LabError, match="eve is empty"):
        taken(found[4])


def test_stray_files_are_no_learners(info, lay):
    folder = lay("alice.zip", "README.txt", ".DS_Store", "__MACOSX/._alice.zip", "Thumbs.db", "grades.csv",
                 ".git/config", "roster.xlsx", "index.html", "submission_metadata.yml", ".ipynb_checkpoints/a.ipynb")  # fmt: skip
    assert learners(handed_in(folder, info)) == ["alice"]


def test_links_and_other_archives_are_refused_by_name_and_not_forgotten(info, lay, taken, tmp_path):
    folder = lay("alice.zip", "bob.7z", "carol.tar.gz")
    (folder / "dave").symlink_to(lay("server.toml", top="elsewhere"), target_is_directory=True)
    (folder / "eve.zip").symlink_to("/nowhere")
    os.mkfifo(folder / "fay.zip")
    found = handed_in(folder, info)
    assert learners(found) == ["alice", "bob", "carol", "dave", "eve", "fay"]
    for submission, why in zip(
        found[1:],
        ["bob.7z is no folder", "carol.tar.gz is no folder", "dave is a link", "eve.zip is a link", "fay.zip is a device"],
        strict=True,
    ):  # fmt: skip
        with pytest.raises(LabError, match=why):
            taken(submission)


def test_of_two_submissions_of_one_learner_the_newest_counts(info, lay):
    folder = lay("alice.zip", "alice (1).zip", "alice (2).zip", "Bob (1).zip", "carol.zip", "Carol.ipynb")
    for name, when in (
        ("alice.zip", OLD),
        ("alice (1).zip", NEW),
        ("alice (2).zip", NEW),
        ("carol.zip", NEW),
    ):
        aged(folder / name, when)
    aged(folder / "Carol.ipynb", OLD)
    found = handed_in(folder, info)
    assert [submission.learner.casefold() for submission in found] == ["alice", "bob", "carol"]
    assert found[0].path.name == "alice (2).zip"
    assert found[0].remarks == (
        "Handed in more than once: the newest was graded, not alice (1).zip, alice.zip.",
    )
    assert found[1].path.name == "Bob (1).zip"
    assert found[1].remarks == ()
    assert found[2].path.name == "carol.zip"


def test_a_folder_that_is_a_submission_is_one_learners(info, lay, taken):
    for n, paths in enumerate(
        (
            ("server.toml", "lab.ipynb", "records/a.json", ".ipynb_checkpoints/lab.ipynb"),
            ("Server.toml",),
            ("my lab.ipynb", "notes/a.txt"),
        )
    ):
        folder = lay(*paths, top=f"Zoë, Müller {n}")
        (one,) = handed_in(folder, info)
        assert (one.learner, one.path) == (f"Zoë, Müller {n}", folder)
        assert taken(one) != ((), None)
    folder = lay("server.toml", "notes/a.txt", top="linked")
    (folder / "notes" / "b").symlink_to(lay("x/lab.ipynb", top="other"), target_is_directory=True)
    assert learners(handed_in(folder, info)) == ["linked"]
    # somebody's folder or zip beside it, or several notebooks: a class
    assert learners(handed_in(lay("server.toml", "bob/a/lab.ipynb", top="c1"), info)) == ["bob"]
    assert learners(handed_in(lay("server.toml", "bob.zip", top="c2"), info)) == ["bob"]
    assert learners(handed_in(lay("ann.ipynb", "bob.ipynb", top="c3"), info)) == ["ann", "bob"]


@pytest.mark.parametrize("name", ["bob.zip", "bob.ipynb"])
def test_a_file_is_one_learners(info, lay, taken, name):
    (one,) = handed_in(lay(name) / name, info)
    assert (one.learner, one.key) == ("bob", "bob")
    assert taken(one)[1]


def test_nobody_there_says_what_was_looked_for(info, lay, tmp_path):
    for folder, what in (
        (tmp_path / "nowhere", "no such folder"),
        (lay(), "Nobody handed in anything"),
        (lay("README.txt", ".DS_Store"), "Nobody handed in anything"),
    ):
        with pytest.raises(LabError, match=what) as caught:
            handed_in(folder, info)
        assert caught.value.where == str(folder)
        assert "submissions/alice/lab.ipynb" in caught.value.fix


# Keys


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Zoë Müller, Jr.", "Zoë Müller_ Jr"), ("王小明", "王小明"), ("अनिता", "अनिता"), ("a/b\\c", "a_b_c"), ("..", "__"), (".", "_"), ("", "learner"),
        ("...x", "___x"), ("=cmd|' /C calc'!A0", "_cmd__ _C calc__A0"), ('"q" @+x', "_q_ __x"), ("-rf", "_rf"),
        ("CON", "_CON"), ("nul.txt", "_nul.txt"), ("com1", "_com1"), ("console", "console"), ("a\0b\nc\x1b", "a_b_c_"),
        ("o'hara", "o_hara"), ("a" * 300, "a" * 80), ("x. . ", "x"), ("😀", "_"), ("\udcff", "_"),
    ],
)  # fmt: skip
def test_keys_are_safe_anywhere(name, key):
    assert key_of(name) == key


def test_keys_are_composed_short_and_unique_whatever_the_case(info, lay):
    decomposed = unicodedata.normalize("NFD", "Zoë")
    wide = "𠮷" * 60  # four bytes each
    folder = lay(
        "a,b/lab.ipynb",
        "a;b/lab.ipynb",
        "A=B/lab.ipynb",
        f"{decomposed}/lab.ipynb",
        f"{wide}.zip",
        "a_b-2/lab.ipynb",
    )
    found = handed_in(folder, info)
    keys = [submission.key for submission in found]
    assert sorted(keys) == sorted(["a_b", "a_b-2", "a_b-2-2", "A_B-3", "Zoë", "𠮷" * 50])
    assert len({key.casefold() for key in keys}) == 6
    long = [f"{'x' * 79}{sign}{n}" for n in range(3) for sign in ",;"]
    keys = [
        submission.key
        for submission in handed_in(lay(*(f"{name}/lab.ipynb" for name in long), top="long"), info)
    ]
    assert len(set(keys)) == 6
    assert max(map(len, keys)) <= 80


# Exports


def test_moodle_folders(info, lay, taken):
    folder = lay(
        "Zoë Müller_123456_assignsubmission_file_/lab.zip",
        "Ann_Lee O'Neil_123457_assignsubmission_file/server.toml",
        "Ann_Lee O'Neil_123457_assignsubmission_onlinetext/onlinetext.html",
        "Bo Only Text_123458_assignsubmission_onlinetext_/onlinetext.html",
        "Cy, Jr._123459_assignsubmission_file_/deep/er/lab.ipynb",
    )
    found = handed_in(folder, info)
    assert learners(found) == ["Ann Lee O'Neil", "Bo Only Text", "Cy, Jr.", "Zoë Müller"]
    assert taken(found[0]) == (("server.toml",), None)
    assert taken(found[1]) == ((), None)
    assert taken(found[3]) == (("server.toml",), "lab.zip/lab.ipynb")
    assert all(submission.remarks == () for submission in found)


def test_moodle_flat_files_and_blind_marking(info, lay, taken):
    folder = lay(
        "Zoë Müller_1_assignsubmission_file_lab.zip",
        "Ann Lee_2_assignsubmission_file_lab.ipynb",
        "Ann Lee_2_assignsubmission_file_server.toml",
        "Participant_3_assignsubmission_file_server.toml",
        "Participant_4_assignsubmission_file_lab.zip",
    )
    found = handed_in(folder, info)
    assert learners(found) == ["Ann Lee", "Participant 3", "Participant 4", "Zoë Müller"]
    assert taken(found[0]) == (("server.toml",), "lab.ipynb")
    assert taken(found[1]) == (("server.toml",), None)
    assert taken(found[3]) == (("server.toml",), "lab.ipynb")


def test_canvas_files(info, lay, taken):
    folder = lay(
        "mullerzoe_LATE_12345_678901_lab-1.zip",
        "leeann_22345_678902_lab.ipynb",
        "leeann_22345_678903_server-2.toml",
        "leeann_22345_678910_server-10.toml",
        "leeann_22345_678904_notes.pdf",
        "oneilbo_32345_678905_my_own_lab.ipynb",
        "coxcy_42345_678907_server.toml",
        "leeann_52345_678908_lab.zip",
        "coxcy_42345_678906_lab.zip",
    )
    found = handed_in(folder, info)
    assert learners(found) == ["coxcy", "leeann 22345", "leeann 52345", "mullerzoe", "oneilbo"]
    assert [submission.late_mark for submission in found] == [False, False, False, True, False]
    assert taken(found[0]) == (("server.toml",), "lab.zip/lab.ipynb")
    assert taken(found[1]) == (("server.toml",), "lab.ipynb")
    assert dict(found[1].parts)["server.toml"].name == "leeann_22345_678910_server-10.toml"
    assert found[1].remarks == (
        "server.toml was handed in more than once: the newest was graded, not leeann_22345_678903_server-2.toml.",
    )
    assert found[3].source == folder / "mullerzoe_LATE_12345_678901_lab-1.zip"
    assert taken(found[4]) == ((), "oneilbo_32345_678905_my_own_lab.ipynb")


GRADESCOPE = """\
---
submission_101:
  :submitters:
  - :name: Zoë Müller
    :sid: '77'
    :email: zoe@example.org
  :created_at: 2026-10-05 10:00:00.000000000 Z
  :results: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    score: 3
  :kind: !ruby/symbol code
submission_102:
  :submitters:
  - :name: Ann Lee
    :sid: '1'
  - :name: Bo O'Neil
    :sid: '2'
submission_103:
  :submitters:
  - :name: Zoë Müller
    :sid: '78'
submission_104:
  :submitters: []
"""


@pytest.mark.parametrize("wrapped", ["", "assignment_9_export/"])
def test_gradescope_folders(info, lay, taken, wrapped):
    pytest.importorskip("yaml")
    folder = lay(*(f"{wrapped}submission_{n}/server.toml" for n in range(101, 106)))
    (folder / wrapped / "submission_metadata.yml").write_text(GRADESCOPE, encoding="utf-8")
    found = handed_in(folder, info)
    assert learners(found) == [
        "Ann Lee & Bo O'Neil",
        "submission_104",
        "submission_105",
        "Zoë Müller 77",
        "Zoë Müller 78",
    ]
    assert taken(found[3]) == (("server.toml",), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "{",
        "submission_101: 3\n",
        "submission_101:\n  :submitters: 3\n",
        "a: !!python/object/apply:os.abort []\n",
    ],
)
def test_gradescopes_file_may_be_missing_or_broken(info, lay, text):
    folder = lay("submission_101/server.toml")
    assert learners(handed_in(folder, info)) == ["submission_101"]
    (folder / "submission_metadata.yml").write_text(text)
    assert learners(handed_in(folder, info)) == ["submission_101"]


@pytest.mark.parametrize("above", ["", "submitted/"])
def test_nbgrader_folders(info, lay, taken, above):
    folder = lay(
        f"{above}zoe/01-one-server/lab.ipynb",
        f"{above}zoe/02-budgets/server.toml",
        f"{above}ann/lab01/server.toml",
        f"{above}bo/other/server.toml",
        *(["source/01-one-server/lab.ipynb", "gradebook.db"] if above else []),
    )
    found = handed_in(folder, info)
    assert learners(found) == ["ann", "bo", "zoe"]
    assert taken(found[0]) == (("server.toml",), None)
    assert found[2].path == folder / above / "zoe" / "01-one-server"
    assert taken(found[2]) == ((), "lab.ipynb")
    (one,) = handed_in(folder / above / "zoe", info)
    assert one.learner == "zoe"


def test_brightspace_folders_and_files(info, lay, taken):
    folder = lay(
        "12345-67890 - Zoë Müller-Lee - Oct 5, 2026 1005 AM/server.toml",
        "12345-67890 - Zoë Müller-Lee - Oct 10, 2026 905 PM/lab.zip",
        "22345-67891 - Ann Lee - 5 October, 2026 1005 AM - lab.ipynb",
        "22345-67891 - Ann Lee - 5 October, 2026 1005 AM - server.toml",
        "index.html",
    )
    found = handed_in(folder, info)
    assert learners(found) == ["Ann Lee", "Zoë Müller-Lee"]
    assert taken(found[0]) == (("server.toml",), "lab.ipynb")
    assert taken(found[1]) == (("server.toml",), "lab.zip/lab.ipynb")
    assert "Oct 5, 2026 1005 AM" in found[1].remarks[0]


def test_blackboard_files(info, lay, taken):
    folder = lay(
        "Lab 01_zmueller_attempt_2026-10-05-10-05-33_server.toml",
        "Lab 01_zmueller_attempt_2026-10-05-10-05-33.txt",
        "Lab 01_zmueller_attempt_2026-10-06-10-05-33_lab.zip",
        "Lab 01_zmueller_attempt_2026-10-06-10-05-33.txt",
        "Lab 01_alee_attempt_2026-10-05-10-05-33_server.toml",
        "Lab 01_nofile_attempt_2026-10-05-10-05-33.txt",
    )
    found = handed_in(folder, info)
    assert learners(found) == ["alee", "nofile", "zmueller"]
    assert taken(found[0]) == (("server.toml",), None)
    assert taken(found[1]) == ((), None)
    assert taken(found[2]) == (("server.toml",), "lab.ipynb")
    assert len(found[2].remarks) == 1


def test_logins_of_blackboard_that_end_alike_are_two_learners(info, lay, taken):
    start = "attempt_2026-10-05-10-05-33"
    folder = lay(f"Lab 01_ann_lee_{start}_server.toml", f"Lab 01_bo_lee_{start}_lab.ipynb")
    found = handed_in(folder, info)
    assert learners(found) == ["lee Lab 01_ann", "lee Lab 01_bo"]
    assert [taken(submission)[0] for submission in found] == [("server.toml",), ()]


def test_a_date_in_a_notebooks_name_is_nobodys_number(info, lay):
    folder = lay("my_lab_2026_10_05_final.ipynb", "server.toml")
    assert learners_in(folder, info) == []


def test_an_export_in_a_folder_of_its_own_is_found(info, lay):
    folder = lay(
        "Course-Lab 01-99/Zoë_1_assignsubmission_file_/lab.zip",
        "Course-Lab 01-99/Ann_2_assignsubmission_file_/lab.zip",
    )
    assert learners(handed_in(folder, info)) == ["Ann", "Zoë"]


def test_a_moodle_export_in_a_folder_in_a_zip_says_what_to_do(info, lay, tmp_path):
    inside = [
        "Lab 01-99/Zoë_1_assignsubmission_file_/lab.zip",
        "Lab 01-99/Ann_2_assignsubmission_file_/server.toml",
    ]
    folder = lay("README.txt")
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for name in inside:
            archive.writestr(name, b"x")
    for given in (folder, folder / "export.zip"):
        with pytest.raises(LabError, match=r"export\.zip is a whole class, zipped: Zoë, Ann") as caught:
            handed_in(given, info)
        assert caught.value.fix.startswith("unzip '")
    unpacked = lay(*inside, top="unpacked")
    assert learners(handed_in(unpacked, info)) == ["Ann", "Zoë"]
    # one learner's zip beside others is theirs, whatever the names in it: it stops nobody
    with zipfile.ZipFile(folder / "bob.zip", "w") as archive:
        archive.writestr("lab.ipynb", LAB)
    bob, export = handed_in(folder, info)
    assert (bob.learner, bob.remarks) == ("bob", ())
    assert export.remarks == (
        "export.zip looks like a whole class (Zoë, Ann, …): it was graded as one learner's.",
    )


def test_a_zip_of_canvas_is_a_class_and_its_files_are_learners(info, lay, taken, tmp_path):
    names = ("name_12345_67890_lab-1.ipynb", "name_12345_67891_server.toml", "other_22345_67892_lab.ipynb")
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(LabError, match=r"submissions\.zip is a whole class, zipped: name, other"):
        handed_in(tmp_path / "submissions.zip", info)
    found = handed_in(lay(*names), info)
    assert learners(found) == ["name", "other"]
    assert taken(found[0]) == (("server.toml",), "lab.ipynb")


@pytest.mark.parametrize(
    ("paths", "folders", "wanted"),
    [
        # several levels, stray files beside them, an instructor's starter among many
        (["a/b/c/ann/lab.ipynb", "a/b/c/bo/lab.ipynb", "a/index.html"], ["a/b/c"], ["ann", "bo"]),
        (["x/server.toml", *(f"x/{name}/server.toml" for name in ("ann", "bo", "cy"))], ["x"], ["ann", "bo", "cy"]),
        (["x/ann.zip", "x/bo.zip"], ["x"], ["ann", "bo"]),
        # OLAT: each learner's folder has folders of its own
        (["t/ann/2_submissions/lab.ipynb", "t/bo/2_submissions/lab.ipynb", "t/cy/1_assignment/a.pdf"], ["t"], ["ann", "bo", "cy"]),
        # groups; of one name two learners
        (["A/ann/lab.ipynb", "A/bo/lab.ipynb", "B/ann/lab.ipynb", "B/cy/lab.ipynb"], ["A", "B"], ["ann A", "ann B", "bo", "cy"]),
        # one learner's own folder
        (["ann/work/lab.ipynb", "ann/conf/server.toml"], ["."], ["ann"]),
        (["ann/lab.ipynb", "ann/copy/lab.ipynb", "ann/x/lab.ipynb"], ["."], ["ann"]),
        (["ann/v1/lab.ipynb", "ann/v2/lab.ipynb"], ["."], ["ann"]),
        (["ann/lab.ipynb", "ann/lab (1).ipynb"], ["."], ["ann"]),
        (["ann/lab.ipynb.zip", "ann/server.toml.zip"], ["."], ["ann"]),
        (["ann/01-one-server/lab.ipynb", "ann/02-budgets/lab.ipynb"], ["."], ["ann"]),
        (["ann/course/labs/01/lab.ipynb", "ann/course/solutions/01/lab.ipynb"], ["."], ["ann"]),
        # two learners, one of whom has copies: no groups
        (["ann/x/lab.ipynb", "ann/y/lab.ipynb", "bo/lab.ipynb"], ["."], ["ann", "bo"]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_wrapper_is_told_from_a_learners_folder(info, lay, paths, folders, wanted):
    folder = lay(*paths)
    assert [str(path.relative_to(folder)) for path in learners_in(folder, info)] == folders
    assert learners(handed_in(folder, info)) == wanted


def test_ilias_folders(info, lay):
    names = (
        "Muster_Erika_emuste_1234",
        "von_der_Heide_Jörg_jheide_1235",
        "Muster_Erika_em2_1236",
        "Nie_Nora_nnie",
    )
    folder = lay(*(f"{name}/lab.ipynb" for name in names))
    found = handed_in(folder, info)
    assert learners(found) == ["Erika Muster 1234", "Erika Muster 1236", "Jörg von der Heide", "Nora Nie"]
    # a year is nobody's number
    teams = ("team_red_a_2026", "team_blue_b_2026")
    assert learners(handed_in(lay(*(f"{name}/lab.ipynb" for name in teams), top="teams"), info)) == sorted(
        teams
    )


def test_hostile_names_stay_printable(info, lay):
    folder = lay("alice.zip", "a\x1b[31m\u202e\n/lab.ipynb")
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe")
    found = handed_in(folder, info)
    assert len(found) == 3
    for submission in found:
        submission.learner.encode()
        submission.key.encode()
        assert submission.learner.isprintable()
