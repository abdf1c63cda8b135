"""What runs inside a local cluster's namespaces, with which flags, and the cgroups that its pods live in."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any

from ..cluster.access import admission
from ..programs.images import PAUSE
from ..programs.pki import dump, requests
from .network import NOWHERE, Network

CGROUPS = Path("/sys/fs/cgroup")
#: A RuntimeClass, and its label that says what network its pods have.
NO_NETWORK, NETWORK_LABEL = "no-network", "llmlab.org/network"
API_PORT, KUBELET_PORT = 6443, 10250
SOCKET = "/run/containerd/containerd.sock"


def order(folder: Path, name: str, net: Network, programs: dict[str, Path], *, node: str) -> dict[str, Any]:
    """What `inside.py` is told: the place, then three phases of programs."""
    bins = {binary: str(path) for binary, path in programs.items()}

    def program(name: str, *flags: str, **env: str) -> dict[str, Any]:
        return {"name": name, "argv": [bins[name], *flags], "log": str(folder / f"{name}.log"), "env": env}

    api = f"https://{net.node}:{API_PORT}"
    pki = folder / "pki"
    shims = str(programs["containerd-shim-runc-v2"].parent)
    return {
        # The host's own /run, /var/lib and /var/log stay as they are: in here they are empty.
        "empty": ["/run", "/var/lib", "/var/log"],
        "shared": str(folder),
        "folders": ["/run/containerd", "/var/lib/cni", str(folder / "volumes"), str(folder / "kubelet")],
        "hostname": node,
        "sysctls": {"net.ipv4.ip_forward": "1"},
        "cable": "eth0",
        "network": net.inside(),
        "ended": str(folder / "ended"),
        "within": 60,
        "env": {
            "PATH": f"{shims}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
        },
        "phases": [
            {
                "programs": [
                    program("containerd", "--config", str(_containerd(folder, net, programs))),
                    program("etcd", *_etcd(folder)),
                ],
                "until": {"path": str(folder / "certified")},
            },
            {
                "programs": [program("kube-apiserver", *_apiserver(folder, net))],
                "until": {"url": f"{api}/readyz", "ca": str(pki / "ca.crt")},
            },
            {
                "programs": [
                    program("kube-controller-manager", *_controllers(folder, net)),
                    program(
                        "kube-scheduler",
                        f"--kubeconfig={folder}/scheduler.conf",
                        f"--authentication-kubeconfig={folder}/scheduler.conf",
                        f"--authorization-kubeconfig={folder}/scheduler.conf",
                        "--leader-elect=false",
                        "--bind-address=127.0.0.1",
                    ),
                    program("kubelet", *_kubelet(folder, name, net, node)),
                    program(
                        "kube-proxy",
                        # admin.conf instead of an account of its own: it is our node, and one file less
                        f"--kubeconfig={folder}/super-admin.conf",
                        f"--cluster-cidr={net.pods}",
                        f"--hostname-override={node}",
                        "--proxy-mode=iptables",
                        "--conntrack-max-per-core=0",
                        "--conntrack-tcp-timeout-established=0",
                        "--conntrack-tcp-timeout-close-wait=0",
                        "--iptables-min-sync-period=100ms",
                    ),
                ]
            },
        ],
    }


def _etcd(folder: Path) -> list[str]:
    return [
        f"--data-dir={folder}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a cluster for an hour: what a power cut loses is the cluster itself
        "--log-level=warn",
    ]


def _apiserver(folder: Path, net: Network) -> list[str]:
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={net.node}",
        f"--bind-address={net.node}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={net.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--admission-control-config-file={admission(folder)}",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        *requests(folder),
    ]


def _controllers(folder: Path, net: Network) -> list[str]:
    pki, conf = folder / "pki", folder / "controller-manager.conf"
    return [
        f"--kubeconfig={conf}",
        f"--authentication-kubeconfig={conf}",
        f"--authorization-kubeconfig={conf}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={net.pods}",
        f"--service-cluster-ip-range={net.services}",
        "--horizontal-pod-autoscaler-sync-period=5s",  # 15 s by default: a lab has minutes, not hours
        "--concurrent-deployment-syncs=5",
    ]


def _kubelet(folder: Path, name: str, net: Network, node: str) -> list[str]:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": net.node,
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{folder}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [net.dns],
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "registerNode": True,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        # The disk is not ours to judge: a laptop that is nine tenths full must still run the labs.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "10s",
        # Read when it is mounted: the watches of the default give up after a second, and then wait ever longer.
        "configMapAndSecretChangeDetectionStrategy": "Get",
        "maxPods": 60,
        "oomScoreAdj": 0,
        "resolvConf": "",
        "volumePluginDir": str(folder / "volumeplugins"),
    }
    file = folder / "kubelet.json"
    file.write_text(dump(config))
    return [
        f"--kubeconfig={folder}/kubelet.conf",
        f"--config={file}",
        f"--root-dir={folder}/kubelet",
        f"--cert-dir={folder}/kubelet-pki",
        f"--hostname-override={node}",
        f"--node-ip={net.node}",
        "--node-labels=topology.kubernetes.io/zone=zone-a",
        "--v=1",
    ]


def _containerd(folder: Path, net: Network, programs: dict[str, Path]) -> Path:
    cni = folder / "cni"
    cni.mkdir(exist_ok=True)
    conf = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                # a cable for each pod, routed: no bridge, so Services need no help of the kernel's bridge filter
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam",
                    "ranges": [[{"subnet": net.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (cni / "10-pods.conflist").write_text(dump(conf))
    nowhere = folder / "cni-nowhere"
    nowhere.mkdir(exist_ok=True)
    (nowhere / "10-nowhere.conflist").write_text(dump(_nowhere()))
    text = f"""version = 3
