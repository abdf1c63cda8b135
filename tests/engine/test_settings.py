"""The command line of the wheel's engine: read as llama-server reads it, and set in xllamacpp."""

from __future__ import annotations

import pytest
import xllamacpp

from llmlab.engine import settings
from llmlab.engine.hosted import rows

SAMPLES = {
    "FNAME:SCALE,...": "adapter.gguf:0.5",
    "<tensor name pattern>=<buffer type>,...": "blk.0=CPU",
    "N0,N1,N2,...": "3,1",
    "MiB0,MiB1,MiB2,...": "512",
    "<0|1>": "1",
    "<0...100>": "10",
    "lo-hi": "0-1",
    "[on|off|auto]": "on",
    "[on|off]": "off",
    "{none,linear,yarn}": "yarn",
    "{none,layer,row,tensor}": "row",
    "{none,mean,cls,last,rank}": "mean",
    "TYPE": "q8_0",
    "FORMAT": "deepseek-legacy",
    "MODE": "mmap+mlock",
    "<dev1,dev2,..>": "none",
    "STRING": "a,b",
    "HOST": "127.0.0.1",
}
BY_FLAG = {"numa": "distribute", "samplers": "top_k;temperature", "chat-template-kwargs": '{"a": 1}'}


def params_of(argv, environ=None):
    params = xllamacpp.CommonParams()
    settings.apply(settings.parse(["-m", "x.gguf", *argv], environ or {}), params, xllamacpp)
    return params


@pytest.mark.parametrize(
    "row", [row for row in rows() if row.sets not in settings.ENDING], ids=lambda r: r.key
)
def test_every_listed_flag_is_honoured(row, tmp_path):
    """No row names an attribute that CommonParams lacks, and each changes something or is its default."""
    words = [f"--{row.key}"]
    if row.hint is not None:
        file = tmp_path / "file"
        file.write_text("content")
        if row.key in ("slot-save-path", "media-path", "path"):
            value = str(tmp_path)
        elif row.key in ("api-key-file", "chat-template-file"):
            value = str(file)
        else:
            value = BY_FLAG.get(row.key) or SAMPLES.get(row.hint, "1")
            if row.key == "spec-type":
                value = "ngram-mod"
        words.append(value)
    params_of(words)


def test_defaults_are_the_servers_not_the_librarys():
    params = params_of([])
    assert params.n_parallel == -1
    assert params.port == 8080


def test_values_arrive():
    line = (
        "-c 4096 -np 4 --no-slots --metrics -t 2 --api-key a,b --alias one,two --cache-ram 0 -ngl all --no-warmup "
        "-fa off -ctk q8_0 --temp 0 --timeout 7 --cpu-range 1-2 --no-kv-offload --port 0 -a three"
    )
    params = params_of(line.split())
    assert (params.n_ctx, params.n_parallel, params.endpoint_slots, params.endpoint_metrics) == (
        4096,
        4,
        0,
        1,
    )
    assert params.cpuparams.n_threads == 2
    assert params.cpuparams_batch.n_threads == 2  # follows -t unless -tb says otherwise
    assert [n for n, on in enumerate(params.cpuparams.cpumask) if on] == [1, 2]
    assert params.api_keys == ["a", "b"]
    assert params.model_alias == {"one", "two", "three"}
    assert (params.cache_ram_mib, params.n_gpu_layers, params.warmup, params.port) == (0, -2, False, 0)
    assert params.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    assert params.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_Q8_0
    assert (params.timeout_read, params.timeout_write) == (7, 7)
    assert params.no_kv_offload
    assert params.sampling.temp == 0
    temp = int(xllamacpp.common_params_sampling_config.COMMON_PARAMS_SAMPLING_CONFIG_TEMP)
    assert params.sampling.user_sampling_config & temp


def test_a_flag_beats_its_variable_and_a_pair_has_a_negative_one():
    environ = {
        "LLAMA_ARG_CTX_SIZE": "100",
        "LLAMA_ARG_N_PARALLEL": "3",
        "LLAMA_ARG_NO_ENDPOINT_SLOTS": "1",
        "LLAMA_ARG_ENDPOINT_METRICS": "1",
        "LLAMA_API_KEY": "secret",
    }
    params = params_of(["-c", "200"], environ)
    assert (params.n_ctx, params.n_parallel, params.endpoint_slots) == (200, 3, False)
    assert params.endpoint_metrics
    assert params.api_keys == ["secret"]


def test_a_key_file_may_have_comments(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# staging\none\n\ntwo\n")
    assert params_of(["--api-key-file", str(keys)]).api_keys == ["one", "two"]


def test_underscores_are_dashes():
    assert params_of(["--ctx_size", "64"]).n_ctx == 64


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--nope"], "error: invalid argument: --nope"),
        (["-c"], "expected value for argument"),
        (["-c", "many"], "--ctx-size"),
        (["-c", "99999999999"], "out of range"),
        (["-fa", "maybe"], "maybe"),
        (["-ctk", "q9"], "q9"),
        (["--split-mode", "count"], "count"),
        (["--device", "CUDA7"], "invalid device: CUDA7"),
        (["--api-key-file", "/nonexistent/keys"], "failed to open file '/nonexistent/keys'"),
        (["--slot-save-path", "/nonexistent/"], "not a directory"),
        (["--cpu-range", "5"], "invalid range"),
        (["--models-dir", "x"], "error: invalid argument: --models-dir"),  # the router: refused, not ignored
    ],
)
def test_what_is_refused_and_how(argv, said):
    with pytest.raises(settings.InvalidSettings, match=said.replace("(", r"\(")):
        params_of(argv)


def test_no_model_is_no_router():
    with pytest.raises(settings.InvalidSettings, match="--model is required"):
        settings.apply([], xllamacpp.CommonParams(), xllamacpp)
