"""What stands where in a configuration, and the modules that it calls: read without Terraform."""

from __future__ import annotations

import json

import pytest

from llmlab.tiers.aws import blocks
from llmlab.tiers.aws.probes import project
from llmlab.tiers.aws.terraform import Terraform

TRICKY = """# module "commented" { source = "a/b/c" }
/* module "commented" {
  source = "a/b/c"
} */
locals {
  text   = "module \\"quoted\\" { ${join("}", ["{", "x"])} $${no} "
  script = <<-EOT
    module "in_a_heredoc" {
      source = "a/b/c"
    EOT
  nested = { module = { source = "a/b/c" } }
}

module "alb" { # the community's
  providers = { aws = aws }
  listeners = {
    source = "not/this/one"
  }
  source  = "terraform-aws-modules/alb/aws"
  version = "~> 9.0"
}
resource "aws_lb_listener_rule" "server" {
}
"""


def test_blocks_are_told_from_comments_strings_and_heredocs():
    found = blocks.read(TRICKY, "main.tf")
    assert [(block.kind, block.labels) for block in found] == [
        ("locals", ()),
        ("module", ("alb",)),
        ("resource", ("aws_lb_listener_rule", "server")),
    ]
    assert (found[1].source, found[1].source_line, found[1].where) == (
        "terraform-aws-modules/alb/aws",
        19,
        "main.tf:14",
    )
    assert found[2].where == "main.tf:22"


@pytest.mark.parametrize(
    "text", ['module "a" {', 'x = "open\nmodule "a" {\n}', "a = <<EOT\nnever closed", "}}}{", "/* open"]
)
def test_what_is_no_hcl_has_no_blocks(text):
    assert blocks.read(text, "main.tf") == ()


@pytest.mark.parametrize(
    "text",
    [
        'locals {\n  x = "a ${~ "b" ~} c"\n}\nmodule "net" {\n  source = "./net"\n}\n',
        'locals {\n  größe = 1\n}\nmodule "net" {\n  source = "./net"\n}\n',
        "# large\n" * (blocks.LARGEST // 8 + 1) + 'module "net" {\n  source = "./net"\n}\n',
    ],
    ids=["trim-markers", "a-name-beyond-ascii", "large"],
)
def test_of_a_file_that_only_terraform_reads_the_local_modules_are_found(text):
    (call,) = blocks.read(text, "main.tf")
    assert (call.source, call.source_line, call.remote) == ("./net", text.count("\n") - 1, False)


def test_a_byte_order_mark_and_a_source_that_is_not_plain():
    (call,) = blocks.read('\ufeffmodule "net" {\n  source = "${path.module}/net"\n}', "main.tf")
    assert (call.labels, call.source) == (("net",), None)


def write(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("terraform-aws-modules/alb/aws", "cannot be fetched where this is graded"),
        ("git::https://github.com/x/y.git", "cannot be fetched where this is graded"),
        ("github.com/x/y", "cannot be fetched where this is graded"),
        ("../shared", "no folder among these files"),
        ("./not-there", "no folder among these files"),
    ],
)
def test_a_module_that_is_not_here_is_named_with_its_line(tmp_path, source, says):
    write(tmp_path, **{"main.tf": f'module "door" {{\n  source = "{source}"\n}}\n'})
    error = blocks.absent(tmp_path)
    assert says in error.what
    assert f'main.tf:2: module "door" comes from "{source}"' in error.what
    assert error.where == "main.tf:2"
    assert "modules/door" in error.fix


def test_modules_that_are_here_are_followed_and_those_that_nobody_calls_do_not_count(tmp_path):
    write(
        tmp_path,
        **{
            "main.tf": 'module "net" {\n  source = "./net"\n}\n',
            "net/main.tf": 'module "deep" {\n  source = "../deep/er"\n}\n',
            "deep/er/main.tf": "locals {\n}\n",
            "unused/main.tf": 'module "x" {\n  source = "a/b/c"\n}\n',
        },
    )
    assert blocks.absent(tmp_path) is None
    assert [target.relative_to(tmp_path).as_posix() for _, target in blocks.calls(tmp_path)] == [
        "net",
        "deep/er",
    ]
    write(tmp_path, **{"deep/er/main.tf": 'module "far" {\n  source = "a/b/c"\n}\n'})
    assert "deep/er/main.tf:2" in blocks.absent(tmp_path).what


def test_where_a_resource_of_the_state_is_written(tmp_path):
    write(tmp_path, **{"main.tf": TRICKY})
    state = {
        "resources": [
            {
                "type": "aws_lb_listener_rule",
                "name": "server",
                "instances": [{"attributes": {"arn": "rule/1"}}],
            }
        ]
    }
    (tmp_path / "terraform.tfstate").write_text(json.dumps(state))
    assert blocks.where(tmp_path, "rule/1") == "main.tf:22"
    assert blocks.where(tmp_path, "rule/2") == ""
    assert blocks.where(tmp_path / "nowhere", "rule/1") == ""


@pytest.mark.needs("terraform")
def test_a_local_module_in_any_folder_comes_with_its_files_and_goes_again(tmp_path):
    files = write(
        tmp_path / "mine",
        **{
            "main.tf": 'module "net" {\n  source = "./net"\n}\n',
            "net/main.tf": 'locals {\n  text = file("${path.module}/boot.sh")\n}\n',
            "net/boot.sh": "#!/bin/sh\n",
        },
    )
    with Terraform(files) as project:
        assert project.validate() == []
        assert (project.project / "net" / "boot.sh").is_file()
        (files / "main.tf").write_text("locals {\n}\n")
        project.refresh()
        assert not (project.project / "net" / "boot.sh").exists()


def test_a_load_balancer_has_two_spellings(tmp_path):
    """The provider takes `aws_alb` and all that begins so for `aws_lb`: mutants are laid over it, time-outs are read, lines found."""
    (tmp_path / "door.tf").write_text('\nresource "aws_alb" "door" {\n}\n')
    written = {"type": "aws_alb", "mode": "managed", "name": "door"}
    plan = {
        "planned_values": {
            "root_module": {
                "resources": [written | {"address": "aws_alb.door", "values": {"idle_timeout": 60}}]
            }
        },
        "configuration": {"root_module": {"resources": [written]}},
    }
    assert [it["idle_timeout"] for it in project.values(plan, "aws_lb")] == [60]
    assert blocks.written(tmp_path, "aws_alb", "door") == "door.tf:2"
    assert project.mutants(plan)["the load balancer hangs up after 60 s"] == {
        "llmlab_override.tf": 'resource "aws_alb" "door" {\n  idle_timeout = 60\n}\n'
    }
    assert [blocks.spelt(kind) for kind in ("aws_alb_target_group", "aws_lb", "aws_instance")] == [
        "aws_lb_target_group",
        "aws_lb",
        "aws_instance",
    ]
