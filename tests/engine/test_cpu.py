"""A native build is for one kind of CPU, and does not use what the compiler gets wrong for it."""

from __future__ import annotations

import re
import subprocess

import pytest

from llmlab.engine import cpu
from llmlab.engine.find import native_relative
from llmlab.engine.native import _tools, configure_argv


def test_the_place_of_a_build_says_for_which_cpu_it_is(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{6}", cpu.key())
    assert native_relative(cuda=False).endswith(f"-native-{cpu.key()}")
    here = cpu.key.__wrapped__()
    other = tmp_path / "cpuinfo"
    other.write_text("flags\t\t: fpu sse sse2\n")
    monkeypatch.setattr(cpu, "_CPUINFO", other)
    assert cpu.key.__wrapped__() != here


def test_without_a_compiler_nothing_is_said_of_amx():
    assert cpu.amx_fails("no-such-compiler") is False


@pytest.mark.needs("compiler")
def test_amx_is_left_out_exactly_where_it_does_not_work(tmp_path):
    fails = cpu.amx_fails("c++")
    argv = configure_argv(tmp_path, tmp_path / "out", _tools(tmp_path, None, lambda _: None))
    assert any(cpu.NO_AMX in word for word in argv) is fails
    asked = ["c++", "-march=native", *cpu.NO_AMX.split(), "-dM", "-E", "-x", "c++", "/dev/null"]
    if fails:
        defined = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert "__AMX_TILE__" not in defined