root = "{folder}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]

[grpc]
address = "{SOCKET}"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "{_snapshotter(folder)}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{programs["ptp"].parent}", "{programs["bridge"].parent}"]
conf_dir = "{cni}"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{NO_NETWORK}]
runtime_type = "io.containerd.runc.v2"
cni_conf_dir = "{nowhere}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{NO_NETWORK}.options]
SystemdCgroup = false
"""
    file = folder / "containerd.toml"
    file.write_text(text)
    return file


def _nowhere() -> dict[str, Any]:
    """A cable to a bridge that has no other end; each pod has its port for itself. The address is for kubelet, which wants one."""
    return {
        "cniVersion": "1.0.0",
        "name": "nowhere",
        "plugins": [
            {
                "type": "bridge",
                "bridge": NOWHERE,
                "isGateway": False,
                "portIsolation": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam",
                    "ranges": [[{"subnet": "192.0.2.0/24"}]],  # for documentation, RFC 5737: nobody's
                },
            }
        ],
    }


def runtime_class() -> dict[str, Any]:
    """The RuntimeClass of pods that reach nothing: no NetworkPolicy is enforced on this cluster."""
    return {
        "metadata": {"name": NO_NETWORK, "labels": {NETWORK_LABEL: "none"}},
        "handler": NO_NETWORK,
    }


def _snapshotter(folder: Path) -> str:
    """Layers by overlay mounts, or as plain copies where the folder lies on an overlay itself (inside a container)."""
    import psutil

    below = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.is_relative_to(partition.mountpoint)
    ]
    deepest = max(below, key=lambda partition: len(partition.mountpoint), default=None)
    return (
        "native"
        if deepest is not None and deepest.fstype in ("overlay", "fuse.fuse-overlayfs")
        else "overlayfs"
    )


def hierarchies() -> list[Path]:
    """The roots of all cgroup hierarchies: one with cgroup v2, one a controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return (
        [folder for folder in sorted(CGROUPS.iterdir()) if (folder / "cgroup.procs").exists()]
        if CGROUPS.is_dir()
        else []
    )


def make_cgroups(name: str) -> list[Path]:
    """Make the cgroup below which kubelet keeps its pods, in every hierarchy; what could be made.

    With v2 the controllers are passed down to it.
    """
    made = []
    for root in hierarchies():
        folder = root / name
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            made.append(folder)
            for inherited in ("cpuset.cpus", "cpuset.mems"):  # v1: empty until they are said
                if (root / inherited).exists() and not (folder / inherited).read_text().strip():
                    (folder / inherited).write_text((root / inherited).read_text())
            if (root / "cgroup.controllers").exists() and root == CGROUPS:
                wanted = [
                    f"+{controller}" for controller in ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")
                ]
                for at in (root, folder):
                    for controller in wanted:
                        with contextlib.suppress(OSError):
                            (at / "cgroup.subtree_control").write_text(controller)
    return made


def remove_cgroups(name: str, within: float = 10) -> None:
    """Remove them with all below; a process that was killed may hold its own for a moment."""
    deadline = time.monotonic() + within
    for root in hierarchies():
        top = root / name
        while top.is_dir():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError as error:
                    if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTEMPTY):
                        return
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)  # the step of this wait
