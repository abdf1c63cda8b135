"""What a learner gets to read when a manifest is wrong: file, line, and what to do; nothing half-applied is left."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied
from llmlab.tiers.kubernetes.manifests.trouble import trouble

NS = ["inference"]
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: one
  namespace: inference
spec:
  replicas: 1
  selector:
    matchLabels: {app: one}
  template:
    metadata:
      labels: {app: one}
    spec:
      containers:
      - name: one
        image: llmlab/pause:1
"""


def read(tmp_path, text, name="a.yaml", **more):
    (tmp_path / name).write_text(text)
    return manifests.read(tmp_path, [name], **({"namespaces": NS} | more))


def complaint(tmp_path, text, **more):
    with pytest.raises(LabError) as caught:
        read(tmp_path, text, **more)
    return str(caught.value)


def test_a_missing_file_is_named_with_the_command_that_brings_it_back(tmp_path):
    with pytest.raises(LabError, match=r"deployment.yaml is missing(.|\n)*llmlab reset"):
        manifests.read(tmp_path, ["deployment.yaml"], namespaces=NS)


def test_what_is_no_yaml_is_named_with_its_line(tmp_path):
    assert "a.yaml:3" in complaint(tmp_path, "apiVersion: v1\nkind: Service\nmetadata: {name: x]\n")


def test_a_document_without_a_kind_says_so(tmp_path):
    text = complaint(tmp_path, "apiVersion: v1\nmetadata: {name: x}\n")
    assert "kind" in text
    assert "a.yaml:1" in text


def test_two_documents_of_one_name_are_both_named(tmp_path):
    text = complaint(tmp_path, DEPLOYMENT + "---\n" + DEPLOYMENT)
    assert "a.yaml:1 and a.yaml:18" in text


def test_another_namespace_is_refused_at_its_line(tmp_path):
    text = complaint(tmp_path, DEPLOYMENT.replace("namespace: inference", "namespace: kube-system"))
    assert "a.yaml:5" in text
    assert "kube-system" in text


def test_a_namespace_of_another_name_is_refused(tmp_path):
    assert "other" in complaint(tmp_path, "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")


