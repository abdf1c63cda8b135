"""A whole cluster on this machine, in namespaces of its own: API server, scheduler, controllers, kubelet, containerd, kube-proxy.

It needs root on Linux and shares nothing with what else runs here but one cable, one /16 network and cgroups of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ....errors import LabError, Unavailable
from ....say import Say, quiet
from ....system import owned, without
from ....system.waiting import wait
from ..cluster import access
from ..cluster.cluster import Cluster
from ..programs import binaries, images, pki
from . import local_programs, network

NODE = "node-1"
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubeadm",
    "kubectl",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "ptp",
    "bridge",
    "loopback",
    "host-local",
    "portmap",
    "pause",
)


UNSHARE = (
    "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private"
)  # fmt: skip


def unusable() -> str | None:
    """Why there can be none here (its programs aside), with what would mend it; None: there can."""
    if sys.platform != "linux":
        return "it needs Linux (on Windows: WSL2)"
    if without.names() & {"kubernetes", "pods"}:
        return f"it is {without.WORDS}: {without.MEND}"
    if os.geteuid() != 0 or without.taken("root"):
        return "it needs root: sudo, or a container with --privileged"
    tools = {
        "unshare": "util-linux",
        "nsenter": "util-linux",
        "ip": "iproute2",
        "iptables": "iptables",
        "runc": "runc",
    }
    lacking = [package for tool, package in tools.items() if not shutil.which(tool)]
    if lacking:
        return f"it needs {', '.join(dict.fromkeys(lacking))}: sudo apt-get install {' '.join(dict.fromkeys(lacking))}"
    if subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True
    ).returncode:
        return "this root may not make namespaces: run it outside of a container, or in one with --privileged"
    return None


class Local(Cluster):
    """The `local` driver: one real node."""

    driver = "local"

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.network: network.Network | None = None
        self._process: owned.Process | None = None
        self._unshare: int | None = None
        self._entry: Path | None = None

    def up(self, say: Say = quiet) -> None:
        """Bring it up until the node is ready."""
        why = unusable()
        if why:
            raise LabError(
                f"There can be no local cluster here: {why}",
                fix="uv run llmlab cluster up --driver simulated",
            )
        programs = binaries.bring(PROGRAMS, say)
        try:
            self._start(programs, say)
        except BaseException:
            self.down()
            raise

    def _start(self, programs: dict[str, Path], say: Say) -> None:
        from kubernetes import client

        # One at a time chooses its network: the route is what the next one sees.
        with network.choosing() as net:
            self.network = net
            self._entry = owned.register(
                "cluster",
                f"local cluster {self.name}",
                name=self.name,
                cable=net.cable,
                cgroup=self.name,
                folders=[str(self.folder)],
            )
            self.folder.mkdir(parents=True, mode=0o700)
            order = local_programs.order(self.folder, self.name, net, programs, node=NODE)
            file = self.folder / "order.json"
            file.write_text(json.dumps(order))
            self._cgroups()
            self._process = owned.Process(
                [*UNSHARE, sys.executable, "-I", str(Path(__file__).with_name("inside.py")), str(file)],
                label=f"local cluster {self.name}",
                log=self.folder / "inside.log",
            )
            self._unshare = self._process.pid
            net.plug_in(self._pid1(), self.name)
        say(f"certificates for {net.node}")
        address = net.node
        pki.make(
            self.folder,
            name=self.name,
            address=address,
            port=local_programs.API_PORT,
            services=net.services,
            pods=net.pods,
            version=binaries.source("kubelet").version,
            nodename=NODE,
        )
        (self.folder / "certified").touch()
        say("API server, scheduler, controllers, node")
        with ThreadPoolExecutor(1) as beside:
            # containerd is up long before the API server, which waits for other things than this machine
            loaded = beside.submit(self._first_images, say)
            self._until("the API server", self._ready, 60)
            access.own(self.folder)
            self._until("node Ready", self._node_ready, 60)
            loaded.result()
        self._until("the controllers", self.takes_pods, 30)
        access.grant(self, ())
        client.NodeV1Api(self.api).create_runtime_class(local_programs.runtime_class())
        say(f"node {NODE} is ready")

    def plan(self) -> list[str]:
        """The same as text: the namespaces, what joins them to this machine, and the programs in them, phase by phase."""
        programs = {name: binaries.find(name) or Path(name) for name in PROGRAMS}
        with network.choosing() as net, tempfile.TemporaryDirectory() as scratch:
            order = local_programs.order(Path(scratch), self.name, net, programs, node=NODE)
        inside = [
            *UNSHARE, sys.executable, "-I", str(Path(__file__).with_name("inside.py")), str(self.folder / "order.json")
        ]  # fmt: skip
        lines = [
            "# namespaces of its own; the first process in them starts all the others",
            shlex.join(inside),
        ]
        lines += [
            "# its cable to this machine; PID is that process's",
            *map(shlex.join, net.outside("PID", self.name)),
        ]
        lines += ["# the same from inside", *map(shlex.join, net.inside())]
        lines += ["# certificates and kubeconfigs"]
        lines += [
            shlex.join([str(programs["kubeadm"]), "init", "phase", *phase])
            for phase in pki.phases(self.folder)
        ]
        for number, phase in enumerate(order["phases"], 1):
            lines.append(f"# inside, phase {number} of {len(order['phases'])}")
            lines += [shlex.join(program["argv"]) for program in phase["programs"]]
        return [line.replace(scratch, str(self.folder)) for line in lines]

    def _first_images(self, say: Say) -> None:
        self._until("containerd", lambda: self._socket().exists(), 30)
        self.load("pause", *self.preload, say=say)

    # -- looking ---------------------------------------------------------------------------------------

    def handle(self) -> dict[str, Any]:
        """With its network and the process that holds its namespaces."""
        assert self.network is not None
        return super().handle() | {"network": self.network.number, "unshare": self._unshare}

    @classmethod
    def attach(cls, handle: dict[str, Any]) -> Local:
        """The cluster of that handle."""
        cluster = cls(handle["name"])
        cluster.attached = True
        cluster.network, cluster._unshare = network.Network(handle["network"]), handle["unshare"]
        return cluster

    def _pid1(self) -> int:
        """The first process inside, as the host counts."""
        file = Path(f"/proc/{self._unshare}/task/{self._unshare}/children")

        def child() -> int | None:
            with contextlib.suppress(OSError):
                for pid in file.read_text().split():
                    # it is there before its namespaces are: only then is it the script
                    if Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
                        return int(pid)
            return None

        return wait("the cluster's namespaces", child, 10)

    def _socket(self) -> Path:
        return Path(f"/proc/{self._pid1()}/root/run/containerd/containerd.sock")

    def _ready(self) -> bool:
        assert self.network is not None
        return pki.answers(self.folder, self.network.node, local_programs.API_PORT)

    def _node_ready(self) -> bool:
        from kubernetes import client

        try:
            node = client.CoreV1Api(self.api).read_node(NODE)
        except (client.ApiException, Unavailable):
            return False
        ready = any(
            condition.type == "Ready" and condition.status == "True"
            for condition in node.status.conditions or ()
        )
        return ready and not any(
            taint.key.startswith("node.kubernetes.io/") for taint in node.spec.taints or ()
        )

    def _until(self, what: str, condition: Any, within: float) -> None:
        def checked() -> bool:
            self.check()
            return bool(condition())

        wait(what, checked, within, trouble=self._words)

    def check(self) -> None:
        """Whether all its programs run.

        :raises Unavailable: naming the one that ended, with its last words.
        """
        if self._process is not None and self._process.poll() is not None:
            raise Unavailable(
                f"The cluster {self.name} ended.",
                where=str(self.folder / "inside.log"),
                fix="uv run llmlab cluster up",
            )
        with contextlib.suppress(OSError):
            for line in (self.folder / "ended").read_text().splitlines():
                record = json.loads(line)
                said = record.get("said") or self._last(record["program"])
                raise Unavailable(f"{record['program']} of the cluster {self.name} ended: {said}")

    def _last(self, program: str, lines: int = 4) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(
                (self.folder / f"{program}.log").read_text(errors="replace").splitlines()[-lines:]
            )
        return ""

    def _words(self) -> list[str]:
        return [
            f"{program}: {text}"
            for program in ("kube-apiserver", "kubelet", "containerd")
            if (text := self._last(program, 2))
        ]

    # -- what it can do --------------------------------------------------------------------------------

    def load(self, *names: str, say: Say = quiet) -> None:
        """Import images into containerd; one that it has already costs nothing."""
        for archive in images.archives(names, say):
            self.load_archive(archive)

    def load_archive(self, archive: Path) -> None:
        """Import an archive of images into containerd, once."""
        note = self.folder / "loaded"
        mark = f"{archive.resolve()} {archive.stat().st_mtime_ns}"
        if note.exists() and mark in note.read_text().splitlines():
            return
        ctr = str(binaries.bring(["ctr"])["ctr"])
        at = ["-a", str(self._socket()), "-n", "k8s.io"]
        done = subprocess.run(
            [ctr, *at, "images", "import", "--local", str(archive)], capture_output=True, text=True
        )
        if done.returncode:
            raise Unavailable(f"containerd does not take {archive.name}: {done.stderr.strip()[-400:]}")
        with note.open("a") as file:
            file.write(f"{mark}\n")

    def address(self, namespace: str, service: str, port: int | None = None) -> str:
        """The Service's own address: the cable leads to kube-proxy."""
        from kubernetes import client

        try:
            found = client.CoreV1Api(self.api).read_namespaced_service(service, namespace)
        except client.ApiException as error:
            if error.status == 404:
                raise LabError(
                    f"There is no Service {service} in the namespace {namespace}.",
                    fix=self.kubectl("get", "services", "-A"),
                ) from None
            raise
        if found.spec.cluster_ip in (None, "", "None"):
            raise LabError(f"The Service {service} is headless: it has no address of its own.")
        return f"http://{found.spec.cluster_ip}:{port or found.spec.ports[0].port}"

    @property
    def dns_address(self) -> str | None:
        """As kubelet's configuration says."""
        return self.network.dns if self.network else None

    @property
    def volumes_at(self) -> str:
        """Beside the cluster's other files, and gone with them."""
        return str(self.folder / "volumes")

    def processes(self, pod: Any) -> list[int]:
        """The processes of a pod as the host counts them, the pause process aside; the first is the container's own.

        :param pod: as the API server shows it.
        """
        found: list[int] = []
        for folder in self._cgroup_of(pod):
            for path in sorted(folder.rglob("cgroup.procs")):
                with contextlib.suppress(OSError):
                    found += [int(text) for text in path.read_text().split()]
            if found:
                break
        kept = []
        for pid in sorted(set(found)):
            with contextlib.suppress(OSError):
                if not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/pause"):
                    kept.append(pid)
        return kept

    def throttled(self, pod: Any) -> tuple[int, int]:
        """Periods of the CPU quota in which a pod's containers were held back, and all periods, since it started."""
        for folder in self._cgroup_of(pod):
            for file in folder.glob("*/cpu.stat"):
                said = dict(line.split() for line in file.read_text().splitlines())
                if int(said.get("nr_periods", 0)):
                    return int(said["nr_throttled"]), int(said["nr_periods"])
        return 0, 0

    def _cgroup_of(self, pod: Any) -> list[Path]:
        """The pod's folders, one a hierarchy."""
        name = f"pod{pod.metadata.uid}"
        tops = [root / self.name for root in local_programs.hierarchies()]
        return [folder for top in tops for folder in top.glob(f"kubepods/**/{name}") if folder.is_dir()]

    def volume(self, claim: str, namespace: str) -> Path:
        """The folder of this machine behind a bound claim of the default StorageClass.

        :raises LabError: when the claim is not bound to one of our volumes.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.api)
        try:
            bound = core.read_namespaced_persistent_volume_claim(claim, namespace).spec.volume_name
            found = core.read_persistent_volume(bound) if bound else None
        except client.ApiException as error:
            raise LabError(f"The claim {claim} cannot be read: {error.reason}") from None
        if found is None or found.spec.local is None:
            raise LabError(f"The claim {claim} is not bound to a volume of this node.")
        return Path(found.spec.local.path)

    def facts(self) -> dict[str, Any]:
        """With the memory of all that runs in it, in bytes."""
        return super().facts() | {"memory": self.memory()}

    def memory(self) -> int:
        """Bytes of memory that its programs and pods hold (proportional set size: what they share counts once)."""
        import psutil

        total = 0
        assert self._unshare is not None
        for process in psutil.Process(self._unshare).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total

    # -- the end ---------------------------------------------------------------------------------------

    def _cgroups(self) -> None:
        made = local_programs.make_cgroups(self.name)
        if not made:
            raise Unavailable(
                "The cgroups of this machine cannot be written.", fix="run as root, outside of a container"
            )

    def down(self) -> None:
        """End everything in it, then what it had outside of its namespaces."""
        if self.attached:
            return
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._entry is not None and self.network is not None:
            end(
                {
                    "name": self.name,
                    "cable": self.network.cable,
                    "cgroup": self.name,
                    "folders": [str(self.folder)],
                }
            )
            owned.forget(self._entry)
            self._entry = None
        shutil.rmtree(self.folder, ignore_errors=True)


def end(data: dict[str, Any]) -> None:
    """Remove what a local cluster has outside of its namespaces; its processes are gone."""
    network.unplug(data["cable"], data["name"])
    local_programs.remove_cgroups(data["cgroup"])
    for folder in data["folders"]:
        shutil.rmtree(folder, ignore_errors=True)


owned.ENDERS["cluster"] = end
