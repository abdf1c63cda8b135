"""What a batch's objects ask for, held against the Pod Security Standard and against what a learner's code may see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmlab.grade.pods import manifest
from llmlab.grade.pods.job import bundled
from llmlab.grade.rules import Rules

SHAPE = manifest.PodShape(image="course:1", parallelism=4, alone=False)


def spec(**shape):
    return manifest.job("b", Rules(), replace(SHAPE, **shape), indexes=20, parcels=2)["spec"]


@pytest.fixture
def pod():
    return spec()["template"]["spec"]


def test_every_container_is_restricted(pod):
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in (*pod["initContainers"], *pod["containers"]):
        held = container["securityContext"]
        assert held["allowPrivilegeEscalation"] is False
        assert held["readOnlyRootFilesystem"] is True
        assert held["capabilities"] == {"drop": ["ALL"]}
        assert held["runAsUser"] > 0
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_cells_and_checks_are_two_users_and_the_first_has_ended_before_the_second_begins(pod):
    (cells,), (checks,) = pod["initContainers"], pod["containers"]
    assert cells["securityContext"]["runAsUser"] != checks["securityContext"]["runAsUser"]
    assert "shareProcessNamespace" not in pod


def test_the_cells_do_not_see_what_the_verdict_is_drawn_from(pod):
    (cells,), (checks,) = pod["initContainers"], pod["containers"]
    seen = {mount["name"] for mount in cells["volumeMounts"]}
    assert "sealed" not in seen
    assert "sealed" in {mount["name"] for mount in checks["volumeMounts"]}
    scratch = {name for name in seen if name.startswith("cells-")}
    assert scratch.isdisjoint(mount["name"] for mount in checks["volumeMounts"])
    (left,) = [mount for mount in checks["volumeMounts"] if mount["name"] == "handover"]
    assert left["readOnly"]


def test_a_pod_sees_its_own_submission_alone(pod):
    for container in (*pod["initContainers"], *pod["containers"]):
        for mount in container["volumeMounts"]:
            if mount["name"] in ("submissions", "sealed"):
                assert mount["subPathExpr"] == "$(INDEX)"
                assert mount["readOnly"]


def test_what_is_written_is_bounded(pod):
    for volume in pod["volumes"]:
        if "emptyDir" in volume:
            assert int(volume["emptyDir"]["sizeLimit"]) <= Rules().disk


def test_disturbances_cost_nothing_and_what_cannot_help_is_not_tried_again():
    found = spec()
    assert (found["completionMode"], found["completions"], found["parallelism"]) == ("Indexed", 20, 4)
    assert found["backoffLimitPerIndex"] == manifest.TRIES
    assert found["ttlSecondsAfterFinished"] == manifest.KEPT
    never, memory, ignored = found["podFailurePolicy"]["rules"]
    assert (never["action"], never["onExitCodes"]["values"]) == ("FailJob", [64, 65, 66, 67])
    assert (memory["action"], memory["onExitCodes"]["values"]) == ("FailIndex", [68])
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


def test_pods_that_measure_share_no_node():
    assert "affinity" not in spec()["template"]["spec"]
    terms = spec(alone=True)["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = terms["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = spec()["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items()
    assert (term["topologyKey"], term["namespaceSelector"]) == ("kubernetes.io/hostname", {})


def test_the_policy_is_about_the_batchs_pods_and_lets_nothing_through():
    found = manifest.policy("b")["spec"]
    assert found["podSelector"]["matchLabels"].items() <= spec()["template"]["metadata"]["labels"].items()
    assert set(found["policyTypes"]) == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & set(found)


def test_submissions_lie_in_as_few_objects_as_they_fit_into():
    bundles = bundled([bytes(6), bytes(5), bytes(5), bytes(9)], most=10)
    assert [sorted(bundle) for bundle in bundles] == [["0"], ["1", "2"], ["3"]]
    assert all(sum(map(len, bundle.values())) <= 10 for bundle in bundles)
