"""Where a cluster's programs come from: PATH, the cache, or a pinned source; and what is said when none of them has one."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llmlab.errors import LabError
from llmlab.system.paths import cache_dir
from llmlab.tiers.kubernetes.programs import binaries
from llmlab.tiers.kubernetes.programs.binaries import ProgramSource

pytestmark = pytest.mark.usefixtures("nothing_taken")
go = pytest.mark.skipif(
    not shutil.which("go") and not Path("/usr/local/go/bin/go").exists(),
    reason="no Go. Bring it: sudo apt-get install golang-go",
)
HELLO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMLAB_SHARED_CACHE", raising=False)
    return tmp_path / "cache" / "kube"


@pytest.fixture
def recipe(monkeypatch, tmp_path, cache):
    """A source of ours: one file of Go."""
    monkeypatch.setattr(binaries, "RECIPES", tmp_path / "recipes")
    folder = tmp_path / "recipes" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module hello\n\ngo 1.21\n")
    (folder / "main.go").write_text(HELLO)
    return folder


def on_path(monkeypatch, tmp_path, name, says):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return program


def test_one_on_path_that_fits_is_taken(monkeypatch, tmp_path, cache):
    program = on_path(monkeypatch, tmp_path, "etcd", "etcd Version: 3.6.4")
    assert binaries.find("etcd") == program
    assert binaries.missing(["etcd", "kwok"]) == ["kwok"]


def test_one_of_another_version_is_not(monkeypatch, tmp_path, cache):
    on_path(monkeypatch, tmp_path, "kubectl", "Client Version: v1.29.3")
    assert binaries.find("kubectl") is None


def test_a_classrooms_cache_is_read_and_not_written(monkeypatch, tmp_path, cache):
    made = tmp_path / "shared" / binaries.source("coredns").relative / "bin" / "coredns"
    made.parent.mkdir(parents=True)
    made.write_text("")
    monkeypatch.setenv("LLMLAB_SHARED_CACHE", str(tmp_path / "shared"))
    assert binaries.bring(["coredns"]) == {"coredns": made}
    assert not cache.exists()


def test_what_nobody_makes_is_our_own_mistake():
    with pytest.raises(ValueError, match="kubectll"):
        binaries.source("kubectll")


@pytest.mark.needs("root")
def test_without_go_there_is_one_sentence_and_the_ways_out(tmp_path):
    """In a mount namespace in which Go's usual place is empty, with nothing on PATH."""
    (tmp_path / "bin").mkdir()
    script = (
        "from llmlab.tiers.kubernetes.programs import binaries; from llmlab.errors import LabError\n"
        "try: binaries.bring(['pause'])\n"
        "except LabError as error: print(error)"
    )
    hide = "test ! -d /usr/local/go || mount -t tmpfs none /usr/local/go"
    shell = f'PATH=/usr/bin:/bin:/usr/sbin:/sbin; {hide}; PATH={tmp_path / "bin"} exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", shell, sys.executable, script],
        capture_output=True,
        text=True,
        env=os.environ | {"LLMLAB_CACHE": str(tmp_path / "cache"), "LLMLAB_SHARED_CACHE": ""},
    )
    assert "and there is no Go to build them with." in done.stdout, done.stderr
    assert "golang-go" in done.stdout
    assert "kind" in done.stdout
    assert list((tmp_path / "cache" / "kube").glob("pause-1*")) == [
        tmp_path / "cache" / "kube" / "pause-1.lock"
    ]


@go
def test_a_source_of_ours_is_built_once_however_many_ask(recipe, cache):
    source, said, failures = ProgramSource("hello", "1", {"hello": "."}), [], []

    def build() -> None:
        try:
            binaries.build(source, said.append)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert said.count("hello 1: built (hello)") == 1
    program = cache / "hello-1" / "bin" / "hello"
    assert subprocess.run([program], capture_output=True, text=True).stdout == "hello\n"
    assert sorted(path.name for path in cache.iterdir()) == ["hello-1", "hello-1.lock"]


@go
def test_several_programs_of_one_source_have_the_names_that_were_asked_for(recipe, cache):
    for package in ("operator", "adapter"):
        (recipe / "cmd" / package).mkdir(parents=True)
        (recipe / "cmd" / package / "main.go").write_text(HELLO.replace('"hello"', f'"{package}"'))
    binaries.build(ProgramSource("hello", "1", {"greeter": "./cmd/operator", "adapter": "./cmd/adapter"}))
    programs = cache / "hello-1" / "bin"
    assert {
        path.name: subprocess.run([path], capture_output=True, text=True).stdout
        for path in programs.iterdir()
    } == {"greeter": "operator\n", "adapter": "adapter\n"}


@go
def test_what_does_not_compile_says_so_in_the_compilers_words_and_leaves_nothing(recipe, cache):
    (recipe / "main.go").write_text(HELLO.replace("Println", "Printline"))
    with pytest.raises(LabError, match=r"hello 1 cannot be built:(.|\n)*undefined: fmt\.Printline"):
        binaries.build(ProgramSource("hello", "1", {"hello": "."}))
    assert [path.name for path in cache.iterdir()] == ["hello-1.lock"]
    (recipe / "main.go").write_text(HELLO)
    binaries.build(ProgramSource("hello", "1", {"hello": "."}))
    assert (cache / "hello-1" / "bin" / "hello").exists()


