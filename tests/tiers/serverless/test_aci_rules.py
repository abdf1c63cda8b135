"""What is refused of a creation that az can read, each beside something legal, and what is taken though nobody meant it."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError, Unavailable
from llmlab.tiers.serverless.aci import admission, remarks, rules
from llmlab.tiers.serverless.aci.images import PrivateRegistry, inaccessible, reference
from llmlab.tiers.serverless.aci.script import Creation, read_text

OURS = PrivateRegistry(
    "llmlab.azurecr.io", frozenset({"llama-server:v1.0.0"}), "puller", "let-me", frozenset({"llama-pull"})
)
IMAGE = "--image llmlab.azurecr.io/llama-server:v1.0.0"
GOOD = {
    "command": "az container create -g llama-rg --name llama-server",
    "image": IMAGE,
    "who": "--registry-username puller --registry-password $PASSWORD",
    "os": "--os-type Linux",
    "size": "--cpu 4 --memory 16",
    "open": "--ip-address Public --ports 8080",
    "restart": "--restart-policy OnFailure",
    "secret": "--secure-environment-variables LLAMA_API_KEY=$LLAMA_API_KEY",
    "more": "",
}
AZ = "az container create -g rg -n one --image nginx:1.27 --cpu 1 --memory 1"
#: The guide's own.
GUIDE = """az container create \\
  --resource-group llama-rg \\
  --name llama-server \\
  --image llama-server:latest \\
  --cpu 4 \\
  --memory 16 \\
  --ports 8080 \\
  --environment-variables \\
    MODEL_PATH=/models/llama-2-7b-chat.gguf \\
  --secure-environment-variables \\
    API_KEY=secret123 \\
  --command-line \\
    "llama-server -m /models/llama-2-7b-chat.gguf --host 0.0.0.0"
