"""What a Compose file or a Dockerfile of somebody else's may ask for: each refusal with its key and line, and nothing else refused."""

from __future__ import annotations

import json
import os

import pytest

from llmlab.errors import LabError
from llmlab.tiers.compose import vetted
from llmlab.tiers.compose.project import Project
from llmlab.tiers.docker import bounds, vet
from llmlab.tiers.docker.bounds import Bounds

pytestmark = pytest.mark.needs("docker")

SERVICE = "services:\n  web:\n    image: debian:trixie-slim\n"
#: (lines of the service, the key that is named, words of the reason)
REFUSED = {
    "privileged": ("privileged: true", "services.web.privileged", "root on this machine"),
    "host network": ("network_mode: host", "services.web.network_mode", "host"),
    "another's network": ("network_mode: container:db", "services.web.network_mode", "container:db"),
    "any network by name": ("network_mode: bridge", "services.web.network_mode", "bridge"),
    "host pid": ("pid: host", "services.web.pid", "host"),
    "host ipc": ("ipc: host", "services.web.ipc", "host"),
    "host uts": ("uts: host", "services.web.uts", "host"),
    "host users": ("userns_mode: host", "services.web.userns_mode", "host"),
    "host cgroup": ("cgroup: host", "services.web.cgroup", "host"),
    "device": ('devices: ["/dev/kmsg:/dev/kmsg"]', "services.web.devices", "machine's own"),
    "device rule": ('device_cgroup_rules: ["c 1:3 mr"]', "services.web.device_cgroup_rules", "machine's own"),
    "capability": ("cap_add: [SYS_ADMIN]", "services.web.cap_add", "SYS_ADMIN"),
    "all capabilities": ("cap_add: [ALL]", "services.web.cap_add", "ALL"),
    "no seccomp": ('security_opt: ["seccomp:unconfined"]', "services.web.security_opt", "seccomp:unconfined"),
    "no seccomp, =": ('security_opt: ["seccomp=unconfined"]', "services.web.security_opt", "unconfined"),
    "no apparmor": ('security_opt: ["apparmor:unconfined"]', "services.web.security_opt", "unconfined"),
    "cgroup parent": ("cgroup_parent: /", "services.web.cgroup_parent", "limits"),
    "sysctl": ("sysctls: {net.core.somaxconn: 1024}", "services.web.sysctls", "kernel"),
    "runtime": ("runtime: runc", "services.web.runtime", "runtime"),
    "no oom": ("oom_kill_disable: true", "services.web.oom_kill_disable", "memory"),
    "host gateway": ('extra_hosts: ["host:host-gateway"]', "services.web.extra_hosts", "host-gateway"),
    "another's volumes": ('volumes_from: ["container:db"]', "services.web.volumes_from", "container:db"),
    "log driver": ("logging: {driver: syslog}", "services.web.logging", "syslog"),
    "root": ('volumes: ["/:/host:ro"]', "services.web.volumes.0", "outside"),
    "second mount": ('volumes: ["data:/d", "/etc:/e:ro"]', "services.web.volumes.1", "/etc"),
    "above": ('volumes: ["../:/host:ro"]', "services.web.volumes.0", "outside"),
    "long form": (
        "volumes: [{type: bind, source: /root, target: /r, read_only: true}]",
        "services.web.volumes.0",
        "/root",
    ),
    "socket": (
        'volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]',
        "services.web.volumes.0",
        "Docker socket",
    ),
    "link": ('volumes: ["./link:/host:ro"]', "services.web.volumes.0", "link"),
    "through a link": ('volumes: ["./link/etc:/host:ro"]', "services.web.volumes.0", "outside"),
    "propagation": (
        "volumes: [{type: bind, source: ./sub, target: /s, read_only: true, bind: {propagation: rshared}}]",
        "services.web.volumes.0",
        "mounted outside",
    ),
    "writable, with files": ('volumes: [".:/work"]', "services.web.volumes", "add :ro"),
    "writable, another's source": (
        'volumes: ["./new:/work", "./new/inner:/i:ro"]',
        "services.web.volumes",
        "inner",
    ),
    "context above": ("build: {context: ..}", "services.web.build.context", "outside"),
    "context by link": ("build: {context: ./link}", "services.web.build.context", "link"),
    "remote context": ("build: https://example.org/x.git", "services.web.build.context", "outside"),
    "Dockerfile outside": (
        "build: {context: ., dockerfile: ../Dockerfile}",
        "services.web.build.dockerfile",
        "outside",
    ),
    "build on the host": ("build: {context: ., network: host}", "services.web.build.network", ""),
    "build with my keys": ("build: {context: ., ssh: [default]}", "services.web.build.ssh", ""),
    "build over a base": (
        'build: {context: ., tags: ["debian:trixie-slim"]}',
        "services.web.build.tags",
        "",
    ),
    "cache to the disk": (
        'build: {context: ., cache_to: ["type=local,dest=/x"]}',
        "services.web.build.cache_to",
        "",
    ),
    "reader by argument": (
        "build: {context: ., args: {BUILDKIT_SYNTAX: evil/reader}}",
        "services.web.build.args",
        "BUILDKIT_SYNTAX",
    ),
    "my files as variables": ("env_file: /etc/passwd", "env_file", "outside"),
    "above as variables": ("env_file: [../secret.env]", "env_file", "outside"),
    "home as variables": ("env_file: [{path: ~/.netrc, required: false}]", "env_file", "outside"),
    "some variable": ("env_file: ['${X:-/etc/passwd}']", "env_file", "variable"),
    "merged from elsewhere": ("<<: {env_file: /etc/passwd}", "env_file", "outside"),
    "extends": ("extends: {file: /etc/x.yaml, service: a}", "extends", "outside"),
    "extends a file that includes": ("extends: {file: inner.yaml, service: a}", "include", "outside"),
}
#: The same for what stands beside the services.
TOP = {
    "include": ("include: [/etc/compose.yaml]", "include", "outside"),
    "include from the net": ("include: ['oci://example.org/x']", "include", "outside"),
    "secret file": ("secrets: {s: {file: /etc/shadow}}", "secrets.s.file", "/etc/shadow"),
    "config file": ("configs: {c: {file: ../x}}", "configs.c.file", "outside"),
    "external volume": ("volumes: {vv: {external: true}}", "volumes.vv.external", "somebody else's"),
    "external network": ("networks: {n: {external: true}}", "networks.n.external", "somebody else's"),
    "bind volume": (
        "volumes: {vv: {driver_opts: {type: none, o: bind, device: /}}}",
        "volumes.vv.driver_opts",
        "mounts /",
    ),
    "nfs volume": (
        "volumes: {vv: {driver_opts: {type: nfs, device: ':/x', o: addr=10.0.0.1}}}",
        "volumes.vv.driver_opts",
        "",
    ),
    "volume driver": ("volumes: {vv: {driver: other}}", "volumes.vv.driver", "other"),
    "macvlan": ("networks: {n: {driver: macvlan}}", "networks.n.driver", "macvlan"),
    "bridge name": (
        "networks: {n: {driver_opts: {com.docker.network.bridge.name: docker0}}}",
        "networks.n.driver_opts",
        "",
    ),
    "subnet": ("networks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}", "networks.n.ipam", ""),
    "hidden key": ("? !!binary aW5jbHVkZQ==\n: [/etc/x.yaml]", "", "!!binary"),
    "hidden value": ("x-a: {env_file: !!binary L2V0Yy9zaGFkb3c=}", "", "!!binary"),
    "second document": ("---\ninclude: [/etc/compose.yaml]", "include", "outside"),
}
USES = "    volumes: ['vv:/v']\n    networks: [n]\n    secrets: [s]\n    configs: [c]\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "project"
    (made / "sub").mkdir(parents=True)
    (made / "link").symlink_to("/")
    (made / "haproxy.cfg").write_text("x")
    (made / "Dockerfile").write_text("FROM debian:trixie-slim\n")
    (made / "inner.yaml").write_text("include: [/etc/compose.yaml]\nservices: {a: {image: x}}\n")
    return made


