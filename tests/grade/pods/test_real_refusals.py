"""What a real API server, its controllers and its scheduler refuse is said in one sentence each, and nothing is left.

Their words are real; no pod runs here, so what a kubelet refuses (an image) is in test_real_cluster.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import tinylab
import yaml

from llmlab.errors import LabError
from llmlab.grade.pods import manifest, room, trouble
from llmlab.grade.pods.access import NAMESPACE, Access
from llmlab.grade.pods.grading import PodGrading, PodSettings
from llmlab.system import owned
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers.simulated import Simulated

pytestmark = [pytest.mark.needs("kubernetes"), pytest.mark.timeout(300)]
TEAM = "team"  # a namespace that somebody has made for grading
KINDS = ("jobs", "pods", "secrets", "networkpolicies")


@pytest.fixture(scope="module")
def cluster():
    with Simulated(nodes=1) as it:
        it.up()
        yield it


@pytest.fixture(scope="module")
def context(cluster):
    return yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return tinylab.make(tmp_path_factory.mktemp("course"))


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for name in ("PLACING", "MAKING"):
        monkeypatch.setattr(trouble, name, 2.0)


@pytest.fixture
def owner(cluster, context):
    """The cluster's owner, and the namespace `team` with its members' account; all of it is gone afterwards."""
    with closing(Access(context, TEAM, str(cluster.kubeconfig))) as it:
        labels = {manifest.ENFORCE: "restricted"}
        it.ask("POST", "/api/v1/namespaces", {"metadata": {"name": TEAM, "labels": labels}})
        it.ask("POST", it.path("serviceaccounts"), {"metadata": {"name": "member"}})
        yield it
        it.ask("DELETE", f"/api/v1/namespaces/{TEAM}")
        wait("the namespace to be gone", lambda: not there(it, TEAM), 60)


def there(access, namespace):
    query = [("fieldSelector", f"metadata.name={namespace}")]
    return access.ask("GET", "/api/v1/namespaces", query=query)["items"]


def members(owner, folder):
    """A kubeconfig with the account of a member of the team."""
    path = owner.path("serviceaccounts", "member", part="token")
    token = owner.ask("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    config = yaml.safe_load(Path(owner.kubeconfig).read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    file = folder / "member.conf"
    file.write_text(yaml.safe_dump(config))
    return str(file)


def bound(owner, kind, name, role):
    """Give the members of the team a role."""
    group = "/apis/rbac.authorization.k8s.io/v1"
    base = group if kind.startswith("Cluster") else f"{group}/namespaces/{TEAM}"
    owner.ask(
        "POST",
        f"{base}/{kind.lower()}s",
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role[0], "name": role[1]},
            "subjects": [{"kind": "ServiceAccount", "name": "member", "namespace": TEAM}],
        },
    )


@contextmanager
def grading(info, tmp_path, access, **pods):
    submissions = tmp_path / "class"
    if not submissions.exists():
        tinylab.hand_in(submissions / "good")
    settings = PodSettings(image="course:1", named=access.namespace != NAMESPACE, **pods)
    with PodGrading(info, submissions, tmp_path / "out", access, settings) as it:
        yield it


def refused(owner, info, tmp_path, words, fix, *, namespace=TEAM, kubeconfig=None, **pods):
    """One sentence, the command that mends it, and nothing half-started here or there."""
    with (
        closing(Access(owner.context, namespace, kubeconfig or owner.kubeconfig)) as access,
        grading(info, tmp_path, access, **pods) as it,
        pytest.raises(LabError) as error,
    ):
        it.run()
    said = error.value
    assert words in said.what
    assert "\n" not in said.what
    assert fix in said.fix
    assert [entry for entry in owned.entries() if entry.kind == "batch"] == []
    assert not (tmp_path / "out" / "batch.json").exists()
    assert not list((tmp_path / "out").glob("*/result.json"))

    def left():
        found = [
            owner.ask("GET", owner.path(kind), query=[("labelSelector", manifest.BATCH)]) for kind in KINDS
        ]
        return [item["metadata"]["name"] for listed in found for item in listed["items"]]

    wait("all of the batch to be gone", lambda: not left(), 60)
    wait("a namespace of ours to be gone", lambda: not there(owner, NAMESPACE), 60)
    return said


def test_who_may_nothing_is_told_all_that_is_lacking(owner, info, tmp_path):
    said = refused(
        owner,
        info,
        tmp_path,
        "You may not create jobs, get jobs,",
        "create rolebinding",
        kubeconfig=members(owner, tmp_path),
    )
    assert all(f"{verb} {kind}" in said.what for verb, kind, _ in room.RIGHTS)


def test_the_role_that_the_sentence_names_is_enough(owner, info, tmp_path):
    said = refused(
        owner, info, tmp_path, "You may not", "--clusterrole=edit", kubeconfig=members(owner, tmp_path)
    )
    assert "create rolebinding" in said.fix
    bound(owner, "RoleBinding", "llmlab-grading", ("ClusterRole", "edit"))
    with closing(Access(owner.context, TEAM, members(owner, tmp_path))) as access:
        assert room.enter(access, named=True) is False
        assert room.cpus(access) == []  # it may not ask, and needs not
        assert room.runtime(access, "") == ""


def test_who_may_not_read_logs_is_told_that_alone(owner, info, tmp_path):
    rules = [
        {
            "apiGroups": ["*"],
            "resources": ["jobs", "secrets", "networkpolicies", "pods", "events"],
            "verbs": ["*"],
        }
    ]
    owner.ask(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{TEAM}/roles",
        {"metadata": {"name": "nearly"}, "rules": rules},
    )
    bound(owner, "RoleBinding", "nearly", ("Role", "nearly"))
    refused(
        owner,
        info,
        tmp_path,
        f"You may not get pods/log in the namespace {TEAM}",
        "create rolebinding",
        kubeconfig=members(owner, tmp_path),
    )


def test_who_may_make_no_namespace_is_told_so(owner, info, tmp_path):
    bound(owner, "ClusterRoleBinding", "everywhere", ("ClusterRole", "edit"))
    try:
        refused(
            owner,
            info,
            tmp_path,
            "namespaces is forbidden",
            "auth can-i",
            namespace=NAMESPACE,
            kubeconfig=members(owner, tmp_path),
        )
    finally:
        owner.ask("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/everywhere")


def test_a_namespace_that_is_named_must_be_there(owner, info, tmp_path):
    refused(
        owner,
        info,
        tmp_path,
        "There is no namespace elsewhere in",
        "create namespace elsewhere",
        namespace="elsewhere",
    )


def test_a_namespace_that_takes_any_pod_is_refused(owner, info, tmp_path):
    owner.ask(
        "PATCH",
        f"/api/v1/namespaces/{TEAM}",
        {"metadata": {"labels": {manifest.ENFORCE: "baseline"}}},
        content="application/merge-patch+json",
    )
    refused(owner, info, tmp_path, "not `restricted`", f"{manifest.ENFORCE}=restricted")


def quota(owner, **hard):
    """A quota that is in force: until its controller has counted, nothing at all is admitted."""
    limits = {name.replace("_", "."): value for name, value in hard.items()}
    owner.ask("POST", owner.path("resourcequotas"), {"metadata": {"name": "most"}, "spec": {"hard": limits}})
    path = owner.path("resourcequotas", "most")
    wait("the quota to be counted", lambda: owner.ask("GET", path)["status"].get("hard"), 30)


def test_a_quota_of_pods_is_said(owner, info, tmp_path):
    quota(owner, pods="0")
    refused(
        owner,
        info,
        tmp_path,
        f"The quota of the namespace {TEAM} is used up: most, requested: pods=1",
        "describe quota",
    )


def test_a_quota_of_memory_is_said(owner, info, tmp_path):
    quota(owner, limits_memory="64Mi")
    refused(owner, info, tmp_path, "is used up: most, requested: limits.memory=", "describe quota")


def test_a_quota_of_objects_is_said(owner, info, tmp_path):
    quota(owner, secrets="1")
    refused(owner, info, tmp_path, "is used up: most, requested: secrets=1", "describe quota")


def test_a_limit_of_a_container_is_said(owner, info, tmp_path):
    limit = {"type": "Container", "max": {"memory": "64Mi"}}
    owner.ask("POST", owner.path("limitranges"), {"metadata": {"name": "small"}, "spec": {"limits": [limit]}})
    refused(owner, info, tmp_path, "maximum memory usage per Container is 64Mi", "describe job")


def test_a_runtime_that_is_not_there_is_said(owner, info, tmp_path):
    refused(owner, info, tmp_path, 'RuntimeClass "gvisor" not found', "describe job", runtime="gvisor")


def test_pod_security_takes_our_pods_and_refuses_others(owner, info, tmp_path, monkeypatch):
    plain = manifest.job

    def open_to_its_node(*given, **named):
        job = plain(*given, **named)
        job["spec"]["template"]["spec"]["hostNetwork"] = True
        return job

    monkeypatch.setattr(manifest, "job", open_to_its_node)
    said = refused(
        owner,
        info,
        tmp_path,
        "Pod Security refuses our pods:",
        "pod-security.kubernetes.io/enforce=restricted",
    )
    assert 'violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)' in said.what
    # With nothing added to it there is nothing that it refuses: the word says what alone was wrong.
    assert said.what.count("=true") == 1


def test_pods_that_no_node_takes_are_said(owner, info, tmp_path):
    toml = info.folder / "lab.toml"
    kept = toml.read_text()
    toml.write_text(kept.replace('memory = "700M"', 'memory = "200G"'))
    try:
        refused(
            owner, info, tmp_path, "No node takes a pod of ours: 0/1 nodes are available", "describe nodes"
        )
    finally:
        toml.write_text(kept)
