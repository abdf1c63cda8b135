"""What every engine must do, wherever it was found: the wheel's, a native build, one on PATH, one at a path.

The kinds are those that the code knows (`probe.Kind`): a new one is asked the same questions, or fails because it has no rung.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from llmlab import engine
from llmlab.engine import Candidate, Engine, probe
from llmlab.errors import LabError
from llmlab.serve import Server, Spec

COURSE = Path(__file__).resolve().parents[2]
KINDS = [
    pytest.param(kind, marks=pytest.mark.needs("process" if kind == "wheel" else "binary"))
    for kind in get_args(probe.Kind)
]
# What `llmlab engine build` makes; on this machine it stands for somebody's own where one is looked for at a path or on PATH.
PLANTED = ("path", "PATH")


def flags_of_the_labs() -> dict[str, str]:
    """Every flag of a server.toml of the course → the file."""
    files = [path for part in ("labs", "solutions") for path in sorted(COURSE.glob(f"{part}/*/server.toml"))]
    return {flag: str(path) for path in files for flag in Spec.read(path).flags}


@pytest.fixture(params=KINDS)
def candidate(request, tmp_path, monkeypatch) -> Candidate:
    """The first rung of that kind."""
    kind = request.param
    if kind in PLANTED:
        native = Path(engine.find(need=["signals", "exit-codes"]).argv[0]).resolve()
        own = tmp_path / "bin" / "llama-server"
        own.parent.mkdir()
        own.symlink_to(native)
        if kind == "PATH":
            monkeypatch.setenv("PATH", f"{own.parent}{os.pathsep}{os.environ['PATH']}")
        else:
            monkeypatch.setenv("LLMLAB_ENGINE", str(own))
    rungs = [candidate for candidate in engine.candidates() if candidate.kind == kind]
    assert rungs, f"no rung of candidates() is of the kind {kind!r}"
    if kind == "built" and rungs[0].engine is None:
        pytest.skip(
            f"another binary is here, and none of ours. Bring it: uv run llmlab fetch binary ({rungs[0].detail})"
        )
    return rungs[0]


@pytest.fixture
def found(candidate) -> Engine:
    assert candidate.engine is not None, candidate.detail
    return candidate.engine


def run(found: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*found.argv, *words], capture_output=True, text=True, timeout=60)


def test_one_line_says_what_it_is(candidate, found):
    line = found.line()
    assert line.isprintable()
    assert found.version in line
    assert "llama-server" in line
    assert candidate.detail.startswith(line)
    assert (candidate.kind, found.kind) == (candidate.kind, candidate.kind)


def test_it_can_be_chosen_by_name_or_path(found):
    """`LLMLAB_ENGINE`, and `engine` in a server.toml."""
    named = found.argv[0] if found.kind == "path" else found.kind
    assert engine.find(named) == found
    assert (
        Server(Spec(engine=found.argv[0] if found.kind in PLANTED else found.kind)).engine.argv == found.argv
    )


def test_it_takes_the_flags_of_the_labs(found):
    table = found.flags()
    wanted = flags_of_the_labs()
    assert {"ctx-size", "parallel", "threads", "metrics", "cache-ram"} <= wanted.keys()
    assert {flag: file for flag, file in wanted.items() if flag not in table} == {}
    assert table.argv({"ctx-size": 4096, "parallel": 4, "metrics": True, "slots": False}) == (
        ["--ctx-size", "4096", "--parallel", "4", "--metrics", "--no-slots"]
    )


def test_its_own_words_are_what_we_read(found):
    """`--help`, `--version` and `--list-devices` end by themselves, without a model."""
    version, help_text, devices = (run(found, flag) for flag in ("--version", "--help", "--list-devices"))
    assert (version.returncode, help_text.returncode, devices.returncode) == (0, 0, 0)
    said = re.search(r"version: (?P<number>.+)", version.stdout + version.stderr)
    assert said
    assert found.version.split()[0] in said["number"]
    listed = {flag.long for flag in found.flags()}
    assert listed == {flag.long for flag in engine.FlagTable.parse(help_text.stdout)}
    assert found.devices() == [
        line.strip() for line in devices.stdout.splitlines() if re.match(r"  \S+: ", line)
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"paralel": 4}, "did you mean 'parallel'?"),
        ({"max-model-len": 4096}, "did you mean 'ctx-size'?"),
        ({"mlock": True}, 'write load-mode = "mlock"'),
        ({"metrics": 1}, "write metrics = true"),
    ],
)
def test_it_refuses_a_flag_in_our_words(found, flags, said):
    with pytest.raises(LabError) as caught:
        found.flags().argv(flags, source="server.toml line 5")
    assert (caught.value.where, caught.value.fix) == ("server.toml line 5", said)


def test_an_unknown_flag_ends_it_with_one_line_that_names_it(found, tiny):
    done = run(found, "--model", str(tiny), "--nope")
    assert done.returncode == 1
    assert "--nope" in (done.stderr or done.stdout).splitlines()[-1]
    assert "Traceback" not in done.stderr


def answers(server) -> dict[str, object]:
    """What a client sees of it."""
    body = {"prompt": "Once", "n_predict": 8, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    status, said = server.request("/completion", body)
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    return {
        "health": server.request("/health"),
        "completion": (status, said["tokens_predicted"], said["content"]),
        "slots": [slot["n_ctx"] for slot in server.request("/slots")[1]],
        "metrics": "llamacpp:tokens_predicted_total" in server.request("/metrics")[1],
        "model": server.request("/v1/models")[1]["data"][0]["id"],
        "chat": server.request("/v1/chat/completions", chat)[0],
        "nowhere": server.request("/nowhere")[0],
    }


def test_it_serves_the_same_as_the_one_that_is_found(found, tiny, serve):
    flags = ("-c", "1024", "--parallel", "2", "--metrics", "--alias", "tiny")
    server = serve(found.argv, *flags, model=tiny)
    said = answers(server)
    assert said == answers(
        serve(engine.find("wheel" if found.kind != "wheel" else None).argv, *flags, model=tiny)
    )
    assert said["completion"][:2] == (200, 8)
    assert (said["slots"], said["chat"], said["nowhere"]) == ([512, 512], 200, 404)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_signal_ends_it_when_idle(found, tiny, serve):
    server = serve(found.argv, "-c", "512", model=tiny)
    server.wait_for_handlers()
    assert server.request("/completion", {"prompt": "x", "n_predict": 1})[0] == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0


def test_what_lies_beside_it(found):
    """The wheel has nothing; of a build its other programs are found, also through a link."""
    bench = found.beside("llama-batched-bench")
    assert (bench is not None) == ("batched-bench" in found.capabilities)
    assert found.beside("llama-nothing") is None
    assert found.kind != "wheel" or bench is None
    if bench is not None:
        assert shutil.which(str(bench))
