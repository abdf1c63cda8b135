#!/usr/bin/env bash
# vLLM 0.33.0's `vllm bench serve` against llama.cpp's server (xllamacpp 2026.10.11549, b11549): on /v1/completions it learns no number of
# tokens, although it asks for usage and is sent it; on /v1/chat/completions it does.
#
# Behaviour seen: with `stream_options.include_usage` llama-server's text completions carry `usage` in the last event that has a choice (the
# one with the finish reason). vLLM's client reads `usage` only of an event without choices, which is what vLLM's own server sends. So
# `output_tokens` stays 0, and the report falls back to counting the reply's text with a local tokenizer: a wrong or missing one gives a
# wrong throughput and TPOT (one that knew words only: 44 tokens/s where the server wrote 400), with nothing said. The prompt's length is
# what was asked for, too. Chat completions end with an event whose choices are empty, and are counted right.
# What to do: `--backend openai-chat`, or the model's own tokenizer.
# Output seen:
#   /v1/completions: usage in an event with choices: 48 tokens; vLLM's client counted 0
#   /v1/chat/completions: usage in an event without choices: 48 tokens; vLLM's client counted 48
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6 aiohttp==3.13.2 tqdm==4.67.1 regex==2025.11.3
# The wheel's one file: the client needs nothing else of vLLM.
env/bin/pip download -q --no-deps -d . vllm==0.33.0
python3 - <<'PY'
import glob, zipfile
name = "vllm/benchmarks/lib/endpoint_request_func.py"
with zipfile.ZipFile(glob.glob("vllm-*.whl")[0]) as wheel, open("vllm_client.py", "wb") as file:
    file.write(wheel.read(name))
PY
cat >count.py <<'PY'
import asyncio
import json
import sys
import urllib.request

import aiohttp
import gguf
import numpy
import vllm_client
import xllamacpp

WIDTH, WORDS, REPLY = 64, 1000, 48
random = numpy.random.default_rng(1)


def model(path):
    """A llama of two blocks with random weights and a vocabulary of its own."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(2048)
    out.add_embedding_length(WIDTH)
    out.add_block_count(2)
    out.add_feed_forward_length(2 * WIDTH)
    out.add_head_count(2)
    out.add_head_count_kv(2)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model("llama")
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [2, 3, 3, *[6] * 256]
    out.add_token_list(names + [f"\u2581w{number}" for number in range(WORDS - len(names))])
    out.add_token_scores([0.0] * WORDS)
    out.add_token_types(kinds + [1] * (WORDS - len(kinds)))
    shapes = {"token_embd": (WORDS, WIDTH), "output": (WORDS, WIDTH), "output_norm": (WIDTH,)}
    for block in range(2):
        shapes |= {f"blk.{block}.{part}_norm": (WIDTH,) for part in ("attn", "ffn")}
        shapes |= {f"blk.{block}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{block}.ffn_{part}": (2 * WIDTH, WIDTH) for part in ("gate", "up")}
        shapes |= {f"blk.{block}.ffn_down": (WIDTH, 2 * WIDTH)}
    for name, shape in shapes.items():
        weights = numpy.ones(shape) if len(shape) == 1 else random.normal(0, 0.1, shape)
        out.add_tensor(f"{name}.weight", weights.astype(numpy.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def sent(url, body):
    """How many tokens the stream's usage says, and whether that event has choices."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        events = [json.loads(line[6:]) for line in reply if line.startswith(b"data: {")]
    (event,) = [event for event in events if event.get("usage")]
    return event["usage"]["completion_tokens"], bool(event["choices"])


async def counted(ask, url, prompt):
    """What vLLM's client says of a reply."""
    given = vllm_client.RequestFuncInput(
        prompt=prompt, api_url=url, prompt_len=1, output_len=REPLY, model="small", ignore_eos=True
    )
    async with aiohttp.ClientSession() as session:
        output = await ask(given, session)
    assert output.success, output.error
    return output.output_tokens


params = xllamacpp.CommonParams()
model("small.gguf")
params.model.path = "small.gguf"
params.n_parallel, params.n_ctx, params.port = 1, 2048, 0
params.hostnames = ["127.0.0.1"]
params.warmup = False
server = xllamacpp.Server(params)
usage = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": REPLY, "ignore_eos": True}
found = {}
for path, ask, prompt in (
    ("/v1/completions", vllm_client.async_request_openai_completions, {"prompt": "w1"}),
    (
        "/v1/chat/completions",
        vllm_client.async_request_openai_chat_completions,
        {"messages": [{"role": "user", "content": "w1"}]},
    ),
):
    url = server.listening_address + path
    written, with_choices = sent(url, usage | prompt)
    found[path] = (written, with_choices, asyncio.run(counted(ask, url, "w1")))
    print(
        f"{path}: usage in an event {'with' if with_choices else 'without'} choices: {written} tokens; "
        f"vLLM's client counted {found[path][2]}",
        flush=True,
    )
if list(found.values()) != [(REPLY, True, 0), (REPLY, False, REPLY)]:
    sys.exit("not as seen")
PY
env/bin/python count.py 2>log || { tail -5 log; exit 1; }
