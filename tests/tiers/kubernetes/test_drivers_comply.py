"""What every driver of a cluster must do: say why it cannot, show its commands, come up, be used, and leave nothing.

The drivers are the concrete clusters of `drivers`: a new one is held to the same by being there.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import shlex

import psutil
import pytest

from llmlab import tier
from llmlab.cli.main import main
from llmlab.errors import LabError
from llmlab.system import go, owned
from llmlab.system.paths import state_dir
from llmlab.tiers.kubernetes import drivers
from llmlab.tiers.kubernetes.cluster.cluster import Cluster
from llmlab.tiers.kubernetes.drivers import choose, network
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.manifests import read
from llmlab.tiers.kubernetes.programs import binaries

#: A command that mends something, or the option that says what is wanted.
COMMAND = re.compile(
    r"\b(uv run llmlab|sudo|go install|brew install|unset|start Docker|put kind|WSL2)\b|--driver "
)


def peers() -> list[type[Cluster]]:
    found = []
    for module in pkgutil.iter_modules(drivers.__path__, f"{drivers.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, Cluster) and value.__module__ == module.name:
                found += [] if inspect.isabstract(value) else [value]
    return found


PEERS = peers()
every = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.driver)


def chosen(peer: type[Cluster], **more) -> Cluster:
    """One that is not up yet, as `llmlab cluster up --driver` makes it."""
    cluster, why = choose.choose(peer.driver, context="work", namespace="mine", **more)
    assert why == "you asked for it"
    return cluster


def left_of(cluster: Cluster) -> list[str]:
    """What of a cluster is on this machine: files, entries in the registry, processes."""
    found = [str(cluster.folder)] if cluster.folder.exists() else []
    found += [entry.label for entry in owned.entries() if cluster.name in json.dumps(entry.data)]
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return found + [line for line in commands if cluster.name in line]


# -- without a cluster ---------------------------------------------------------------------------------


def test_there_are_drivers_and_each_is_known_wherever_one_is_named():
    names = [peer.driver for peer in PEERS]
    assert {"local", "simulated"} <= set(names)
    assert len(set(names)) == len(names)
    assert choose.available().keys() == set(names)
    assert set(choose.ORDER) <= set(names)
    with pytest.raises(LabError) as caught:
        choose.choose("nomad")
    assert set(re.findall(r"\w+", caught.value.fix)) >= set(names)
    # `llmlab clean` ends what a killed owner left, by the module of the driver
    ends = tier.all_of("ends").values()
    assert {peer.__module__ for peer in PEERS} <= set(ends)


@every
def test_it_is_called_as_every_cluster_is(peer):
    """A call that one driver takes, all take: overrides have the parameters of `Cluster`, in order, kind and default."""
    for name, method in inspect.getmembers(Cluster, callable):
        if name.startswith("_"):
            continue
        own, theirs = (
            [
                (parameter.kind, parameter.default)
                for parameter in inspect.signature(which).parameters.values()
            ]
            for which in (getattr(peer, name), method)
        )
        assert own == theirs, name


@every
def test_it_says_what_it_is(peer):
    assert peer.driver == peer.__module__.rpartition(".")[2]
    assert peer.__doc__
    assert peer.__doc__.startswith(f"The `{peer.driver}` driver")
    # what no pod does, something says in its place, and the result names it
    assert (peer.stands_in is None) == peer.runs_pods


@every
def test_its_name_and_files_are_its_own(peer):
    first, second = chosen(peer), chosen(peer)
    assert isinstance(first, peer)
    assert first.name != second.name
    assert re.fullmatch(r"llmlab-[0-9a-f]{6}", first.name)
    named = chosen(peer, name="llmlab-mine")
    assert named.name == "llmlab-mine"
    assert named.folder == state_dir() / "clusters" / "llmlab-mine"
    assert named.kubeconfig.parent == named.folder
    assert (named.attached, named.added) == (False, [])
    line = shlex.split(named.kubectl("get", "pods", "-l", "app in (a, b)"))
    assert line[-5:] == [f"{named.kubeconfig}", "get", "pods", "-l", "app in (a, b)"]
    named.down()  # that was never up
    assert left_of(named) == []


@every
def test_a_dry_run_prints_commands_and_runs_none(peer, capsys, monkeypatch):
    free = network.Network(200)
    monkeypatch.setattr(network, "_free", lambda: free)  # no `ip` is needed to read them
    words = ["--driver", peer.driver, "--context", "work", "--namespace", "mine", "--json"]
    assert main(["cluster", "up", "--dry-run", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["driver"] == peer.driver
    commands = [shlex.split(line) for line in said["plan"] if not line.startswith("#")]
    assert commands
    assert all(commands)
    assert not any("\n" in line for line in said["plan"])
    assert said["name"] in "\n".join(said["plan"])
    assert left_of(chosen(peer, name=said["name"])) == []


@pytest.fixture
def bare(tmp_path, monkeypatch, nothing_taken):
    """A machine with no program at all, on PATH or in a cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMLAB_SHARED_CACHE", raising=False)
    monkeypatch.setattr(go, "USUAL", ())  # it would build them


