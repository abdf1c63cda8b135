"""The registry: its strings name what is there, reading them imports nothing, and somebody else's tier is found like ours."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from importlib import import_module

import pytest

from llmlab import tier
from llmlab.course.info import read_info
from llmlab.errors import LabError
from llmlab.lab import Lab
from llmlab.show.elsewhere import Elsewhere

CALLED = [
    pytest.param(what, id=f"{part} {name}")
    for part in ("needs", "opens", "gives", "fetches", "verbs")
    for name, what in tier.all_of(part).items()
]
OPENERS = tier.all_of("opens") | tier.all_of("gives")


@pytest.mark.parametrize("what", CALLED)
def test_what_is_named_is_there_and_says_what_it_is(what):
    made = tier.load(what)
    assert callable(made)
    assert inspect.getdoc(made), "a learner reads it: lab.NAME?"


@pytest.mark.parametrize("kind", tier.all_of("ends"))
def test_what_ends_a_thing_is_known_once_its_module_is_there(kind):
    from llmlab.system import owned

    import_module(tier.all_of("ends")[kind])
    assert kind in owned.ENDERS


@pytest.mark.parametrize("name", OPENERS)
def test_a_lab_offers_it_with_its_own_words(name, tmp_path):
    lab = Lab(_info(tmp_path / "20-moon"), tmp_path)
    made = tier.load(OPENERS[name])
    assert name in dir(lab)
    assert not hasattr(Lab, name), "the lab has that name itself"
    method = getattr(lab, name)
    assert method.__doc__ == inspect.getdoc(made)
    assert list(inspect.signature(method).parameters) == list(inspect.signature(made).parameters)[1:]


def test_a_lab_has_nothing_else(tmp_path):
    with pytest.raises(AttributeError, match="'Lab' object has no attribute 'moon'"):
        Lab(_info(tmp_path / "20-moon"), tmp_path).moon  # noqa: B018


def test_while_a_grader_runs_the_notebook_nothing_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_GRADING", "1")
    lab = Lab(_info(tmp_path / "20-moon"), tmp_path)
    for name in tier.all_of("opens"):
        assert isinstance(getattr(lab, name)("whatever"), Elsewhere)
    assert lab.pin("debian") == "debian"
    assert lab.opened == []


def test_reading_the_registry_imports_no_tier():
    code = (
        "import sys; from llmlab import tier; tier.all_of('needs')\n"
        "print(*(name for name in sys.modules if name.startswith('llmlab.tiers.') and name.count('.') > 2"
        " and not name.endswith('.tier')))\n"
        "print(*(set(sys.modules) & {'docker', 'kubernetes', 'httpx', 'matplotlib', 'numpy', 'psutil', 'rich', 'yaml'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_lines_help_reads_no_tier():
    code = "import sys, llmlab.cli.main as it; it._parser(); print(*(m for m in sys.modules if m.startswith('llmlab.tier')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# -- somebody else's -----------------------------------------------------------------------------------

TIER = """
from llmlab.tier import Tier

TIER = Tier(
    "moon", "llmlab_moon",
    needs={"moon": "needs:moon"}, opens={"land": "notebook:Lander"}, fetches={"moon": "needs:bring"}, readable=("moon",),
)
"""
NEEDS = """
from llmlab.tier import Need

def moon():
    "A moon."
    return Need("moon", True, "full")

def bring(say, lab):
    "Fetch it."
    say(f"up it goes for {lab.name if lab else 'everybody'}")
"""
NOTEBOOK = """
class Lander:
    "Where it came down."

    def __init__(self, lab, where="crater"):
        self.where = f"{where} of {lab.info.name}"

    def close(self):
        print("closed", self.where)
"""
PROBES = """
def phase(files):
    return (files / "moon.txt").read_text().strip()
"""
CHECKS = """
from llmlab.checks import check, failed, passed
from llmlab_moon.probes import phase

@check(title="The moon is full", machine=("moon",))
def full(ctx):
    seen = phase(ctx.files)
    verdict = passed if seen == "full" else failed
    return verdict(expected="full", observed=seen, look="cat moon.txt")
