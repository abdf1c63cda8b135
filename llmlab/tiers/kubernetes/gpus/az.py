"""What a script asks of `az aks nodepool add`, read with the options of that command; nothing of the script is run.

The options are azure-cli 2.91.0's, as its own command table lists them (`az aks nodepool add --help`).
"""

from __future__ import annotations

import argparse
import re
import shlex
from string import Template
from typing import Any

from ....errors import LabError

FILE = "aks-node-pool.sh"
COMMAND = ["az", "aks", "nodepool", "add"]
VERSION = "2.91.0"
SWITCHES = """disable-windows-outbound-nat enable-artifact-streaming enable-encryption-at-host enable-fips-image
    enable-managed-dranet enable-node-public-ip enable-secure-boot enable-ultra-ssd enable-vtpm no-wait debug verbose
    only-show-errors"""
LISTS = "allowed-host-ports asg-ids labels node-public-ip-tags tags"
VALUES = """aks-custom-headers crg-id drain-timeout gateway-prefix-size host-group-id if-match if-none-match kubelet-config
    linux-os-config localdns-config max-count max-surge max-unavailable message-of-the-day min-count node-osdisk-size
    node-public-ip-prefix-id node-soak-duration node-taints os-type pod-subnet-id ppg snapshot-id spot-max-price
    undrainable-node-behavior vm-set-type vm-sizes vnet-subnet-id subscription query"""
SHORT = {
    "cluster-name": [],
    "name": ["--nodepool-name", "-n"],
    "resource-group": ["-g"],
    "node-count": ["-c"],
    "node-vm-size": ["-s"],
    "kubernetes-version": ["-k"],
    "max-pods": ["-m"],
    "output": ["-o"],
}
CHOICES = {
    "eviction-policy": ["Delete", "Deallocate"],
    "gpu-driver": ["Install", "None"],
    "gpu-instance-profile": ["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"],
    "mode": ["System", "User", "Gateway"],
    "node-osdisk-type": ["Managed", "Ephemeral"],
    "os-sku": [
        *("AzureLinux", "AzureLinux3", "AzureContainerLinux", "CBLMariner", "Mariner"),
        *("Ubuntu", "Ubuntu2204", "Ubuntu2404", "Windows2019", "Windows2022", "Windows2025"),
    ],
    "pod-ip-allocation-mode": ["DynamicIndividual", "StaticBlock"],
    "priority": ["Regular", "Spot"],
    "scale-down-mode": ["Delete", "Deallocate"],
    "workload-runtime": ["KataVmIsolation"],
}
REQUIRED = ("resource_group", "cluster_name", "name")


def node_pool(text: str) -> argparse.Namespace:
    """The options of the first `az aks nodepool add` of a script; variables that it sets to plain text are filled in.

    :raises LabError: when there is none, or `az` would refuse it before it asked Azure.
    """
    read = _parser().parse_args(_words(text))
    lacking = [f"--{name.replace('_', '-')}" for name in REQUIRED if not getattr(read, name)]
    if lacking:
        raise LabError(f"{' '.join(COMMAND)} lacks {', '.join(lacking)}.", where=FILE)
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", read.name):
        raise LabError(
            f"{read.name!r} is no name for a node pool.",
            where=FILE,
            fix="up to 12 lower-case letters and digits, a letter first",
        )
    for name in ("node_count", "min_count", "max_count"):
        value = getattr(read, name)
        if value is not None and not value.isdigit():
            raise LabError(f"--{name.replace('_', '-')} {value} is no number.", where=FILE)
    if read.enable_cluster_autoscaler and None in (read.min_count, read.max_count):
        raise LabError("--enable-cluster-autoscaler needs --min-count and --max-count.", where=FILE)
    return read


def _words(text: str) -> list[str]:
    """The words after the command, up to the end of the line or what the shell reads as its end."""
    known: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        try:
            lexer = shlex.shlex(Template(line).safe_substitute(known), posix=True, punctuation_chars=";&|")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError as error:
            raise LabError(f"A line cannot be read: {error}: {line.strip()[:80]}", where=FILE) from None
        while words and words[0] in ("export", "readonly"):
            words = words[1:]
        if len(words) == 1 and (found := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", words[0], re.DOTALL)):
            known[found[1]] = found[2]
        if words[: len(COMMAND)] == COMMAND:
            own = words[len(COMMAND) :]
            end = next((at for at, word in enumerate(own) if set(word) <= set(";&|")), len(own))
            return own[:end]
    raise LabError(
        f"There is no `{' '.join(COMMAND)}`.", where=FILE, fix="lab.reset() brings the guide's back"
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise LabError(f"{self.prog}: {message}", where=FILE, fix=f"{self.prog} --help (azure-cli {VERSION})")


def _parser() -> _Parser:
    parser = _Parser(prog=" ".join(COMMAND), add_help=False, allow_abbrev=False)
    for name in SWITCHES.split():
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--enable-cluster-autoscaler", "-e", action="store_true")
    for name in LISTS.split():
        parser.add_argument(f"--{name}", nargs="*")
    parser.add_argument("--zones", "-z", nargs="+")
    for name in VALUES.split():
        parser.add_argument(f"--{name}")
    for name, others in SHORT.items():
        parser.add_argument(f"--{name}", *others)
    for name, choices in CHOICES.items():
        parser.add_argument(f"--{name}", type=_OneOf(choices), choices=choices)
    return parser


class _OneOf:
    """A word of a list in whatever case, as `az` takes it."""

    def __init__(self, words: list[str]) -> None:
        self.words = {word.lower(): word for word in words}

    def __call__(self, text: str) -> str:
        return self.words.get(text.lower(), text)