@every
def test_without_its_programs_it_says_so_with_the_command_that_mends_it(peer, bare):
    why = choose.available()[peer.driver]
    assert why
    assert why.isprintable()
    assert COMMAND.search(why)
    cluster = chosen(peer)
    with pytest.raises(LabError) as caught, cluster:
        cluster.up()
    assert COMMAND.search(str(caught.value))
    assert left_of(cluster) == []
    with pytest.raises(LabError, match="no kubectl") as caught:
        cluster.run_kubectl("get", "pods")
    assert caught.value.fix == "uv run llmlab fetch kubernetes"


@every
def test_without_its_programs_a_dry_run_ends_in_commands_or_words(peer, bare, capsys):
    words = ["--driver", peer.driver, "--context", "work", "--namespace", "mine"]
    code = main(["cluster", "up", "--dry-run", *words])
    said = capsys.readouterr()
    assert code == 1 or said.out.count("\n") > 1
    assert code == 0 or "fix:" in said.err


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if peer.driver in choose.ORDER], ids=lambda peer: peer.driver
)
def test_what_was_taken_away_is_not_there(peer, monkeypatch):
    monkeypatch.setenv("LLMLAB_WITHOUT", "kubernetes,pods")
    assert choose.available()[peer.driver] == "it is taken away by LLMLAB_WITHOUT: unset LLMLAB_WITHOUT"
    cluster = chosen(peer)
    with pytest.raises(LabError, match="taken away by LLMLAB_WITHOUT"), cluster:
        cluster.up()
    assert left_of(cluster) == []


# -- with one ------------------------------------------------------------------------------------------

OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: note, namespace: mine}\ndata: {said: hello}\n"


@pytest.fixture
def cluster(peer, request, monkeypatch):
    """One of that driver, not up yet; one that is somebody's stands in a simulated one."""
    if "context" in inspect.signature(peer).parameters:
        host = request.getfixturevalue("simulated")
        kubectl = binaries.find("kubectl")
        assert kubectl is not None
        monkeypatch.setenv("PATH", f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("KUBECONFIG", str(host.kubeconfig))
        context = host.run_kubectl("config", "current-context").strip()
        return choose.choose(peer.driver, context=context, namespace="mine")[0]
    why = choose.available()[peer.driver]
    if why:
        pytest.skip(f"{peer.driver}: {why}")
    return choose.choose(peer.driver)[0]


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(
            peer, marks=pytest.mark.needs("pods" if peer.driver == "local" else "kubernetes"), id=peer.driver
        )
        for peer in PEERS
    ],
)
def test_it_comes_up_is_used_from_elsewhere_and_leaves_nothing(peer, cluster, tmp_path):
    said: list[str] = []
    with cluster:
        cluster.up(said.append)
        assert said
        assert all(line.isprintable() for line in said)
        assert cluster.kubeconfig.stat().st_mode & 0o077 == 0  # it may do everything
        own = [
            entry
            for entry in owned.entries()
            if entry.kind != "process" and cluster.name in json.dumps(entry.data)
        ]
        assert [tier.all_of("ends")[entry.kind] for entry in own] == [peer.__module__]
        cluster.check()
        cluster.load()
        facts = cluster.facts()
        assert (facts["name"], facts["driver"]) == (cluster.name, peer.driver)
        assert (facts["runs_pods"], facts["stands_in"]) == (peer.runs_pods, peer.stands_in)
        assert facts["version"].startswith("v1.")
        assert facts["nodes"]
        assert all(facts["nodes"].values())

        elsewhere = choose.attach(json.loads(json.dumps(cluster.handle())))
        assert type(elsewhere) is peer
        assert (elsewhere.name, elsewhere.kubeconfig, elsewhere.attached) == (
            cluster.name,
            cluster.kubeconfig,
            True,
        )
        (tmp_path / "note.yaml").write_text(OBJECT)
        with Applied(elsewhere, read(tmp_path, ["note.yaml"], namespaces=["mine"])) as applied:
            applied.up()
            words = ("get", "configmap", "note", "-n", "mine", "-o", "jsonpath={.data.said}")
            assert cluster.run_kubectl(*words) == "hello"
        elsewhere.down()  # not its to end
        assert cluster.facts().keys() == facts.keys()
        assert cluster.facts()["nodes"] == facts["nodes"]
        with pytest.raises(LabError, match="nobody"):
            cluster.address("mine", "nobody")
    cluster.down()  # once more
    assert left_of(cluster) == []
    with pytest.raises(LabError):
        cluster.run_kubectl("get", "namespaces")
