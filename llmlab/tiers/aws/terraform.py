"""One Terraform project as it runs: a copy of the learner's files, with a state of its own, against a local AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import LabError
from ...system import jail
from ...system.owned import Process
from ...system.scratch import Scratch
from . import blocks, mirror
from .endpoint import AwsEndpoint, environment
from .events import Diagnostic, Ran, Step, Tested, diagnostic, parse, steps

Say = Callable[[str], None]
#: What belongs to a project: everything else in the learner's folder stays there.
FILES = ("*.tf", "*.tfvars", "*.sh", "*.tftpl", "tests/*.tftest.hcl", "modules/**/*.tf")
MODULE = ("*.tf", "*.sh", "*.tftpl")  # of a folder that a module call names
NOBODY = "http://127.0.0.1:9"  # a test that is not mocked must not reach a real account
INTERRUPTED = 45.0  # seconds in which an interrupted run finishes what it has begun


class Terraform:
    """A copy of a folder's Terraform files in a place of its own; state and provider lie there, never beside the learner's files.

    :param files: the learner's folder.
    :param endpoint: the AWS that it meets; None: only what needs none (`fmt`, `validate`, `test` with a mocked provider).
    :param foreign: the files are somebody else's: Terraform runs in a sandbox, for HCL reads files and may run programs.
        None: as in all checks (`LLMLAB_VET`).
    :raises LabError: when there is no Terraform, or no provider and no way to bring it.
    """

    def __init__(
        self,
        files: Path,
        endpoint: AwsEndpoint | None = None,
        *,
        foreign: bool | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self.files, self.endpoint = files, endpoint
        self.foreign = bool(os.environ.get("LLMLAB_VET")) if foreign is None else foreign
        self.program = mirror.program()
        provider = mirror.bring(say)
        self._scratch = Scratch(f"state of Terraform for {files.name}")
        self.folder = self._scratch.path
        self.project = self.folder / "project"
        self.project.mkdir()
        self._config = mirror.configuration(self.folder, provider)
        self._ready = False
        self.refresh()

    def refresh(self) -> None:
        """Take the learner's files as they are now; the state stays."""
        for pattern in (*FILES, *(f"**/{module_pattern}" for module_pattern in MODULE)):
            for old in self.project.glob(pattern):
                if ".terraform" not in old.parts:
                    old.unlink()
        called = [folder for _, folder in blocks.calls(self.files) if folder is not None]
        for folder, patterns in [(self.files, FILES), *((folder, MODULE) for folder in called)]:
            for source in (path for pattern in patterns for path in folder.glob(pattern)):
                if source.is_file() and not source.is_symlink():
                    target = self.project / source.relative_to(self.files)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
        self._ready = False

    def where(self, arn: str) -> str:
        """File and line of the resource that has this ARN; empty where the state knows none."""
        return blocks.where(self.project, arn)

    # -- what needs no cloud ---------------------------------------------------------------------------

    def version(self) -> str:
        """`Terraform v1.11.4`, or `OpenTofu v1.10.6`."""
        return self._run("version").text.splitlines()[0]

    def unformatted(self) -> list[str]:
        """Files that `fmt` would write otherwise.

        :raises LabError: when one cannot be read as HCL.
        """
        ran = self._run("fmt", "-check", "-recursive", "-no-color")
        if ran.code not in (0, 3):
            raise LabError("Terraform cannot read these files.", where=_clip(ran.text))
        return [line.strip() for line in ran.text.splitlines() if line.strip().endswith((".tf", ".hcl"))]

    def init(self) -> None:
        """`terraform init`, once for the files as they are.

        :raises LabError: with Terraform's words; with ours for a module that cannot be had.
        """
        if self._ready:
            return
        lacking = blocks.absent(self.project)
        if self.foreign and lacking is not None:
            raise lacking  # in the sandbox there is no network to ask
        ran = self._run("init", "-input=false", "-no-color", "-upgrade")
        if ran.code and lacking is not None:
            raise lacking
        if ran.code:
            raise LabError("terraform init failed.", where=_clip(ran.text), fix=_version_hint(ran.text))
        self._ready = True

    def validate(self) -> list[Diagnostic]:
        """What `terraform validate` objects to.

        :raises LabError: when `init` fails.
        """
        self.init()
        ran = self._run("validate", "-json")
        found = json.loads(ran.text)["diagnostics"]
        return [problem for problem in map(diagnostic, found) if problem.severity == "error"]

    def test(self, overrides: Mapping[str, str] | None = None) -> Tested:
        """`terraform test`: the learner's own tests.

        :param overrides: HCL laid over the files for this run only: override files by path.
        """
        self.init()
        laid = {self.project / name: text for name, text in (overrides or {}).items()}
        try:
            for path, text in laid.items():
                path.write_text(text)
            ran = self._run("test", "-json", "-no-color")
        finally:
            for path in laid:
                path.unlink(missing_ok=True)
        runs = {}
        for event in ran.events:
            if event.get("type") == "test_run" and event["test_run"].get("progress") in (None, "complete"):
                test_run = event["test_run"]
                runs[f"{test_run['path']}: {test_run['run']}"] = test_run["status"]
        stray = [error for error in ran.errors if not any(status == "fail" for status in runs.values())]
        return Tested(runs, [] if all(run == "pass" for run in runs.values()) and runs else stray)

    def graph(self) -> str:
        """`terraform graph`: resources and what each refers to, in DOT."""
        self.init()
        return self._run("graph").text

    # -- what needs one --------------------------------------------------------------------------------

    def plan(
        self, variables: Mapping[str, Any] | None = None, *, say: Say = lambda _: None
    ) -> dict[str, Any]:
        """A plan, as `terraform show -json` gives it.

        :raises LabError: with the first of Terraform's errors, its file and line.
        """
        self.init()
        out = self.folder / "plan"
        ran = self._run("plan", "-json", "-input=false", f"-out={out}", *_variables(variables), say=say)
        self._raise(ran, "terraform plan")
        shown = self._run("show", "-json", str(out))
        found: dict[str, Any] = json.loads(shown.text)
        if self.foreign and (programs := _provisioners(found["configuration"].get("root_module", {}))):
            raise LabError(f"{programs[0]} has a provisioner: what a machine runs is its user data.")
        return found

    def changes(self, variables: Mapping[str, Any] | None = None, *, say: Say = lambda _: None) -> list[str]:
        """Addresses that another apply would change; errors as in `plan`. Empty: what is there is what is written."""
        return [
            change["address"]
            for change in self.plan(variables, say=say).get("resource_changes", [])
            if change["change"]["actions"] not in (["no-op"], ["read"])
        ]

    def apply(self, variables: Mapping[str, Any] | None = None, *, say: Say = lambda _: None) -> list[Step]:
        """`terraform apply`; how long each resource took. What was made before an error or an interrupt stays in the state.

        :raises LabError: with the first of Terraform's errors.
        """
        self.init()
        ran = self._run("apply", "-json", "-input=false", "-auto-approve", *_variables(variables), say=say)
        self._raise(ran, "terraform apply")
        return steps(ran.events)

    def destroy(self, variables: Mapping[str, Any] | None = None, *, say: Say = lambda _: None) -> list[Step]:
        """`terraform destroy`; errors as in `apply`."""
        self.init()
        ran = self._run("destroy", "-json", "-input=false", "-auto-approve", *_variables(variables), say=say)
        self._raise(ran, "terraform destroy")
        return steps(ran.events)

    def state(self) -> list[str]:
        """Addresses of what Terraform says it manages now."""
        ran = self._run("state", "list")
        return (
            [line for line in ran.text.splitlines() if line and not line.startswith("data.")]
            if not ran.code
            else []
        )

    def _raise(self, ran: Ran, what: str) -> None:
        if ran.code == 0:
            return
        if self.endpoint is not None:
            self.endpoint.check()
        first = ran.errors[:3]
        words = "\n".join(map(str, first)) if first else _clip(ran.text)
        raise LabError(f"{what} failed:\n{words}", where=first[0].where if first else None)

    # -- running it ------------------------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """What Terraform sees: our configuration, this AWS, and nothing of the learner's own."""
        return environment(self.endpoint.url if self.endpoint is not None else NOBODY) | {
            "TF_CLI_CONFIG_FILE": str(self._config),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def _jail(self, verb: str, env: Mapping[str, str]) -> list[str]:
        """The line before Terraform's own: it sees its folder and the provider, and the network only where it needs the endpoint.

        :raises LabError: where there is no bubblewrap and the files name a program to run.
        """
        if jail.trouble() is not None:
            for path in self.project.rglob("*.tf"):
                for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                    if re.search(r"\bprovisioner\b|data\s+\"external\"", line):
                        raise LabError(
                            "Programs that Terraform runs are refused where there is no bubblewrap.",
                            where=f"{path.relative_to(self.project)}:{number}",
                        )
            return []
        words = [*jail.sandbox_line(), "--tmpfs", "/tmp", "--bind", str(self.folder), str(self.folder)]
        if verb in ("plan", "apply", "destroy"):
            words.append("--share-net")
        seen = {
            self.program.resolve().parent,
            *(path.resolve() for path in self.folder.glob("mirror/*/*/*/*/*")),
        }
        for path in sorted(seen):
            words += ["--ro-bind", str(path), str(path)]
        if self.program.parent not in seen:
            words += ["--ro-bind", str(self.program), str(self.program)]
        kept = {key: value for key, value in env.items() if key.startswith(("AWS_", "TF_", "CHECKPOINT"))}
        kept |= {"HOME": str(self.folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        for key, value in kept.items():
            words += ["--setenv", key, value]
        return [*words, "--chdir", str(self.project), "--"]

    def _run(self, *argv: str, say: Say = lambda _: None) -> Ran:
        log = self.folder / "log"
        log.write_text("")
        env = self.env()
        process = Process(
            [*(self._jail(argv[0], env) if self.foreign else ()), str(self.program), *argv],
            label=f"{self.program.name} {argv[0]}",
            log=log,
            env=env,
            cwd=self.project,
        )
        read = 0
        try:
            while True:
                code = process.wait(0.1)
                with log.open() as file:
                    file.seek(read)
                    for line in iter(file.readline, ""):
                        if not line.endswith("\n"):
                            break
                        read += len(line.encode())
                        for event in parse([line]):
                            if (
                                str(event.get("type")).startswith("apply_")
                                and "data." not in event["@message"]
                            ):
                                say(event["@message"].partition(" [id=")[0])
                if code is not None:
                    break
                if self.endpoint is not None:
                    self.endpoint.check()  # the provider would ask again for minutes
        except BaseException:
            # As Ctrl-C in a shell: it finishes what it has begun and writes its state, so that the next run goes on.
            process.signal(signal.SIGINT)
            process.wait(INTERRUPTED)
            raise
        finally:
            process.kill()
        text = log.read_text(errors="replace")
        return Ran(code, list(parse(text.splitlines())), text)

    def close(self) -> None:
        """Forget it all: the copy, the state. What was created ends with its endpoint. May be called twice."""
        self._scratch.close()

    def __enter__(self) -> Terraform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _variables(given: Mapping[str, Any] | None) -> list[str]:
    return [f"-var={name}={value}" for name, value in (given or {}).items()]


def _clip(text: str) -> str:
    lines = [line.strip(" │╷╵") for line in text.splitlines()]
    return "\n".join([line for line in lines if line][-12:])


def _version_hint(text: str) -> str | None:
    if re.search(r"no available releases match|does not have a provider", text):
        return f'in versions.tf: source = "{mirror.SOURCE}", version = "~> 5.100" (this machine holds {mirror.VERSION})'
    return None


def _provisioners(module: Mapping[str, Any]) -> list[str]:
    own = [resource["address"] for resource in module.get("resources", []) if resource.get("provisioners")]
    calls = (module.get("module_calls") or {}).values()
    return own + [it for call in calls for it in _provisioners(call.get("module", {}))]
