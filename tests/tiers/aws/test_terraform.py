"""Terraform as a learner runs it: what it says of broken files, and that nothing is lost when a run ends early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llmlab.errors import LabError, Unavailable
from llmlab.system import owned
from llmlab.tiers.aws import mirror
from llmlab.tiers.aws.endpoint import AwsEndpoint
from llmlab.tiers.aws.terraform import Terraform

pytestmark = pytest.mark.needs("terraform")
ROLE = """
resource "aws_iam_role" "one" {
  name               = "one"
  assume_role_policy = "{\\"Version\\":\\"2012-10-17\\",\\"Statement\\":[]}"
}

# The provider waits five seconds for it: time to interrupt.
resource "aws_iam_instance_profile" "one" {
  name = "one"
  role = aws_iam_role.one.name
}
"""
TEST = """
mock_provider "aws" {}

run "it" {
  command = plan

  assert {
    condition     = aws_iam_role.one.name == "one"
    error_message = "another name"
  }
}
"""


def test_apply_replan_destroy_leave_nothing_beside_the_learners_files(aws, stack):
    folder = stack(ROLE)
    with Terraform(folder, aws) as project:
        steps = project.apply()
        assert [step.action for step in steps] == ["create", "create"]
        assert all(step.end is not None and step.end >= step.begin for step in steps)
        assert project.changes() == []
        aws.client("iam").tag_role(RoleName="one", Tags=[{"Key": "by", "Value": "hand"}])
        assert project.changes() == ["aws_iam_role.one"]
        project.destroy()
        assert project.state() == []
        assert aws.client("iam").list_roles()["Roles"] == []
    assert sorted(path.name for path in folder.rglob("*")) == ["main.tf"]
    assert not project.folder.exists()


def test_validate_names_the_file_the_line_and_the_block(stack):
    folder = stack('resource "aws_iam_instance_profile" "one" {\n  role = aws_iam_role.nobody.name\n}\n')
    with Terraform(folder) as project:
        (one,) = project.validate()
    assert one.where == "main.tf:6"
    assert one.owner == 'resource "aws_iam_instance_profile" "one"'
    assert "nobody" in str(one)


@pytest.mark.parametrize(
    ("versions", "says", "mends"),
    [
        ('terraform {\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n      version = "~> 4.0"\n    }\n  }\n}\n', "no available releases match", "5.100"),
        ("terraform {\n  required_providers {\n", "init failed", None),
        ('terraform {\n  required_version = ">= 99"\n}\n', "Unsupported Terraform Core version", None),
    ],
    ids=["another-version", "no-hcl", "newer-terraform"],
)  # fmt: skip
def test_what_init_refuses_is_said_in_its_words(stack, versions, says, mends):
    with Terraform(stack(ROLE, **{"versions.tf": versions})) as project, pytest.raises(LabError) as caught:
        project.validate()
    assert says in str(caught.value)
    assert (mends or "") in str(caught.value.fix or "")


def test_tests_pass_fail_with_an_override_and_err_without_a_mock(stack):
    with Terraform(stack(ROLE, **{"tests/it.tftest.hcl": TEST})) as project:
        assert project.test().passed
        found = project.test({"llmlab_override.tf": 'resource "aws_iam_role" "one" {\n  name = "two"\n}\n'})
        assert (found.passed, found.caught) == (False, True)
        assert project.test().passed, "the override stayed"
    with Terraform(
        stack(ROLE, **{"tests/it.tftest.hcl": TEST.replace("aws_iam_role.one.name", "aws_iam_role.two.name")})
    ) as project:
        found = project.test()
        assert (found.passed, found.caught) == (False, False)
        assert "two" in str(found.errors[0])
    with Terraform(stack(ROLE)) as project:
        assert not project.test().passed, "no test is no pass"


def test_an_apply_interrupted_is_gone_on_with_by_the_next(aws, stack):
    def interrupt(said: str) -> None:
        if "aws_iam_instance_profile.one: Creating" in said:
            raise KeyboardInterrupt

    with Terraform(stack(ROLE), aws) as project:
        with pytest.raises(KeyboardInterrupt):
            project.apply(say=interrupt)
        # The profile is there too, or not: Terraform lets what was begun come to its end, and the provider gives up a request not yet sent.
        assert "aws_iam_role.one" in project.state()
        project.apply()
        assert project.changes() == []
    assert [entry.label for entry in owned.entries() if "terraform" in entry.label] == []


def test_an_endpoint_that_dies_in_mid_apply_is_said_at_once(stack):
    endpoint = AwsEndpoint()

    def end(said: str) -> None:
        if "Creating" in said:
            endpoint._process.kill()

    with (
        Terraform(stack(ROLE), endpoint) as project,
        pytest.raises(Unavailable, match="endpoint has ended") as caught,
    ):
        project.apply(say=end)
    assert "lab.terraform()" in str(caught.value)
    endpoint.close()


@pytest.mark.parametrize("value", [None, "/nowhere/terraform.rc"], ids=["unset", "set-wrongly"])
def test_the_learners_cli_configuration_decides_nothing(stack, monkeypatch, value):
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", value) if value else monkeypatch.delenv(
        "TF_CLI_CONFIG_FILE", raising=False
    )
    monkeypatch.setenv("TF_VAR_x", "leaks")
    with Terraform(stack(ROLE)) as project:
        assert project.validate() == []
        assert "TF_VAR_x" not in project.env()


def test_real_credentials_are_out_of_reach(aws, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "company")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    env = aws.env()
    assert "AKIAREAL" not in env.values()
    assert "AWS_PROFILE" not in env
    assert env["AWS_ENDPOINT_URL"] == aws.url
    assert not Path(env["AWS_SHARED_CREDENTIALS_FILE"]).read_bytes()


def test_without_an_endpoint_no_account_is_met_and_no_profile_is_read(stack, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "company")
    with Terraform(
        stack(ROLE, **{"tests/it.tftest.hcl": TEST.replace('mock_provider "aws" {}', "")})
    ) as project:
        env = project.env()
        assert "AWS_PROFILE" not in env
        assert not Path(env["AWS_CONFIG_FILE"]).read_bytes()
        assert env["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")


def test_no_provider_names_the_command_that_brings_it(stack, monkeypatch, tmp_path):
    monkeypatch.setenv(mirror.MIRROR, str(tmp_path))
    with pytest.raises(Unavailable, match="without the AWS provider") as caught:
        Terraform(stack(ROLE))
    assert mirror.MIRROR in str(caught.value)


def test_no_terraform_is_one_sentence(stack, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    mirror._program.cache_clear()
    try:
        with pytest.raises(Unavailable, match="Neither terraform nor tofu is on PATH"):
            Terraform(stack(ROLE))
    finally:
        mirror._program.cache_clear()


def test_somebody_elses_files_run_in_a_sandbox_and_their_programs_not_at_all(aws, stack, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the grader")
    reads = ROLE.replace('"one"\n  assume', f'file("{secret}")\n  assume')
    with Terraform(stack(reads), aws, foreign=True) as project, pytest.raises(LabError) as caught:
        project.plan()
    assert "of the grader" not in str(caught.value)
    runs = ROLE.replace(
        "\n}\n\n#", '\n  provisioner "local-exec" {\n    command = "touch /tmp/ran"\n  }\n}\n\n#'
    )
    with (
        Terraform(stack(runs), aws, foreign=True) as project,
        pytest.raises(LabError, match=r"provisioner|Programs"),
    ):
        project.plan()
    with Terraform(stack(ROLE), aws, foreign=True) as project:
        project.apply()
        assert project.changes() == []


# What a kernel does with lab 10 before somebody ends it with kill -9.
KERNEL = """
import sys
from pathlib import Path
from llmlab.tiers.aws.endpoint import AwsEndpoint
from llmlab.tiers.aws.terraform import Terraform
project = Terraform(Path(sys.argv[1]), AwsEndpoint())
def say(said):
    if "aws_iam_instance_profile.one: Creating" in said:
        print("creating", project.folder, flush=True)