"""


def asked(line: str) -> Creation:
    found = read_text(line, environment={"PASSWORD": "let-me", "LLAMA_API_KEY": "k"})
    assert [str(problem) for problem in found.problems] == []
    return found.asked[0]


def with_(**parts: str) -> Creation:
    return asked(" ".join((GOOD | parts).values()))


def test_the_good_one_is_refused_nothing_and_remarked_nothing():
    assert rules.refusals(with_(), [OURS]) == []
    assert remarks.remarks(with_()) == []


#: What is refused: by whom, its code, a piece of its words; and what is legal right beside it.
REFUSED = {
    "no-os-type": ({"os": ""}, "service", "InvalidOsType", "The 'osType' for container group '<null>' is invalid. The value must be one of 'Windows,Linux'.", {"os": "--os-type linux"}),
    "no-size": ({"size": ""}, "service", "ResourceRequestsNotSpecified", "The resource requests are not specified in container 'llama-server' of contain group 'llama-server'. Both memory and CPU requests are required since API version '2017-07-01-preview'.", {"size": "--cpu 0.5 --memory 0.5"}),
    "no-cpu": ({"size": "--memory 6"}, "service", "ResourceSomeRequestsNotSpecified", "The 'Cpu' request is not specified in 'MemoryInGB '6' Cpu '''", {"size": "--memory 6 --cpu 1"}),
    "no-memory": ({"size": "--cpu 2"}, "service", "ResourceSomeRequestsNotSpecified", "The 'MemoryInGB' request is not specified", {"size": "--cpu 2 --memory 3.5"}),
    "too-many-cores": ({"size": "--cpu 32 --memory 16"}, "service", "resources", "at most 31 cores", {"size": "--cpu 31 --memory 240"}),
    "too-much-memory": ({"size": "--cpu 4 --memory 241"}, "service", "resources", "at most 240 GB", {"size": "--cpu 4 --memory 240"}),
    "less-than-none": ({"size": "--cpu -1 --memory 16"}, "service", "resources", "more than 0", {}),
    "spot": ({"size": "--cpu 8 --memory 16", "more": "--priority Spot"}, "service", "resources", "at most 4 cores", {"more": "--priority Spot"}),
    "no-image": ({"image": "", "who": ""}, "service", "image", "no image is named", {}),
    "hub": ({"image": "--image llama-server:latest", "who": ""}, "service", "InaccessibleImage", "The image 'llama-server:latest' in container group 'llama-server' is not accessible. Please check the image and registry credential.", {"image": "--image nginx:1.27", "who": ""}),
    "not-in-the-registry": ({"image": "--image llmlab.azurecr.io/llama-server:v2"}, "service", "InaccessibleImage", "'llmlab.azurecr.io/llama-server:v2'", {}),
    "wrong-password": ({"who": "--registry-username puller --registry-password x"}, "service", "InaccessibleImage", "is not accessible", {}),
    "wrong-identity": ({"who": "--acr-identity other --assign-identity other"}, "service", "InaccessibleImage", "is not accessible", {"who": "--acr-identity llama-pull --assign-identity llama-pull"}),
    "identity-of-nobody": ({"who": "--acr-identity llama-pull"}, "service", "InvalidImageRegistryIdentity", "The identity in the 'imageRegistryCredentials' of container group 'llama-server' not found in container group identity list", {"who": "--acr-identity llama-pull --assign-identity $(az identity show)"}),
    "identity-of-another": ({"who": "--acr-identity /subscriptions/1/a/llama-pull --assign-identity [system] /subscriptions/2/a/llama-pull"}, "service", "InvalidImageRegistryIdentity", "not found in container group identity list", {"who": "--acr-identity /subscriptions/1/a/llama-pull --assign-identity other /Subscriptions/1/A/Llama-Pull"}),
    "identity-of-the-system": ({"who": "--acr-identity [system] --assign-identity [system]"}, "service", "InvalidImageRegistryIdentity", "not found in container group identity list", {"who": "--acr-identity $(cat id) --assign-identity"}),
    "credential-of-another": ({"who": "--registry-login-server x.azurecr.io --registry-username puller --registry-password $PASSWORD"}, "service", "InaccessibleImage", "is not accessible", {"who": "--registry-login-server llmlab.azurecr.io --registry-username puller --registry-password $PASSWORD"}),
    "nobody": ({"who": ""}, "az", "az", "Please specify --registry-username in order to use Azure Container Registry.", {"who": "--acr-identity llama-pull --assign-identity llama-pull"}),
    "no-password": ({"who": "--registry-username puller"}, "az", "az", "Please specify --registry-password in order to use Azure Container Registry.", {}),
    "login-server-alone": ({"image": "--image ghcr.io/a/b:1", "who": "--registry-login-server ghcr.io"}, "az", "az", "Please specify --registry-username in order to use custom image registry.", {"image": "--image ghcr.io/a/b:1", "who": ""}),
    "identity-of-no-registry": ({"image": "--image nginx:1.27", "who": "--acr-identity i"}, "az", "az", "Failed to parse login server from image name; please explicitly specify --registry-server.", {}),
    "no-name": ({"command": "az container create -g llama-rg"}, "az", "az", "error: the --name/-n argument is required unless specified with a passed in file.", {}),
    "name": ({"command": "az container create -g llama-rg -n Llama_Server"}, "service", "name", "no name for a container group", {"command": "az container create -g llama-rg -n l"}),
    "label": ({"more": "--dns-name-label lama"}, "service", "dns-name-label", "5 to 63", {"more": "--dns-name-label llama"}),
    "port": ({"open": "--ip-address Public --ports 0"}, "service", "port", "1 to 65535", {"open": "--ip-address Public --ports 65535"}),
    "ports": ({"open": "--ip-address Public --ports 1 2 3 4 5 6"}, "service", "ports", "at most 5", {"open": "--ip-address Public --ports 1 2 3 4 5"}),
    "variable": ({"more": "-e _A=1"}, "service", "variable", "'_A' is no name", {"more": "-e A_1=_"}),
    "variable-twice": ({"more": "-e LLAMA_API_KEY=1"}, "service", "variable", "set twice", {"more": "-e OTHER=1"}),
    "secrets-nowhere": ({"more": "--secrets key=1"}, "az", "az", "Please specify --secrets --secrets-mount-path to enable secrets volume mount.", {"more": "--secrets key=1 --secrets-mount-path /run/keys"}),
    "secrets": ({"more": "--secrets key --secrets-mount-path /k"}, "az", "az", "Secrets need to be specifed in key=value format.", {}),
    "mount-path": ({"more": "--azure-file-volume-mount-path a:b --azure-file-volume-share-name s --azure-file-volume-account-name a"}, "az", "az", "The volume mount path cannot contain ':'", {"more": "--azure-file-volume-mount-path /m --azure-file-volume-share-name s --azure-file-volume-account-name a"}),
    "mount-nothing": ({"more": "--azure-file-volume-mount-path /m"}, "az", "az", "to enable Azure File volume mount.", {}),
    "half-a-network": ({"open": "--vnet v"}, "az", "az", "usage error: --vnet NAME --subnet NAME | --vnet ID --subnet NAME | --subnet ID", {"open": "--vnet v --subnet s"}),
    "public-in-a-network": ({"open": "--vnet v --subnet s --dns-name-label llama"}, "az", "az", 'Can not use "--subnet" or "--vnet" with "--dns-name-label".', {"open": "--subnet /subscriptions/1/x"}),
    "role": ({"more": "--role Reader"}, "az", "az", "usage error: --assign-identity [--scope SCOPE] [--role ROLE]", {"more": "--assign-identity"}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_what_is_legal_beside_it(name):
    parts, by, code, words, legal = REFUSED[name]
    found = rules.refusals(with_(**parts), [OURS])
    assert [(finding.by, finding.code) for finding in found] == [(by, code)]
    assert words in found[0].what
    assert found[0].source
    assert found[0].neighbour
    assert found[0].where == "aci.sh:1"
    assert rules.refusals(with_(**legal), [OURS]) == []


def test_the_guides_own_fails_at_its_system_and_at_its_image():
    found = rules.refusals(asked(GUIDE))
    assert [finding.code for finding in found] == ["InvalidOsType", "InaccessibleImage"]
    assert {finding.code for finding in remarks.remarks(asked(GUIDE))} == {
        "no-address", "secret-written", "restart-policy", "moving-tag", "command-line",
    }  # fmt: skip


REMARKED = {
    "no-address": ({"open": "--ports 8080"}, "--ports 8080 opens nothing by itself"),
    "private": ({"open": "--ip-address Private"}, "--ip-address Private without --subnet is no address"),
    "port-80": ({"open": "--ip-address Public"}, "port 80 is opened, and no other"),
    "written": ({"secret": "--secure-environment-variables K=abc"}, "the value of K stands in the script"),
    "password": ({"who": "--registry-username puller --registry-password abc"}, "--registry-password stands in the script"),
    "shown": ({"secret": "-e LLAMA_API_KEY=$LLAMA_API_KEY"}, "LLAMA_API_KEY looks like a secret"),
    "token": ({"secret": "-e HF_TOKEN=$LLAMA_API_KEY"}, "HF_TOKEN looks like a secret"),
    "restart": ({"restart": ""}, "no --restart-policy: Always"),
    "latest": ({"image": "--image llmlab.azurecr.io/llama-server"}, "is whatever stands under that tag"),
}  # fmt: skip


@pytest.mark.parametrize("name", REMARKED)
def test_what_is_taken_though_perhaps_nobody_meant_it(name):
    parts, words = REMARKED[name]
    (found,) = remarks.remarks(with_(**parts))
    assert words in found.what
    assert (found.by, found.quoted) == ("nobody", False)


def test_a_secret_in_the_command_line_is_shown():
    found = remarks.remarks(
        with_(more='--command-line "/usr/local/bin/llama-server --api-key $LLAMA_API_KEY --port 8080"')
    )
    assert [finding.code for finding in found] == ["secret-shown", "command-line"]
    found = remarks.remarks(
        with_(more='--command-line "llama-server --api-key-file /run/secrets/key --max-tokens 3"')
    )
    assert [finding.code for finding in found] == ["command-line"]


@pytest.mark.parametrize("line", ["-e MAX_TOKENS=3", "-e MONKEY_MODE=1", "-e LLAMA_API_KEY="])
def test_what_is_no_secret(line):
    assert remarks.remarks(with_(secret=line)) == []


@pytest.mark.parametrize(
    ("image", "full", "moving"),
    [
        ("llama-server:latest", "docker.io/library/llama-server:latest", True),
        ("llama-server", "docker.io/library/llama-server:latest", True),
        ("n8nio/n8n:1.2", "docker.io/n8nio/n8n:1.2", False),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest", True),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", False),
        ("llmlab.azurecr.io/llama-server:v1.0.0", "llmlab.azurecr.io/llama-server:v1.0.0", False),
        ("nginx@sha256:ab", "docker.io/library/nginx@sha256:ab", False),
    ],
)
def test_what_an_images_name_means(image, full, moving):
    found = reference(image)
    assert (str(found), found.moving) == (full, moving)


def test_why_an_image_is_not_there_is_said_or_left_open():
    assert "means docker.io/library/llama-server:latest" in inaccessible(asked(GUIDE))
    assert inaccessible(with_(image="--image olaffsen/adventureworks-db:latest", who="")) is None
    assert inaccessible(with_(image="--image $(cat name)", who="")) is None
    assert inaccessible(with_(who="--acr-identity $(az identity show)"), [OURS]) is None


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("az container create -g rg -f group.yaml", "write its options on the line"),
        (f"{AZ} --os-type Windows", "--os-type Linux"),
        (f"{AZ} --os-type Linux --gitrepo-url https://example.com/a.git --gitrepo-mount-path /a", "--os-type Linux without --gitrepo-url"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_here_is_for_the_learner_to_change(line, fix):
    with pytest.raises(LabError) as caught:
        admission.admit(asked(line), [], {})
    assert not isinstance(caught.value, Unavailable)
    assert (caught.value.fix, caught.value.where) == (fix, "aci.sh:1")


def test_with_a_file_az_reads_nothing_else():
    one = asked("az container create -g rg -f group.yaml")
    assert (rules.refusals(one), remarks.remarks(one)) == ([], [])
