"""What az and the service take of a creation, and perhaps nobody meant: a port that opens nothing, a secret that everybody reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .images import reference
from .rules import AZ, DOCS, NAMING, AciFinding
from .script import Creation

#: A name that says that its value is nobody else's business.
SECRET = re.compile(r"(keys?|token|secrets?|passw(or)?d|credentials?)$", re.IGNORECASE)
OPENS = "--ip-address Public --ports 8080 (or --dns-name-label NAME, which opens the address too)"


def remarks(asked: Creation) -> list[AciFinding]:
    """What is taken, and perhaps nobody meant."""
    return [] if asked.file else [*_address(asked), *_secrets(asked), *_habits(asked)]


def _address(asked: Creation) -> Iterator[AciFinding]:
    def said(code: str, what: str, neighbour: str) -> AciFinding:
        return AciFinding(
            code, what, "nobody", asked.where, f"{AZ}/custom.py, _create_ip_address", neighbour, False
        )

    if not asked.opened:
        ports = " ".join(map(str, asked.ports)) if "ports" in asked.given else ""
        alone = f"--ports {ports} opens nothing by itself" if ports else "no port is open"
        how = (
            "--ip-address Private without --subnet is no address"
            if asked.ip_address == "Private"
            else "without --ip-address the group has no address"
        )
        yield said("no-address", f"{alone}: {how}, and nobody reaches it", OPENS)
    elif "ports" not in asked.given:
        yield said("port-80", "no --ports: port 80 is opened, and no other", "--ports 8080")


def _secrets(asked: Creation) -> Iterator[AciFinding]:
    def said(code: str, what: str, neighbour: str, source: str) -> AciFinding:
        return AciFinding(code, what, "nobody", asked.where, source, neighbour, False)

    history = "the shell: its history, the repository, and the list of processes while az runs"
    for name, value in asked.secure.items():
        if value and f"{name}={value}" in asked.written:
            what = f"the value of {name} stands in the script: whoever reads the file has it"
            yield said("secret-written", what, f"{name}=$LLAMA_API_KEY, set where the script is run", history)
    for option, value in (
        ("--registry-password", asked.registry_password),
        ("--azure-file-volume-account-key", asked.azure_file_volume_account_key),
    ):
        if value and value in asked.written:
            yield said("secret-written", f"{option} stands in the script", f"{option} $ITS_NAME", history)
    for name, value in asked.environment.items():
        if value and SECRET.search(name):
            what = (
                f"{name} looks like a secret, and `az container show` shows it to every reader of the group"
            )
            yield said(
                "secret-shown", what, f"--secure-environment-variables {name}=…", f"{AZ}: value, secureValue"
            )
    words = (asked.command_line or "").split()
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, sign, _ = word.partition("=")
        if name.startswith("--") and SECRET.search(name) and (sign or not after.startswith("-")):
            what = f"{name} in the command line is shown by `az container show`"
            yield said(
                "secret-shown",
                what,
                "--secure-environment-variables LLAMA_API_KEY=…",
                f"{AZ}: command has no secure form",
            )


def _habits(asked: Creation) -> Iterator[AciFinding]:
    def said(code: str, what: str, neighbour: str, source: str) -> AciFinding:
        return AciFinding(code, what, "nobody", asked.where, source, neighbour, False)

    if asked.restart_policy is None:
        what = "no --restart-policy: Always, also after a container that ended well"
        source = f"{DOCS}/container-instances-restart-policy.md"
        yield said("restart-policy", what, "--restart-policy OnFailure, for a job", source)
    if asked.image and "image" not in asked.unknown and reference(asked.image).moving:
        what = f"{asked.image} is whatever stands under that tag when a container starts, also at a restart"
        yield said("moving-tag", what, "a tag that is written once, or a digest", NAMING)
    if asked.command_line:
        what = "the command line replaces the image's entrypoint, and no shell reads it"
        yield said(
            "command-line",
            what,
            "--command-line \"/bin/sh -c '…'\", where the image has a shell",
            f"{AZ}/custom.py: shlex.split",
        )
