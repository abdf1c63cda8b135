#!/usr/bin/env bash
# xllamacpp 2026.10.11549 (llama.cpp's server, b11549): a stream that `max_tokens` ends loses its last words where a stop word could begin.
#
# Behaviour seen: a model writes ` w0 w1 … w9` and ends there by its limit of ten tokens; the request's stop word is `w9 w99`. In one piece the
# reply has all ten words. Streamed it has nine: ` w9` may be the beginning of the stop word, so it is held back, and then it is never sent. The
# server counts ten tokens in both, and no error or finish reason tells of it. All three endpoints do it.
# Cause: a piece that is held back goes out with the next token's; at the limit there is none, and the last event of a stream has no text
# (tools/server/server-context.cpp, `process_token`).
# What it costs: a stop word that begins as ordinary text does ("\n\nUser:", "```\n") takes the end of cut replies away, of streams alone. A
# grader that compares streams with replies in one piece sees two texts at temperature 0.
# What to do: compare like with like, and give limited replies stop words that begin as nothing else does.
# Output seen:
#   /completion: in one piece 10 words, streamed 9; tokens 10 and 10
#   /v1/completions: in one piece 10 words, streamed 9; tokens 10 and 10
#   /v1/chat/completions: in one piece 10 words, streamed 9; tokens 10 and 10
#   without a stop word: in one piece 10 words, streamed 10
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
cat >stop.py <<'PY'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, TOKENS = 64, 10


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


def events(path, body):
    """The events of a reply; one in one piece is one event."""
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        text = reply.read().decode()
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")] if body["stream"] else [json.loads(text)]


def text(event):
    """What an event, or a reply in one piece, adds to the text."""
    for choice in event.get("choices", [{"text": event.get("content")}]):
        return choice.get("text") or (choice.get("message") or choice.get("delta") or {}).get("content") or ""
    return ""


def told(path, stop, stream):
    """The words of a reply, and how many tokens the server says it has."""
    found = events(path, ASKED[path] | {"stop": stop, "stream": stream, "temperature": 0, "stream_options": {"include_usage": True}})
    said = [event["usage"]["completion_tokens"] if event.get("usage") else event.get("tokens_predicted") for event in found]
    return "".join(map(text, found)).split(), [count for count in said if count][-1]


model("small.gguf")
params = xllamacpp.CommonParams()
params.model.path = "small.gguf"
params.n_parallel, params.n_ctx, params.port = 1, 1024, 0
params.hostnames = ["127.0.0.1"]
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
ASKED = {
    "/completion": {"prompt": [10 + 3], "n_predict": TOKENS},  # the token of a line's end
    "/v1/completions": {"prompt": [10 + 3], "max_tokens": TOKENS},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "count"}], "max_tokens": TOKENS},
}
good = True
for path in ASKED:
    (whole, counted), (streamed, also) = told(path, ["w9 w99"], False), told(path, ["w9 w99"], True)
    print(f"{path}: in one piece {len(whole)} words, streamed {len(streamed)}; tokens {counted} and {also}", flush=True)
    good &= whole == [f"w{number}" for number in range(TOKENS)] and streamed == whole[:-1] and counted == also == TOKENS
whole, streamed = (told("/completion", [], stream)[0] for stream in (False, True))
print(f"without a stop word: in one piece {len(whole)} words, streamed {len(streamed)}")
if not good or whole != streamed:
    sys.exit("not as seen")
PY
env/bin/python stop.py 2>log || { tail -5 log; exit 1; }
