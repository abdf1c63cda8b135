"""A cluster without a node: real API server, scheduler and controllers as an ordinary user; KWOK says that the pods run."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import LabError
from ....say import Say, quiet
from ....serve.ports import free_port
from ....system import owned, without
from ....system.waiting import wait
from ..cluster import access
from ..cluster.cluster import Cluster
from ..programs import binaries, pki
from .fake_nodes import MARK, FakeNodes
from .fake_nodes import flags as kwok
from .processes import Programs

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeadm",
    "kubectl",
    "kwok",
)
ADDRESS = "127.0.0.1"
SERVICES = "10.96.0.0/16"


def unusable() -> str | None:
    """Why there can be none here (its programs aside), with what would mend it; None: there can."""
    return f"it is {without.WORDS}: {without.MEND}" if without.taken("kubernetes") else None


@dataclass(frozen=True, slots=True)
class Ports:
    """Where its programs listen on loopback."""

    store: int
    peers: int
    api: int
    controllers: int
    scheduler: int


def order(folder: Path, ports: Ports) -> dict[str, list[str]]:
    """Its programs in their order, and the flags of each."""
    at, peers = f"http://{ADDRESS}:{ports.store}", f"http://{ADDRESS}:{ports.peers}"

    def own(conf: str, name: str, port: int) -> list[str]:
        kinds = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        files = [f"--{kind}={folder}/{conf}" for kind in kinds]
        return [
            *files,
            "--leader-elect=false",
            f"--bind-address={ADDRESS}",
            f"--secure-port={port}",
            f"--cert-dir={folder}/{name}",
        ]

    return {
        "etcd": [
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls={at}",
            f"--advertise-client-urls={at}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            f"--etcd-servers={at}",
            f"--advertise-address={ADDRESS}",
            f"--bind-address={ADDRESS}",
            f"--secure-port={ports.api}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            f"--admission-control-config-file={access.admission(folder)}",
            f"--cert-dir={folder}/apiserver",
            "--endpoint-reconciler-type=none",  # it does not take a loopback address
            *pki.requests(folder),
        ],
        "kube-controller-manager": [
            *own("controller-manager.conf", "kube-controller-manager", ports.controllers),
            f"--root-ca-file={folder}/pki/ca.crt",
            f"--service-account-private-key-file={folder}/pki/sa.key",
            "--use-service-account-credentials=true",
            "--horizontal-pod-autoscaler-sync-period=5s",
        ],
        "kube-scheduler": own("scheduler.conf", "kube-scheduler", ports.scheduler),
    }


class Simulated(Cluster):
    """The `simulated` driver: what a scheduler and controllers decide is real, what a pod does is not."""

    driver = "simulated"
    runs_pods = False
    stands_in = "KWOK says that the pods run"

    def __init__(self, name: str | None = None, *, nodes: int = 3) -> None:
        super().__init__(name)
        self.nodes = nodes
        self._programs: Programs | None = None
        self._fake: FakeNodes | None = None
        self._entry: Path | None = None

    def up(self, say: Say = quiet) -> None:
        """Bring it up until its nodes are ready."""
        programs = binaries.bring(PROGRAMS, say)
        # Its programs are registered one by one; this is what they write.
        self._entry = owned.register(
            "simulated", f"files of the simulated cluster {self.name}", folders=[str(self.folder)]
        )
        self.folder.mkdir(parents=True, mode=0o700)
        try:
            self._start(programs, say)
        except BaseException:
            self.down()
            raise

    def _start(self, programs: dict[str, Path], say: Say) -> None:
        self._programs = running = Programs(self.folder, f"simulated cluster {self.name}")
        ports = Ports(*(free_port() for _ in range(5)))
        lines = order(self.folder, ports)
        running.start("etcd", programs["etcd"], *lines.pop("etcd"))
        pki.make(
            self.folder,
            name=self.name,
            address=ADDRESS,
            port=ports.api,
            services=SERVICES,
            pods="10.97.0.0/16",
            version=binaries.source("kubelet").version,
            nodename="nobody",
        )
        say("API server, scheduler, controllers")
        running.start("kube-apiserver", programs["kube-apiserver"], *lines.pop("kube-apiserver"))
        self._until("the API server", lambda: pki.answers(self.folder, ADDRESS, ports.api), 60)
        access.own(self.folder)
        for name, flags in lines.items():
            running.start(name, programs[name], *flags)
        self._fake = FakeNodes(self)
        for number in range(self.nodes):
            # named after zones, so that spreading over both can be tried
            self._fake.add(
                f"node-{number + 1}", labels={"topology.kubernetes.io/zone": f"zone-{'abc'[number % 3]}"}
            )
        self._until("its nodes", lambda: all(self.facts()["nodes"].values()), 30)
        self._until("the controllers", self.takes_pods, 30)
        access.grant(self, ())
        say(f"{self.nodes} nodes are ready, as KWOK says")

    def plan(self) -> list[str]:
        """Five programs of this user's; the ports are those that are free just now."""
        ports = Ports(*(free_port() for _ in range(5)))
        with tempfile.TemporaryDirectory() as scratch:
            flags = order(Path(scratch), ports)
        paths = {name: str(binaries.find(name) or name) for name in PROGRAMS}
        lines = [
            shlex.join([paths["kubeadm"], "init", "phase", *phase]) for phase in pki.phases(Path(scratch))
        ]
        lines += [shlex.join([paths[name], *more]) for name, more in flags.items()]
        lines += [
            f"# {self.nodes} nodes with the annotation {MARK[0]}={MARK[1]}, through the API; KWOK says that they run"
        ]
        lines += [shlex.join([paths["kwok"], *kwok(self.kubeconfig, free_port())])]
        return [line.replace(scratch, str(self.folder)) for line in lines]

    def _until(self, what: str, condition: Any, within: float) -> None:
        assert self._programs is not None
        wait(what, self._programs.checked(condition), within, trouble=self._programs.all_words)

    def check(self) -> None:
        """Whether all its programs run."""
        if self._programs is not None:
            self._programs.check()

    def load(self, *images: str, say: Say = quiet) -> None:
        """There is nothing that an image could be loaded into."""

    def address(self, namespace: str, service: str, port: int | None = None) -> str:
        """Nothing answers here.

        :raises LabError: always.
        """
        raise LabError(
            f"The Service {service} leads nowhere: no pod runs on a simulated cluster.",
            fix="uv run llmlab cluster up --driver local (root on Linux), or --driver kind",
        )

    def down(self) -> None:
        """End its programs; may be called twice."""
        if self.attached:
            return
        if self._fake is not None:
            self._fake.close()
            self._fake = None
        if self._programs is not None:
            self._programs.kill()
            self._programs = None
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._entry is not None:
            owned.forget(self._entry)
            self._entry = None


def end(data: dict[str, Any]) -> None:
    """Remove the files of one whose owner is gone."""
    for folder in data["folders"]:
        shutil.rmtree(folder, ignore_errors=True)


owned.ENDERS["simulated"] = end