project.apply(say=say)
"""


def test_a_kernel_killed_in_mid_apply_leaves_nothing_that_clean_does_not_end(stack):
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL, str(stack(ROLE))], stdout=subprocess.PIPE, text=True
    )
    word, folder = kernel.stdout.readline().split()
    assert word == "creating"
    below = psutil.Process(kernel.pid).children(recursive=True)
    assert any("terraform" in process.name() for process in below)
    kernel.kill()
    kernel.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive, "a process outlived its kernel"
    owned.clean()
    assert not Path(folder).exists()
    kernel.stdout.close()


#: The provider refuses it: targets of the type `instance` need a VPC.
NO_VPC = """
resource "aws_lb_target_group" "one" {
  name     = "one"
  port     = 8080
  protocol = "HTTP"
}
"""
MOCKED = """
mock_provider "aws" {}

run "it" {
  command = plan

  assert {
    condition     = aws_lb_target_group.one.port == 8080
    error_message = "another port"
  }
  assert {
    condition     = alltrue([for check in aws_lb_target_group.one.health_check : check.path == "/no-such-path"])
    error_message = "there is no such health check, and this test cannot see it"
  }
}
"""


@pytest.mark.guess(
    guess="A `terraform test` that passes says that the provider would take the stack.",
    really="With a mocked provider nobody looks across attributes (a target group without its `vpc_id` passes), nothing is filled in that the "
    "provider would fill in, and `alltrue` over a list that is empty for that reason holds for nothing.",
    version="Terraform 1.11.4, provider aws 5.100.0",
    see="a target group without `vpc_id` under `mock_provider`, and `terraform plan` of the same file",
)
def test_a_mocked_provider_takes_what_the_real_one_refuses(aws, stack):
    folder = stack(NO_VPC, **{"tests/it.tftest.hcl": MOCKED})
    with Terraform(folder, aws) as project:
        assert project.test().passed
        with pytest.raises(LabError, match="vpc_id"):
            project.apply()
