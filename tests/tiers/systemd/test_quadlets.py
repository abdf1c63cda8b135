"""The lines that Podman's generator writes, taken apart as Podman takes them apart; without a machine."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.tiers.systemd import podman_options
from llmlab.tiers.systemd.quadlets import faults, parse
from llmlab.tiers.systemd.unit_words import split

IMAGE = "localhost/llama-server:b11669"
ARGUMENTS = "--model /models/tiny.gguf --host 0.0.0.0 --api-key-file /run/secrets/llama-api-key"
PORT = "127.0.0.1:8080"

#: One container that keeps the lab's promise, as generators of different versions write it.
LINES = {
    "4.4": "/usr/bin/podman run --name=llama --cidfile=%t/%N.cid --replace --rm --cgroups=split --sdnotify=conmon -d"
    " --security-opt=no-new-privileges --cap-drop=all --read-only --user 65534 -v /srv/release:/models:ro"
    " --publish 127.0.0.1:8080:8080 --secret llama-api-key,type=mount --pull=never",
    "4.9": "/usr/bin/podman run --name=llama --cidfile=%t/%N.cid --replace --rm --cgroups=split --pull=never --sdnotify=conmon"
    " -d --security-opt=no-new-privileges --security-opt label=disable --cap-drop=all --read-only --user=65534"
    " -v /srv/release:/models:ro,Z --publish 127.0.0.1:8080:8080/tcp --secret llama-api-key,type=mount,mode=0444",
    "5.4": "/usr/bin/podman run --name llama --cidfile=%t/%N.cid --replace --rm --cgroups=split --pull never --sdnotify=container"
    " -d --security-opt=no-new-privileges --security-opt label=disable --device /dev/dri --cap-drop all --read-only --user 65534"
    " -v /srv/release:/models:ro,Z --publish 127.0.0.1:8080:8080/tcp --secret llama-api-key,type=mount,mode=0444"
    ' --env "GREETING=hello\\x20you" --memory=512m --cpus=1 --no-healthcheck',
}


def service(line: str, image: str = IMAGE, arguments: str = ARGUMENTS) -> str:
    return f"[X-Container]\nImage={image}\n\n[Service]\nExecStop=/usr/bin/podman rm -v -f -i llama\nExecStart={line} {image} {arguments}\n"


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_what_each_version_of_the_generator_writes_is_taken_apart(line):
    found = parse(service(line))
    assert (found.image, list(found.arguments)) == (IMAGE, ARGUMENTS.split())
    assert found.last("--pull") == "never"
    assert found.values("--volume")[0].startswith("/srv/release:/models:ro")
    assert faults(found, publish=PORT) == []


@pytest.mark.parametrize(
    "args",
    [
        "--no-healthcheck",
        "--health-cmd none",
        "--rm --replace -d --sdnotify=conmon",
        "-dit",
        "-it --tty=false",
        "--init --read-only-tmpfs=false",
        "--tls-verify=false",
        "-e A=1 -eB=2 -e=C=3",
        "-m512m -lmine=1",
        "--net private",
        "--healthcheck-interval 5s",
        '--env \'A=it is\' --annotation "x=a \\" b"',
        '--entrypoint \'["/bin/server", "-v"]\'',
        "--label it=--privileged",
        "--privileged=false",
        "--",
    ],
)
def test_whatever_stands_before_it_the_image_is_found(args):
    found = parse(service(f"{LINES['4.9']} {args}"))
    assert (found.image, list(found.arguments)) == (IMAGE, ARGUMENTS.split())
    assert faults(found, publish=PORT) == []


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ("--read-only=false", "written to"),
        ("--privileged", "capabilities"),
        ("--pull=always", "another one tomorrow"),
        ("-p 9090:9090", "publishes"),
        ("-p9090:9090", "publishes"),
        ("-dP", "publishes"),
        ("--net=host", "the host's network"),
        ("-eLLAMA_API_KEY=x", "environment"),
        ("-e LLAMA_API_KEY=x", "environment"),
        ("--rootfs", "not an image"),
    ],
)
def test_what_an_argument_takes_back_is_seen(args, fault):
    (found,) = faults(parse(service(f"{LINES['5.4']} {args}")), publish=PORT)
    assert fault in found


@pytest.mark.parametrize("args", ["--memroy=512m", "--gpu all", "-x", "-dx"])
def test_an_option_that_podman_has_not_is_named_with_its_line_and_nothing_is_guessed(args):
    option = "-x" if args.endswith("x") else args.split("=")[0].split()[0]
    source = f"[Container]\n# not {args}\nPodmanArgs=--cpus=1 {args}\n"
    with pytest.raises(LabError, match="has no option") as caught:
        parse(service(f"{LINES['5.4']} {args}"), source=source)
    assert f" {option}," in caught.value.what
    assert caught.value.where == ("llama.container" if args == "-dx" else "llama.container:3")


def test_an_option_that_is_too_new_for_the_machine_is_named_with_both_versions():
    line = f"{LINES['4.4']} --no-hostname"
    assert parse(service(line), podman="5.4.2").image == IMAGE
    with pytest.raises(LabError, match=r"--no-hostname came with Podman 5\.4; this machine has 4\.9\.5"):
        parse(service(line), podman="4.9.5")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[Service]\nExecStart=/bin/true\n", "runs no container"),
        ("ExecStart=/usr/bin/podman run --rm\n", "names no image"),
        ("ExecStart=/usr/bin/podman run --name\n", "--name takes a value"),
        ('ExecStart=/usr/bin/podman run "--name\n', "not closed"),
    ],
)
def test_a_line_that_cannot_be_read_is_said_in_words(text, says):
    with pytest.raises(LabError, match=says):
        parse(text)


def test_words_are_taken_apart_as_systemd_does():
    assert split("a  'b c' \"d\\x20e\" f\\ g h\"i\"j '' 100%% %N \"it's\" \\\"q \\101") == [
        "a", "b c", "d e", "f\\ g", "hij", "", "100%", "%N", "it's", '"q', "A",
    ]  # fmt: skip


def test_no_option_is_of_both_kinds_and_every_other_name_leads_to_one():
    known = podman_options.BARE | podman_options.VALUED
    assert not podman_options.BARE & podman_options.VALUED
    assert set(podman_options.SHORT.values()) | set(podman_options.ALIASES.values()) <= known
    assert set(podman_options.SINCE) <= known
    assert not set(podman_options.ALIASES) & known