"""


def _info(folder):
    folder.mkdir()
    (folder / "lab.toml").write_text(
        'title = "The moon"\nminutes = 5\nobjectives = ["see it"]\nneeds = ["process"]\nartifacts = ["moon.txt"]\npoints = 1\n'
    )
    (folder / "moon.txt").write_text("new\n")
    return read_info(folder)


@pytest.fixture
def moon(tmp_path):
    """A package with a tier of its own, as installed; gives the environment in which it is."""

    def install(value="llmlab_moon.tier:TIER"):
        site = tmp_path / "site"
        for name, text in {
            "llmlab_moon/__init__.py": "",
            "llmlab_moon/tier.py": TIER,
            "llmlab_moon/needs.py": NEEDS,
            "llmlab_moon/notebook.py": NOTEBOOK,
            "llmlab_moon/probes.py": PROBES,
            "llmlab_moon-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: llmlab-moon\nVersion: 1\n",
            "llmlab_moon-1.dist-info/entry_points.txt": f"[llmlab.tier]\nmoon = {value}\n",
        }.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return os.environ | {"PYTHONPATH": str(site)}

    return install


def run(code, env):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True
    )


def test_a_tier_of_somebody_elses_is_asked_like_ours(moon):
    done = run(
        """
        import json
        from llmlab import doctor, tier
        from llmlab.grade import view
        from llmlab.system import without
        need = doctor.need("moon")
        print(json.dumps({
            "need": [need.met, need.detail], "last": list(doctor.needs())[-1], "taken": "moon" in without.known(),
            "fetches": tier.all_of("fetches")["moon"], "readable": [one.readable for one in tier.tiers()][-1],
        }))
        """,
        moon(),
    )
    assert json.loads(done.stdout) == {
        "need": [True, "full"],
        "last": "moon",
        "taken": True,
        "fetches": "llmlab_moon.needs:bring",
        "readable": ["moon"],
    }, done.stderr


def test_a_lab_of_theirs_opens_it_and_is_checked_by_their_probe(moon, tmp_path):
    info = _info(tmp_path / "20-moon")
    (info.folder / "checks.py").write_text(CHECKS)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "moon.txt").write_text("full\n")
    done = run(
        f"""
        from pathlib import Path
        from llmlab import checks
        from llmlab.course.info import read_info
        from llmlab.lab import Lab
        info = read_info(Path({str(info.folder)!r}))
        lab = Lab(info, info.folder)
        print(lab.land("sea").where)
        lab.stop()
        for files in (info.folder, Path({str(mine)!r})):
            print(checks.run(info.folder, files, artifacts=info.artifacts).passed)
        """,
        moon(),
    )
    assert done.stdout.splitlines() == ["sea of 20-moon", "closed sea of 20-moon", "False", "True"], (
        done.stderr
    )


def test_what_it_needs_is_fetched_like_ours_for_one_lab_or_for_all(moon, tmp_path):
    labs = tmp_path / "course" / "labs"
    labs.mkdir(parents=True)
    text = (_info(labs / "20-luna").folder / "lab.toml").read_text()
    (labs / "20-luna" / "lab.toml").write_text(text.replace('["process"]', '["process", "moon"]'))
    env = moon() | {"LLMLAB_COURSE": str(labs.parent)}
    line = [sys.executable, "-m", "llmlab", "fetch"]
    done = subprocess.run([*line, "moon"], env=env, capture_output=True, text=True)
    assert "up it goes for everybody" in done.stdout, done.stderr
    assert "✔ moon: full (" in done.stdout
    done = subprocess.run([*line, "20"], env=env, capture_output=True, text=True)
    assert "up it goes for 20-luna" in done.stdout, done.stderr
    assert "✔ process: " in done.stdout


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("llmlab_moon.nowhere:TIER", "The tier 'moon' cannot be read"),
        ("llmlab_moon.needs:moon", "The tier 'moon' is a function, no Tier"),
    ],
)
def test_a_broken_one_is_named(moon, value, says):
    done = subprocess.run(
        [sys.executable, "-m", "llmlab", "doctor"], env=moon(value), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert value in done.stderr


def test_two_tiers_do_not_share_a_name(monkeypatch):
    one = tier.Tier("a", "a", needs={"moon": "x:y"})
    monkeypatch.setattr(tier, "tiers", lambda: (one, tier.Tier("b", "b", needs={"moon": "x:z"})))
    with pytest.raises(LabError, match="Two tiers have 'moon' among their needs"):
        tier.all_of.__wrapped__("needs")
