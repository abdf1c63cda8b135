"""The wheel's server as a process: what llama-server's flags do there, and how it starts, fails and ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata

import pytest

from llmlab import engine
from llmlab.engine.probe import HOST

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(*flags, env=None, **kwargs):
    return subprocess.run([*HOST, *flags], capture_output=True, text=True, timeout=20, env=env, **kwargs)


def test_serves_a_completion_and_says_where(serve, tiny):
    server = serve(HOST, "-c", "512", model=tiny)
    assert server.request("/health") == (200, {"status": "ok"})
    status, answer = server.request("/completion", {"prompt": "hello", "n_predict": 8, "ignore_eos": True})
    assert (status, answer["tokens_predicted"]) == (200, 8)
    assert answer["content"].isprintable()


def slots(server):
    status, found = server.request("/slots")
    return (status, [slot["n_ctx"] for slot in found]) if status == 200 else (status, None)


@pytest.mark.parametrize(
    ("flags", "per_slot"),
    [
        (["-c", "4096"], [4096] * 4),  # auto: four slots share one cache, each may fill it
        (["-c", "4096", "--parallel", "4"], [1024] * 4),  # said outright: the context is divided
        (["-c", "4096", "--parallel", "2", "--kv-unified"], [4096] * 2),
        (["-c", "4096", "--parallel", "1"], [4096]),
    ],
)
def test_slots_and_their_context(serve, tiny, flags, per_slot):
    server = serve(HOST, *flags, model=tiny)
    assert slots(server) == (200, per_slot)
    props = server.request("/props")[1]
    assert props["total_slots"] == len(per_slot)
    assert props["default_generation_settings"]["n_ctx"] == per_slot[0]


def test_endpoints_follow_their_flags(serve, tiny):
    server = serve(HOST, "-c", "512", "--metrics", "--no-slots", "--alias", "mine", model=tiny)
    assert server.request("/slots")[0] == 501
    status, text = server.request("/metrics")
    assert status == 200
    assert "llamacpp:tokens_predicted_total" in text
    assert server.request("/v1/models")[1]["data"][0]["id"] == "mine"
    assert server.request("/props", {})[0] == 501
    plain = serve(HOST, "-c", "512", model=tiny)
    assert plain.request("/metrics")[0] == 501


@pytest.mark.parametrize("how", ["variable", "file", "flag"])
def test_a_key_is_wanted_everywhere_but_at_health(serve, tiny, tmp_path, how):
    keys = tmp_path / "keys"
    keys.write_text("# the classroom's\nsecret\n")
    flags = {"variable": [], "file": ["--api-key-file", str(keys)], "flag": ["--api-key", "secret"]}[how]
    env = {**os.environ, "LLAMA_API_KEY": "secret"} if how == "variable" else None
    server = serve(HOST, "-c", "512", "--metrics", *flags, model=tiny, env=env)
    assert server.request("/health")[0] == 200
    assert server.request("/metrics")[0] == 401
    assert server.request("/metrics", headers={"Authorization": "Bearer secret"})[0] == 200


def comparable(server):
    """What both engines must agree on, without what only says which of them it is."""
    props = server.request("/props")[1]
    props.pop("build_info", None)
    props["default_generation_settings"].pop("params", None)
    model = server.request("/v1/models")[1]["data"][0]
    model.pop("created", None)
    return {
        "slots": slots(server),
        "metrics": server.request("/metrics")[0],
        "props": {
            key: props.get(key)
            for key in (
                "total_slots",
                "default_generation_settings",
                "model_alias",
                "endpoint_slots",
                "endpoint_metrics",
            )
        },
        "model": {key: model.get(key) for key in ("id", "aliases", "meta")},
        "defaults": {
            key: value
            for key, value in server.request("/completion", {"prompt": "hi", "n_predict": 1})[1][
                "generation_settings"
            ].items()
            if key
            in ("temperature", "top_k", "top_p", "min_p", "seed", "n_predict", "samplers", "ignore_eos")
        },
    }


@pytest.mark.needs("binary")
@pytest.mark.parametrize(
    "flags",
    [
        "-c 4096",
        "-c 4096 --parallel 4",
        "-c 4096 --parallel 3 --metrics --no-slots --cache-ram 0",
        "-c 2048 -np 2 -kvu --alias a,b --no-warmup -ngl 99",
        "--kv-unified-per-slot 512 --parallel 2",
        "-c 512 -n 7 --temp 0.5 --top-k 3 --seed 42 --ignore-eos -b 64 -ub 32 -fa off -ctk q8_0",
    ],
)
def test_the_same_flags_have_the_same_effect_as_on_the_binary(serve, tiny, flags):
    binary = engine.find(need=["signals"])
    ours = serve(HOST, *flags.split(), model=tiny)
    theirs = serve(binary.argv, *flags.split(), model=tiny)
    assert comparable(ours) == comparable(theirs)


@pytest.mark.needs("binary")
def test_the_same_seed_says_the_same_as_the_binary(serve, tiny):
    binary = engine.find(need=["signals"])
    body = {
        "prompt": "once upon",
        "n_predict": 24,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    said = [
        serve(argv, "-c", "512", model=tiny).request("/completion", body)[1]["content"]
        for argv in (HOST, binary.argv)
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--nope"], "error: invalid argument: --nope"),
        (["--model", "/nonexistent/x.gguf"], "/nonexistent/x.gguf: No such file or directory"),
        (["--model", __file__], f"error: this is not a GGUF model file: {__file__}"),
        (["--ctx-size", "many"], 'error while handling argument "--ctx-size"'),
        ([], "--model is required"),
    ],
)
def test_a_start_that_fails_ends_with_one_line_and_1(flags, said):
    began = time.monotonic()
    done = run(*flags, "--port", "0")
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 5


def test_a_port_that_is_taken(tiny):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--model", str(tiny), "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: cannot listen on 127.0.0.1:{port}: ")


def test_a_truncated_model(tiny, tmp_path):
    short = tmp_path / "short.gguf"
    short.write_bytes(tiny.read_bytes()[:200_000])
    done = run("--model", str(short), "--port", "0")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if " E " in line]
    assert "exiting due to model loading error" in errors[-1]


def stream(server, tokens):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = {"prompt": "on and on", "n_predict": tokens, "stream": True, "ignore_eos": True}
    connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.readline().startswith(b"data: ")
    return connection


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_in_order(serve, tiny, number):
    server = serve(HOST, "-c", "512", model=tiny)
    server.wait_for_handlers()
    # Once it has served it surely runs: stopped in the millisecond before, xllamacpp's destructor can wait for ever
    # (seen in 1 of 12 runs). `Server.stop` does not depend on it: it signals twice, then kills.
    assert server.request("/completion", {"prompt": "x", "n_predict": 1})[0] == 200
    server.process.send_signal(number)
    assert server.process.wait(5) == 0


@linux
def test_a_second_signal_ends_it_with_requests_in_flight(serve, middling):
    server = serve(HOST, "-c", "32768", model=middling)
    server.wait_for_handlers()
    connection = stream(server, 30_000)
    server.process.send_signal(signal.SIGTERM)
    # The first signal waits, as on the binary, for a reply that no longer comes; now and then it does come.
    with contextlib.closing(connection):
        try:
            assert server.process.wait(0.5) in (0, 1)
        except subprocess.TimeoutExpired:
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(5) == 1
            assert time.monotonic() - began < 1


def test_help_version_and_devices_need_no_model():
    assert run("--help").stdout.startswith("----- ")
    assert run("--version").stdout == f"version: xllamacpp {metadata.version('xllamacpp')}\n"
    assert run("--list-devices").stdout.startswith("Available devices:\n  ")


def test_a_missing_libgomp_is_named_with_the_command(tmp_path):
    """The wheel links to the system's libgomp; without it the import fails as faked here."""
    fake = tmp_path / "xllamacpp"
    fake.mkdir()
    (fake / "__init__.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run("--version", env=env)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "libgomp.so.1" in done.stderr
    assert "apt-get install -y libgomp1" in done.stderr


def test_starts_quickly(serve, tiny):
    """Nothing heavy is imported: numpy alone would double the time."""
    code = (
        "import sys; sys.argv = ['host', '--version']; import llmlab.engine.host as h; h.main(['--version']);"
        "heavy = {'numpy', 'gguf', 'psutil', 'asyncio', 'msgspec', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