@go
def test_a_source_that_is_not_the_pinned_one_is_not_built(cache):
    pinned = binaries.source("gateway-api")
    modules = subprocess.run(
        [binaries.go(), "env", "GOMODCACHE"], capture_output=True, text=True
    ).stdout.strip()
    if not (Path(modules) / "cache/download" / pinned.module / "@v" / f"{pinned.version}.zip").exists():
        pytest.skip("its module is not here. Bring it: uv run llmlab fetch kubernetes")
    with pytest.raises(LabError, match=f"not the pinned one: {re.escape(pinned.sum)}, not h1:another="):
        binaries.build(dataclasses.replace(pinned, sum="h1:another="))
    assert [path.name for path in cache.iterdir()] == [f"{pinned.name}-{pinned.version}.lock"]
    binaries.build(pinned)
    kinds = {definition["spec"]["names"]["kind"] for definition in binaries.definitions("gateway-api")}
    assert {"Gateway", "HTTPRoute"} <= kinds
    shutil.rmtree(cache / f"{pinned.name}-{pinned.version}")  # Go's own copies are read-only


@go
def test_a_version_that_is_nowhere_is_said_by_go(cache):
    gone = dataclasses.replace(binaries.source("gateway-api"), version="v9.9.9")
    with pytest.raises(LabError, match=r"gateway-api v9\.9\.9 cannot be built"):
        binaries.build(gone)


@pytest.mark.parametrize("source", binaries.SOURCES, ids=lambda pinned: pinned.name)
def test_every_source_is_pinned_by_a_hash(source):
    if source.module:
        assert re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", source.sum)
        return
    if source.wheel:
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in source.sums)
        assert source.sums
        return
    folder = binaries.RECIPES / source.name
    wants = "require" in (folder / "go.mod").read_text()
    assert (folder / "go.sum").exists() == wants
    assert "replace" not in (folder / "go.mod").read_text() or source.name == "kubernetes"


@pytest.mark.needs("kubernetes")
def test_what_was_built_is_what_is_pinned():
    cached = cache_dir() / binaries.source("kubectl").relative / "bin" / "kubectl"
    if not cached.exists():
        pytest.skip("kubectl is another's. Bring it: uv run llmlab fetch kubernetes")
    said = subprocess.run([cached, "version", "--client"], capture_output=True, text=True).stdout
    assert binaries.source("kubectl").version in said


def test_a_cluster_comes_up_without_what_only_add_ons_need(cache, monkeypatch):
    """Its own programs are first; `cluster up`, and the needs of doctor, ask for no others."""
    from llmlab.course.info import all_labs
    from llmlab.tiers.kubernetes.drivers import local, simulated
    from llmlab.tiers.kubernetes.programs import images

    core, addons = binaries.names(addons=False), binaries.names(addons=True)
    assert {*local.PROGRAMS, *simulated.PROGRAMS} <= set(core)
    named = [name for lab in all_labs() for name in lab.images.get("kubernetes", ())]
    labs = [need for name in named for need in images.named(name).needs]
    assert set(labs) <= set(core)  # what a lab's own images are made of
    order = [bool(source.addon) for source in binaries.SOURCES]
    assert order == sorted(order)
    assert sorted([*core, *addons]) == sorted(binaries.names())
    for program in core:
        path = cache / binaries.source(program).relative.removeprefix("kube/") / "bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    assert binaries.missing([*local.PROGRAMS, *simulated.PROGRAMS]) == []
    assert binaries.lacking_addons() == [
        "storage",
        "dns",
        "gateway-api",
        "metrics-server",
        "prometheus",
        "keda",
        "envoy-gateway",
        "knative",
    ]


def test_fetch_brings_the_cluster_first_and_says_so(cache, monkeypatch, capsys):
    from llmlab.cli import main as cli
    from llmlab.tier import Need
    from llmlab.tiers.kubernetes import needs
    from llmlab.tiers.kubernetes.drivers import local

    monkeypatch.setattr(needs, "kubernetes", lambda: Need("kubernetes", True, "local"))
    monkeypatch.setattr(local, "unusable", lambda: None)
    monkeypatch.setattr(
        binaries,
        "SOURCES",
        (ProgramSource("one", "1", {"core": "."}), ProgramSource("two", "1", {"addon": "."}, addon="dns")),
    )
    made = []

    def build(source, say):
        made.extend(source.programs)
        path = cache / f"{source.name}-1" / "bin" / next(iter(source.programs))
        path.parent.mkdir(parents=True)
        path.write_text("")

    monkeypatch.setattr(binaries, "build", build)
    assert cli.main(["fetch", "kubernetes"]) == 0
    assert made == ["core", "addon"]
    said = capsys.readouterr().out
    assert "a cluster can come up now (uv run llmlab cluster up); for add-ons: addon" in said
