"""A cluster's certificates and kubeconfigs, by kubeadm's own phases."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import yaml

from ....errors import LabError
from ....system.local_client import local_client
from . import binaries

NOWHERE = "192.0.2.1"  # RFC 5737


def make(
    folder: Path, *, name: str, address: str, port: int, services: str, pods: str, version: str, nodename: str
) -> None:
    """Write `pki/`, `admin.conf`, `super-admin.conf`, `kubelet.conf`, … into `folder`.

    :param address: where the API server listens and is reached; `services`, `pods`: their networks.
    :raises LabError: with kubeadm's last words.
    """
    # kubeadm takes no loopback address: it gets one from a documentation network, and the kubeconfigs the real one
    advertised = NOWHERE if address.startswith("127.") else address
    config = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": advertised, "bindPort": port},
            "nodeRegistration": {"name": nodename, "criSocket": "unix:///run/containerd/containerd.sock"},
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "clusterName": name,
            "kubernetesVersion": version,
            "certificatesDir": str(folder / "pki"),
            "networking": {"serviceSubnet": services, "podSubnet": pods},
            "apiServer": {"certSANs": [address, "127.0.0.1", "localhost"]},
            "encryptionAlgorithm": "ECDSA-P256",
            # only so that kubeadm makes no certificates for an etcd that listens on loopback alone
            "etcd": {"external": {"endpoints": ["http://127.0.0.1:2379"]}},
        },
    ]
    (folder / "kubeadm.yaml").write_text(yaml.safe_dump_all(config))
    for phase in phases(folder):
        _kubeadm(*phase)
    if advertised != address:
        for conf in folder.glob("*.conf"):
            conf.write_text(conf.read_text().replace(f"//{NOWHERE}:", f"//{address}:"))


def phases(folder: Path) -> list[list[str]]:
    """What follows `kubeadm init phase`, one after the other."""
    config = ["--config", str(folder / "kubeadm.yaml")]
    return [["certs", "all", *config], ["kubeconfig", "all", *config, "--kubeconfig-dir", str(folder)]]


def _kubeadm(*phase: str) -> None:
    program = binaries.bring(["kubeadm"])["kubeadm"]
    done = subprocess.run([str(program), "init", "phase", *phase], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"kubeadm init phase {phase[0]}: {done.stderr.strip()[-600:]}")


def requests(folder: Path) -> list[str]:
    """The API server's flags for its certificates, and for the API servers it passes requests on to (metrics, KEDA)."""
    pki = folder / "pki"
    return [
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
    ]


def dump(what: object) -> str:
    """A configuration file: JSON is YAML."""
    return json.dumps(what, indent=1)


def answers(folder: Path, address: str, port: int) -> bool:
    """Whether the API server there is ready, and is the one of these certificates."""
    import ssl

    import httpx

    trust = ssl.create_default_context(cafile=folder / "pki/ca.crt")
    with contextlib.suppress(httpx.HTTPError), local_client(timeout=2, verify=trust) as client:
        return client.get(f"https://{address}:{port}/readyz").status_code == 200
    return False