def refusal(folder, text: str) -> LabError:
    (folder / "compose.yaml").write_text(text)
    with pytest.raises(LabError) as caught:
        Project(folder / "compose.yaml", vet=True).config()
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_a_service_that_asks_for_the_machine_is_refused(folder, name):
    lines, key, why = REFUSED[name]
    error = refusal(folder, SERVICE + f"    {lines}\nvolumes: {{data: {{}}}}\n")
    assert (key in error.what, why in error.what) == (True, True), error
    if name not in ("merged from elsewhere", "extends a file that includes"):
        assert error.where == "compose.yaml:4", error
    assert "level=" not in str(error)


@pytest.mark.parametrize("name", TOP)
def test_what_stands_beside_the_services_is_looked_at_too(folder, name):
    text, key, why = TOP[name]
    kind = text.partition(":")[0]
    uses = "".join(line + "\n" for line in USES.splitlines() if line.split(":")[0].strip() == kind)
    error = refusal(folder, f"{SERVICE}{uses}{text}\n")
    assert (key in error.what, why in error.what) == (True, True), error
    assert (error.where or "").startswith("compose.yaml"), error


FILE = "/etc/hostname"
#: Ways to write the same that a second reader could take for something else.
SPELLINGS = {
    "escaped": f'{SERVICE}    "env\\u005ffile": {FILE}\n',
    "question": f"{SERVICE}    ? env_file\n    : {FILE}\n",
    "tagged": f"{SERVICE}    !!str env_file: !!str {FILE}\n",
    "long tag": f"{SERVICE}    env_file: !<tag:yaml.org,2002:str> {FILE}\n",
    "another binary": f"%TAG !x! tag:yaml.org,2002:\n---\n{SERVICE}    env_file: !x!binary L2V0Yy9ob3N0bmFtZQ==\n",
    "override": f"{SERVICE}    env_file: !override [{FILE}]\n",
    "JSON": json.dumps({"services": {"web": {"image": "x", "env_file": FILE}}}),
    "alias": f"x-e: &e {FILE}\n{SERVICE}    env_file: *e\n",
    "alias as key": f"x-k: &k env_file\n{SERVICE}    *k : {FILE}\n",
    "merged list": f"x-e: &e {{env_file: [{{path: {FILE}}}]}}\n{SERVICE}    <<: [*e]\n",
    "folded": f"{SERVICE}    env_file: >-\n      {FILE}\n",
    "broken up": f'{SERVICE}    env_file: "/etc/\\\n      hostname"\n',
    "carriage returns": f"{SERVICE}    env_file: {FILE}\n".replace("\n", "\r"),
    "line separator": f"{SERVICE}    x-a: b\u2028    env_file: {FILE}\n",
    "up and down": f"{SERVICE}    env_file: a/../../../../../../../etc/hostname\n",
    "NUL": f'{SERVICE}    env_file: "{FILE}\\0"\n',
    "NUL in a mount": f'{SERVICE}    volumes: [{{type: bind, source: "./a\\0b", target: /x}}]\n',
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_however_it_is_spelt_nothing_outside_is_read(folder, name, encoding):
    (folder / "compose.yaml").write_text(SPELLINGS[name], encoding=encoding, newline="")
    with pytest.raises(LabError):
        Project(folder / "compose.yaml", vet=True).config()


def test_every_finding_is_told_at_once_and_not_a_hundred(folder):
    lines = "    privileged: true\n    pid: host\n    cap_add: [SYS_ADMIN, NET_ADMIN, SYS_TIME, SYS_BOOT]\n"
    error = refusal(folder, SERVICE + lines)
    assert "services.web.privileged (line 4)" in error.what
    assert "services.web.pid (line 5)" in error.what
    assert error.what.endswith("and 1 more")


GOOD = """
name: mine
x-common: &common
  image: debian:trixie-slim
  restart: unless-stopped
  read_only: true
  cap_drop: [ALL]
  cap_add: [NET_BIND_SERVICE, SETUID]
  security_opt: ["no-new-privileges:true"]
  logging: {driver: json-file, options: {max-size: 5m}}
services:
  web:
    <<: *common
    build: {context: ., args: {A: "1"}, target: x, labels: {a: b}}
    command: echo $$HOME
    env_file: [my.env]
    environment: {include: "*.txt", A: b}
    volumes: ["./haproxy.cfg:/cfg", "./sub:/sub", "./new:/new", "named:/n", "${MODELS}:/models:ro"]
    tmpfs: /tmp
    healthcheck: {test: ["CMD", "true"]}
    networks: {back: {aliases: [www]}}
    secrets: [key]
    configs: [{source: c, target: /c}]
    ports: ["8080:80"]
    extra_hosts: ["a:127.0.0.1"]
    ulimits: {nofile: 1024}
    deploy: {replicas: 3, resources: {limits: {cpus: "0.5", memory: 256M, pids: 9}, reservations: {memory: 128M}}}
    gpus: all
  db:
    <<: *common
    network_mode: "service:web"
    depends_on: {web: {condition: service_healthy}}
    mem_limit: 5g
    pids_limit: -1
    cpus: 64
    container_name: fixed
    volumes_from: [web]
volumes: {named: {name: everybodys}, mem: {driver_opts: {type: tmpfs, device: tmpfs}}}
networks: {back: {name: everybodys, internal: true, driver: bridge, driver_opts: {com.docker.network.driver.mtu: "1400"}}}
secrets: {key: {file: ./sub/../haproxy.cfg}}
configs: {c: {content: "x"}}
"""


def good(folder, tmp_path) -> Project:
    (folder / "compose.yaml").write_text(GOOD.replace("    gpus: all\n", ""))
    (folder / "my.env").write_text("B=1\n")
    (tmp_path / "models").mkdir()
    return Project(
        folder / "compose.yaml", own_ports=True, env={"MODELS": str(tmp_path / "models")}, vet=True
    )


def test_what_a_project_needs_is_not_refused(folder, tmp_path):
    assert set(good(folder, tmp_path).services()) == {"web", "db"}


def test_what_is_lent_is_lent_for_reading(folder, tmp_path):
    project = good(folder, tmp_path)
    text = project.file.read_text()
    project.file.write_text(text.replace(":/models:ro", ":/models"))
    with pytest.raises(LabError, match=r"services\.web\.volumes\.4 .*lent for reading"):
        project.config()


class Named:
    """A claim's name, without a daemon."""

    name, labels = "llmlab-0123456789", {}


def test_as_it_is_deployed_it_has_limits_and_no_name_of_another(folder, tmp_path, monkeypatch):
    limits = Bounds(cpus=2, memory=1 << 30, processes=200)
    monkeypatch.setenv(bounds.VARIABLE, limits.text())
    monkeypatch.setattr(vetted, "_built", lambda name, wanted, claim: f"{claim.name}-{name}")
    project = good(folder, tmp_path)
    config = json.loads(project._deployed(Named()))
    web, db = config["services"]["web"], config["services"]["db"]
    assert web["image"] == "llmlab-0123456789-web"
    assert "build" not in web
    assert web["deploy"]["resources"]["limits"] == {"cpus": 0.5, "memory": str(256 << 20), "pids": 9}
    assert web["logging"]["options"] == {"max-size": "5m"}
    assert (db["mem_limit"], db["pids_limit"]) == (str(1 << 30), 200)
    assert db["cpus"] == min(2, os.cpu_count() or 2)
    assert db["container_name"].startswith("llmlab-0123456789")
    assert "everybodys" not in json.dumps(config)
    monkeypatch.delenv(bounds.VARIABLE)
    config = json.loads(project._deployed(Named()))
    assert config["services"]["db"]["mem_limit"] == str(5 << 30), "a learner's own check limits nothing"


def test_a_service_without_limits_gets_ours_and_no_submission_gets_a_hundred_containers(folder, monkeypatch):
    limits = Bounds(cpus=0.5, memory=64 << 20, processes=20, containers=4)
    monkeypatch.setenv(bounds.VARIABLE, limits.text())
    made = vetted.project({"services": {"a": {"image": "x"}}}, Named())["services"]["a"]
    assert made["deploy"]["resources"]["limits"] == {"memory": str(64 << 20), "pids": 20, "cpus": 0.5}
    assert bounds.container({}) == {"mem_limit": 64 << 20, "pids_limit": 20, "nano_cpus": 500_000_000}
    assert bounds.container({"cpu_quota": 9, "mem_limit": 1})["mem_limit"] == 1
    many = {"services": {"a": {"image": "x", "deploy": {"replicas": 5}}}}
    with pytest.raises(LabError, match="5 containers"):
        vetted.project(many, Named())


def test_it_is_on_in_checks_and_off_in_a_learners_own_kernel(folder, monkeypatch):
    (folder / "compose.yaml").write_text(SERVICE + "    privileged: true\n")
    monkeypatch.delenv(vet.ON, raising=False)
    assert Project(folder / "compose.yaml").services()["web"]["privileged"]
    monkeypatch.setenv(vet.ON, "1")
    with pytest.raises(LabError, match="privileged"):
        Project(folder / "compose.yaml").services()


def test_what_is_no_yaml_is_said_with_its_line(folder):
    error = refusal(folder, SERVICE + "   bad\n")
    assert error.where == "compose.yaml:4", error
    assert "deep" in refusal(folder, "a: " + "[" * 3000 + "]" * 3000).what


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# syntax=evil/reader:1\nFROM x\n", 1),
        ("# escape=`\n#SYNTAX = evil.example/docker/dockerfile\nFROM x\n", 2),
        ("// syntax=evil/reader\nFROM x\n", 1),
        ('{"syntax": "evil/reader"}\n', 1),
        ("FROM x\nRUN --network=host curl http://127.0.0.1\n", 2),
        ("FROM x\nONBUILD RUN \\\n  --mount=type=cache,target=/x \\\n  --security=insecure id\n", 2),
    ],
)
def test_a_dockerfile_is_read_by_docker_and_built_in_a_sandbox(tmp_path, text, line):
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(LabError) as caught:
        vet.dockerfile(tmp_path / "Dockerfile")
    assert caught.value.where == f"Dockerfile:{line}", caught.value


def test_an_ordinary_dockerfile_is_not_refused(tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "# syntax=docker/dockerfile:1.7\nFROM x\nRUN --mount=type=cache,target=/x apt-get update\n"
        "RUN podman run --network=host x\nCOPY --from=y / /\n"
    )
    vet.dockerfile(tmp_path / "Dockerfile")
    vet.dockerfile(tmp_path / "there is none")
