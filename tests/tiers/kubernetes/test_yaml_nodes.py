"""What YAML takes in silence is refused with its line; what people really write is not."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.manifests import manifests, quantities

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return manifests.read(tmp_path, ["a.yaml"], namespaces=["inference"])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (MAP + "data:\n  a: one\n  b: two\n  a: three\n", 7, "a stands twice in one place, first in line 5"),
        (MAP + "---\n" + MAP.replace("x}", "y}") + "kind: Secret\n", 8, "kind stands twice"),
        (MAP + "data: &a\n  b: *a\n", 4, "An alias stands for itself"),
        (MAP + "data: {b: [}\n", 4, "is not YAML"),
    ],
)
def test_it_is_named_with_its_line(tmp_path, text, line, said):
    with pytest.raises(LabError, match=said) as caught:
        read(tmp_path, text)
    assert caught.value.where == f"a.yaml:{line}"


@pytest.mark.parametrize(
    "text",
    [
        MAP + "data: {a: &it {b: c}, d: *it, e: *it}\n",
        MAP + "data:\n  <<: &one {a: b}\n  a: c\n",
        MAP + "data: {a: {b: c}, d: {b: c}}\n",
        "# first a comment\n---\n" + MAP + "---\n# and one at the end\n",
        "---\n" + MAP + "---\n",
    ],
    ids=["aliases", "merged", "same key elsewhere", "comments", "an end without a document"],
)
def test_what_is_plain_is_taken(tmp_path, text):
    assert [document.name for document in read(tmp_path, text)] == ["x"]


def test_a_few_lines_that_stand_for_millions_cost_nothing(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(LabError, match="stands for more than 20,000 values"):
        read(tmp_path, MAP + "data:\n" + "".join(f"  {line}\n" for line in lines))


@pytest.mark.parametrize("text", ["", "# nothing but this\n", "---\n---\n"])
def test_an_empty_file_is_no_manifest(tmp_path, text):
    with pytest.raises(LabError, match=r"a\.yaml has nothing in it"):
        read(tmp_path, text)


def test_what_is_no_file_or_no_text_or_too_deep(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00kind")
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    for name, said in (("folder", "directory"), ("binary", "not text"), ("deep", "nested too deeply")):
        with pytest.raises(LabError, match=said) as caught:
            manifests.read(tmp_path, [f"{name}.yaml"], namespaces=["inference"])
        assert caught.value.where == f"{name}.yaml"


def test_an_empty_namespace_is_none(tmp_path):
    assert read(tmp_path, MAP.replace("x}", "x, namespace: ''}"))[0].namespace == "inference"


def test_which_amount_is_none():
    good = {"cpu": "100m", "memory": "1.5Gi", "a": 2, "b": 0.5, "c": "1e3", "d": "+2", "e": "500M"}
    wrong = {"memory": "512MB", "cpu": "2 cores", "nvidia.com/gpu": "one"}
    body = {
        "spec": {
            "containers": [
                {"args": ["512MB"], "resources": {"limits": good, "requests": wrong}},
                {"resources": {"limits": {"memory": "1Gb"}}},
            ]
        }
    }
    assert quantities.wrong(body) == [
        "spec.containers[0].resources.requests.memory",
        "spec.containers[0].resources.requests.cpu",
        "spec.containers[0].resources.requests.nvidia.com/gpu",
        "spec.containers[1].resources.limits.memory",
    ]
