"""Flags: read from the --help of both engines, and a learner's table as a command line."""

from __future__ import annotations

import subprocess

import pytest

from llmlab import engine
from llmlab.engine import FlagTable
from llmlab.engine.hosted import rows
from llmlab.errors import LabError

# shapes that are awkward to read, as llama-server b8646 and later print them
HELP = """----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-fa,   --flash-attn [on|off|auto]       set Flash Attention use ('on', 'off', or 'auto', default: 'auto')
                                        (env: LLAMA_ARG_FLASH_ATTN)
-kvo,  --kv-offload, -nkvo, --no-kv-offload
                                        whether to enable KV cache offloading (default: enabled)
--no-host                               bypass host buffer allowing extra buffers to be used
-ot,   --override-tensor <tensor name pattern>=<buffer type>,...
                                        override tensor buffer type
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM
--lora FNAME                            path to LoRA adapter (use comma-separated values to load multiple
                                        adapters)
-r,    --reverse-prompt PROMPT          halt generation at PROMPT, return control in interactive mode
--control-vector-layer-range START END
                                        layer range to apply the control vector(s) to


----- example-specific params -----

--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max or
                                        --spec-ngram-mod-n-max
--spec-draft-n-max N                    number of tokens to draft
-np,   --parallel N                     number of server slots (default: -1, -1 = auto)
--metrics                               enable prometheus compatible metrics endpoint (default: disabled)
--slots, --no-slots                     expose slots monitoring endpoint (default: enabled)
                                        (env: LLAMA_ARG_ENDPOINT_SLOTS)
--load-mode MODE                        model loading mode
"""


@pytest.fixture
def table() -> FlagTable:
    return FlagTable.parse(HELP)


def test_reads_names_hints_negations_and_variables(table):
    ctx = table.get("ctx-size")
    assert (ctx.names, ctx.long, ctx.hint) == (("-c", "--ctx-size"), "ctx-size", "N")
    assert ctx.env == "LLAMA_ARG_CTX_SIZE"
    assert ctx.help.startswith("size of the prompt context")
    assert "env" not in ctx.help
    assert table.get("slots").negation == "--no-slots"
    assert table.get("kv-offload").negation == "--no-kv-offload"
    assert table.get("no-host").negation is None
    assert table.get("no-host").long == "no-host"
    assert table.get("override-tensor").hint == "<tensor name pattern>=<buffer type>,..."
    assert table.get("control-vector-layer-range").hint == "START END"
    assert table.get("metrics").hint is None
    assert table.get("flash-attn").choices == ("on", "off", "auto")


def test_any_long_spelling_finds_the_flag(table):
    assert table.get("n-gpu-layers") is table.get("gpu-layers")
    assert "n-gpu-layers" in table
    assert "n_gpu_layers" in table  # llama-server reads underscores as dashes too
    assert "c" not in table
    assert "draft-max" not in table  # listed, but only to say that it is gone


def test_argv(table):
    flags = {"ctx-size": 4096, "metrics": True, "slots": False, "lora": ["a", "b"], "n-gpu-layers": "all"}
    assert table.argv(flags) == (
        ["--ctx-size", "4096", "--metrics", "--no-slots", "--lora", "a,b", "--n-gpu-layers", "all"]
    )
    assert table.argv({"reverse-prompt": ["x", "y"]}) == ["--reverse-prompt", "x", "--reverse-prompt", "y"]
    assert table.argv({"no-slots": True}) == ["--no-slots"]
    assert table.argv({}) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"paralel": 4}, "parallel"),
        ({"c": 4}, "ctx-size"),
        ({"np": 4}, "parallel"),
        ({"context": 4}, "ctx-size"),
        ({"metrics": False}, "leave it out"),
        ({"metrics": 1}, "metrics = true"),
        ({"no-slots": False}, "slots = true"),
        ({"ctx-size": True}, "ctx-size"),
        ({"flash-attn": True}, 'flash-attn = "on"'),
        ({"flash-attn": "onn"}, 'did you mean "on"'),
        ({"ctx-size": ""}, "ctx-size"),
        ({"lora": []}, "leave it out"),
        ({"gpu-layers": 1, "n-gpu-layers": 2}, "leave one out"),
        ({"draft-max": 3}, "spec-draft-n-max"),
        ({"no-mmap": True}, 'load-mode = "none"'),
        ({"mlock": True}, 'load-mode = "mlock"'),
        ({"grp-attn-n": 2}, "leave it out"),
        ({"log-format": "json"}, "log-jsonl"),
    ],
)
def test_refusals_name_the_file_and_what_to_write(table, flags, said):
    with pytest.raises(LabError) as caught:
        table.argv(flags, source="labs/01/server.toml line 3")
    assert caught.value.where == "labs/01/server.toml line 3"
    assert said in (caught.value.fix or "") + caught.value.what


def test_a_removed_flag_is_never_suggested(table):
    assert table.nearest("draft-maxx") == "spec-draft-n-max"


def test_nothing_like_it_says_where_to_look(table):
    assert table.nearest("zzzz") is None
    with pytest.raises(LabError, match="--help"):
        table.argv({"zzzz": 1})


def test_a_text_without_flags_is_refused():
    with pytest.raises(LabError):
        FlagTable.parse("usage: something else entirely")


def test_reads_the_wheels_help():
    found = engine.find("wheel").flags()
    assert len(found) == len(rows())
    for row, flag in zip(rows(), found, strict=True):
        assert (flag.names, flag.hint, flag.env) == (row.names, row.hint, row.env)
        assert flag.help == row.help


@pytest.mark.needs("binary")
def test_the_wheel_lists_flags_exactly_as_the_binary_does():
    binary = engine.find(need=["signals"])
    theirs = binary.flags()
    printed = subprocess.run([*binary.argv, "--help"], capture_output=True, text=True, check=True).stdout
    assert len(theirs) == sum(line.startswith("-") and line[:4] != "----" for line in printed.splitlines())
    for flag in engine.find("wheel").flags():
        same = theirs.get(flag.long)
        assert (flag.names, flag.hint, flag.env, flag.negation) == (
            same.names,
            same.hint,
            same.env,
            same.negation,
        )
