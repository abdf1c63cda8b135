"""LLMLAB_WITHOUT: whatever looks for a thing does not find it, though it is there; and only what it names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from llmlab import doctor
from llmlab.engine import native
from llmlab.errors import LabError, Unavailable
from llmlab.grade import sandbox
from llmlab.serve import limits
from llmlab.system import jail, without
from llmlab.tiers.aws import mirror
from llmlab.tiers.docker import daemon, images, plugins
from llmlab.tiers.edge import workerd
from llmlab.tiers.kubernetes.drivers import choose, kind, local
from llmlab.tiers.kubernetes.programs import binaries
from llmlab.tiers.regions import programs

find = importlib.import_module("llmlab.engine.find")  # the package's name for it is the function
PROGRAMS = [
    "bwrap",
    "c++",
    "chromium",
    "docker",
    "haproxy",
    "ip",
    "iptables",
    "kind",
    "llama-server",
    "nsenter",
    "pdns_server",
    "runc",
    "terraform",
    "toxiproxy-server",
    "unshare",
    "workerd",
]


def answer_of(look):
    """What a look for something finds; the refusal's words where it refuses."""
    try:
        return look()
    except LabError as error:
        return error.what


#: A need, and a look of the product's own for it; `planted` below is a machine on which each finds something.
LOOKS = {
    "sandbox": [jail.trouble, sandbox.kind],
    "docker": [lambda: daemon.docker("version").returncode, lambda: plugins.present("compose"), kind.unusable],
    "images": [lambda: images.missing(["a"])],
    "binary": [lambda: next(find._on_path()).detail, lambda: next(find._built()).detail],
    "process": [lambda: next(find._wheel()).detail],
    "gpu": [lambda: find._devices(("llama-server",))],
    "compiler": [native._compiler],
    "kubernetes": [
        lambda: binaries.find("etcd"),
        lambda: binaries.folder("keda"),
        lambda: binaries.bring(["etcd"]),
        lambda: choose.available()["simulated"],
        local.unusable,
        kind.unusable,
    ],
    "pods": [local.unusable, kind.unusable],
    "terraform": [mirror.program],
    "edge": [workerd.found, workerd.bring],
    "regions": [programs.found, programs.bring],
    "browser": [doctor.browser_path],
    "cpu-quota": [lambda: limits._makers(limits.Limits(cpus=1.0))],
    "memory-quota": [lambda: limits._makers(limits.Limits(memory=64 << 20))],
}  # fmt: skip
CACHES = [jail._trouble, mirror._program, plugins._missing, programs._modules, doctor._tried]


@pytest.fixture
def planted(tmp_path, monkeypatch, nothing_taken):
    """A machine on which everything that is looked for answers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text("#!/bin/sh\necho bind geoip\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(binaries, "cached", lambda name: tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(images, "here", lambda name: True)
    monkeypatch.setattr(find.probe, "devices", lambda argv: ("CUDA0: a fake",))
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def test_its_words_are_the_doctors():
    assert set(without.known()) == set(doctor.needs())


@pytest.mark.parametrize("name", without.known())
def test_the_doctor_says_it_is_taken_away(name, monkeypatch):
    monkeypatch.setenv(without.VARIABLE, f" {name} ,")
    assert doctor.need(name) == doctor.Need(
        name, False, "taken away by LLMLAB_WITHOUT", "unset LLMLAB_WITHOUT"
    )
    others = {other for other in without.known() if without.taken(other)}
    assert others == {name}


@pytest.mark.parametrize(
    ("name", "look"),
    [
        pytest.param(name, look, id=f"{name}-{at}")
        for name, looks in LOOKS.items()
        for at, look in enumerate(looks)
    ],
)
def test_who_looks_for_it_does_not_find_it(planted, monkeypatch, name, look):
    before = answer_of(look)
    monkeypatch.setenv(without.VARIABLE, name)
    taken = answer_of(look)
    assert taken != before, "it looks as if nothing had been taken away"
    monkeypatch.delenv(without.VARIABLE)
    assert answer_of(look) == before, "and back again: nothing remembers it"


def test_every_need_that_the_product_looks_for_is_tried_above():
    assert set(without.known()) - set(LOOKS) == {"node", "root"}, "npm and the uid: see the next test"


def test_npm_and_root_are_taken_away_too(planted, monkeypatch):
    assert local.unusable() is None
    monkeypatch.setenv(without.VARIABLE, "root")
    assert "needs root" in (local.unusable() or "")
    monkeypatch.setattr(workerd, "found", lambda: None)
    monkeypatch.setenv(without.VARIABLE, "node")
    with pytest.raises(Unavailable, match="no npm here"):
        workerd.bring()


def test_a_name_that_is_no_need_is_an_error_with_the_names_that_are(pytestconfig, monkeypatch):
    env = os.environ | {without.VARIABLE: "docker,dokcer"}
    line = [sys.executable, "-m", "llmlab", "doctor"]
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "LLMLAB_WITHOUT names no such need: dokcer." in done.stderr
    assert "sandbox" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv(without.VARIABLE, "dokcer")
    (check,) = [
        found
        for plugin in pytestconfig.pluginmanager.get_plugins()
        if (found := getattr(plugin, "needs_are_known", None))
    ]
    with pytest.raises(pytest.UsageError, match="no such need: dokcer"):
        check()