def test_a_namespace_may_not_ask_for_privileged_pods(tmp_path):
    label = "  labels: {pod-security.kubernetes.io/enforce: privileged}\n"
    text = complaint(tmp_path, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: inference\n" + label)
    assert "a.yaml:5" in text


def test_a_kind_that_the_lab_does_not_take(tmp_path):
    assert "DaemonSet" in complaint(
        tmp_path, DEPLOYMENT.replace("Deployment", "DaemonSet"), kinds=["Deployment"]
    )


def test_an_object_without_a_namespace_goes_to_the_labs(tmp_path):
    assert read(tmp_path, DEPLOYMENT.replace("  namespace: inference\n", ""))[0].namespace == "inference"


# -- what the API server says -----------------------------------------------------------------------


def applied(cluster, tmp_path, text):
    one = Applied(cluster, read(tmp_path, text))
    with pytest.raises(LabError) as caught:
        one.up()
    return str(caught.value)


@pytest.mark.needs("kubernetes")
class TestRefused:
    def test_an_unknown_field_is_named_with_file_and_line_and_nothing_is_left(self, simulated, tmp_path):
        text = applied(simulated, tmp_path, DEPLOYMENT.replace("        image:", "        imagee:"))
        assert ".imagee: field not declared in schema" in text
        assert 'a.yaml:16, spec.template.spec.containers[name="one"].imagee' in text
        assert "inference" not in simulated.run_kubectl("get", "namespaces")

    def test_a_value_that_it_refuses_is_named_with_its_field(self, simulated, tmp_path):
        text = applied(simulated, tmp_path, DEPLOYMENT.replace("replicas: 1", "replicas: -1"))
        assert "a.yaml:7, spec.replicas" in text

    def test_the_second_file_is_wrong_and_the_first_is_not_left(self, simulated, tmp_path):
        good, bad = DEPLOYMENT, DEPLOYMENT.replace("name: one", "name: Two_")
        assert "a.yaml:18" in applied(simulated, tmp_path, good + "---\n" + bad).replace(
            "a.yaml:21", "a.yaml:18"
        )
        assert "inference" not in simulated.run_kubectl("get", "namespaces")

    def test_a_kind_that_nobody_has(self, simulated, tmp_path):
        pool = "apiVersion: container.gke.io/v1\nkind: NodePool\nmetadata: {name: pool}\n"
        text = applied(simulated, tmp_path, pool)
        assert 'no kind "NodePool" in "container.gke.io/v1"' in text
        assert "a.yaml:1" in text

    def test_the_learner_may_nothing_outside_of_the_labs_namespaces(self, simulated, tmp_path):
        role = (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: mine}\nrules: []\n"
        )
        assert 'User "learner" cannot' in applied(simulated, tmp_path, role)

    def test_a_namespace_that_llmlab_did_not_make_is_left_alone(self, simulated, tmp_path):
        simulated.run_kubectl("create", "namespace", "inference")
        try:
            assert "did not make" in applied(simulated, tmp_path, DEPLOYMENT)
            assert "inference" in simulated.run_kubectl("get", "namespaces")
        finally:
            simulated.run_kubectl("delete", "namespace", "inference")

    def test_kustomize_says_itself_what_it_does_not_find(self, simulated, tmp_path):
        (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
        with pytest.raises(LabError, match=r"nowhere.yaml(.|\n)*kustomization.yaml"):
            manifests.kustomized(simulated, tmp_path, namespaces=NS)

    def test_a_rendered_object_keeps_the_line_of_its_file(self, simulated, tmp_path):
        (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\nnamePrefix: ''\n")
        (tmp_path / "a.yaml").write_text("# a comment\n" + DEPLOYMENT.replace("replicas: 1", "replicas: -1"))
        found = manifests.kustomized(simulated, tmp_path, namespaces=NS)
        with pytest.raises(LabError, match=r"a.yaml:8, spec.replicas"):
            Applied(simulated, found).up()


@pytest.mark.needs("pods")
class TestTrouble:
    """On a real node: why a pod is not what it should be, in the words that a learner would have to look up."""

    def said(self, local, tmp_path, text, until):
        with Applied(local, read(tmp_path, text)) as one:
            one.up()
            return wait(
                "the trouble",
                lambda: next((it for it in ["\n".join(trouble(local, "inference"))] if until in it), None),
                30,
            )

    def test_an_image_that_cannot_be_pulled(self, local, tmp_path):
        text = self.said(
            local, tmp_path, DEPLOYMENT.replace("llmlab/pause:1", "nowhere.invalid/one:2"), "ErrImagePull"
        )
        assert "nowhere.invalid/one:2" in text

    def test_a_container_that_ends_shows_its_last_words(self, local, tmp_path):
        local.load("fetch:1")
        text = DEPLOYMENT.replace("llmlab/pause:1", "fetch:1")
        assert "log: fetch [--sha256=HEX] SOURCE TARGET" in self.said(local, tmp_path, text, "log: fetch")

    def test_a_pod_that_fits_nowhere_shows_the_schedulers_reason(self, local, tmp_path):
        big = DEPLOYMENT + "        resources: {requests: {cpu: 1000}}\n"
        assert "Insufficient cpu" in self.said(local, tmp_path, big, "Insufficient cpu")

    def test_a_selector_that_matches_nothing(self, local):
        assert trouble(local, "default", "app=nobody") == ["no pod in default has the labels app=nobody"]

    def test_waiting_for_what_never_comes_says_why(self, local, tmp_path):
        with Applied(local, read(tmp_path, DEPLOYMENT.replace("llmlab/pause:1", "fetch:1"))) as one:
            one.up()
            with pytest.raises(LabError, match=r"Waited 6 s for Deployment one(.|\n)*log: fetch"):
                one.ready(within=6)
