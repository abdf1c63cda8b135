#!/usr/bin/env bash
# xllamacpp 2026.10.11549 (llama.cpp's server, b11549): `usage` is that of one choice, however many choices a reply has.
#
# Behaviour seen: a request with `n: 4` and 50 tokens a choice gets four choices and `completion_tokens: 50`; the server's own counter
# (`llamacpp:tokens_predicted_total`) goes up by 200. So does a request with four prompts: its `prompt_tokens` are one prompt's too. Streamed,
# each choice sends a last event of its own with the same 50, so a client that keeps the last `usage` (as OpenAI's has one) counts a quarter.
# By OpenAI's API reference `usage` is of the request; the README speaks of "a standard `usage` object".
# Cause: the choices of the other results are put into the first one's reply, and their usage is left out (tools/server/server-context.cpp,
# `handle_completions_impl`).
# What it costs: throughput, prices and quotas that are reckoned by `usage` are short by the factor `n`.
# What to do: take tokens from /metrics, or multiply where all choices are of one length.
# Output seen:
#   n 1: 1 choice, usage 50, streamed [50]; the server's counter: 50
#   n 4: 4 choices, usage 50, streamed [50, 50, 50, 50]; the server's counter: 200
#   prompts of 10, 20 and 30 tokens: usage 10; the server's counter: 60
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
cat >usage.py <<'PY'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, TOKENS = 64, 50


def model(path):
    """A llama whose next token follows from its last one alone: a line's end leads to w0, each word to the next, and the last one to w0."""
    words = [f"\u2581w{number}" for number in range(600)]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(8192)
    out.add_embedding_length(WIDTH)
    out.add_block_count(1)
    out.add_feed_forward_length(WIDTH)
    out.add_head_count(2)
    out.add_head_count_kv(2)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model("llama")
    out.add_token_list(names)
    out.add_token_scores([0.0] * len(names))
    out.add_token_types([2, 3, 3, *[6] * 256, *[1] * len(words)])
    tokens = {"token_embd": numpy.random.default_rng(1).normal(size=(len(names), WIDTH))}
    tokens["output"] = numpy.zeros((len(names), WIDTH))
    chain = [names.index(name) for name in ["<0x0A>", *words, words[0]]]
    for last, following in zip(chain, chain[1:]):
        tokens["output"][following] += tokens["token_embd"][last]
    for name, weights in tokens.items():
        out.add_tensor(f"{name}.weight", weights.astype(numpy.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        out.add_tensor(f"{name}.weight", numpy.ones(WIDTH, numpy.float32))
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        out.add_tensor(f"blk.0.{part}.weight", numpy.zeros((WIDTH, WIDTH), numpy.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def ask(path, body=None):
    """The text of a reply."""
    data = body and json.dumps(body).encode()
    request = urllib.request.Request(server.listening_address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read().decode()


def counted(name):
    """A counter of the server's."""
    (line,) = [line for line in ask("/metrics").splitlines() if line.startswith(f"llamacpp:{name} ")]
    return int(float(line.split()[1]))


model("small.gguf")
params = xllamacpp.CommonParams()
params.model.path = "small.gguf"
params.n_parallel, params.n_ctx, params.port = 4, 4 * 1024, 0
params.hostnames = ["127.0.0.1"]
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.endpoint_metrics = True
server = xllamacpp.Server(params)

seen = []
for choices in (1, 4):
    body = {"messages": [{"role": "user", "content": "w1"}], "max_tokens": TOKENS, "ignore_eos": True, "n": choices}
    before = counted("tokens_predicted_total")
    reply = json.loads(ask("/v1/chat/completions", body))
    written = counted("tokens_predicted_total") - before
    stream = ask("/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    streamed = [event["usage"]["completion_tokens"] for event in events if event.get("usage")]
    said = reply["usage"]["completion_tokens"]
    seen.append((len(reply["choices"]), said, streamed, written))
    print(
        f"n {choices}: {len(reply['choices'])} choice{'s' * (choices > 1)}, usage {said}, streamed {streamed}; the server's counter: {written}",
        flush=True,
    )
before = counted("prompt_tokens_total")
prompts = [list(range(300 + 10 * start, 310 + 10 * start)) * length for start, length in ((0, 1), (1, 2), (2, 3))]
said = json.loads(ask("/v1/completions", {"prompt": prompts, "max_tokens": 1}))["usage"]["prompt_tokens"]
read = counted("prompt_tokens_total") - before
print(f"prompts of 10, 20 and 30 tokens: usage {said}; the server's counter: {read}")
if seen != [(1, TOKENS, [TOKENS], TOKENS), (4, TOKENS, [TOKENS] * 4, 4 * TOKENS)] or (said, read) != (10, 60):
    sys.exit("not as seen")
PY
env/bin/python usage.py 2>log || { tail -5 log; exit 1; }
