#!/usr/bin/env bash
# xllamacpp 2026.10.11549 (llama.cpp's server, b11549): of two streams with one `X-Conversation-Id` the second ends the first, which then looks whole.
#
# Behaviour seen: while a long stream runs, another request comes with the same header. The first stream stops at once: status 200, the last chunk of
# a chunked body, no error event; what is missing are the finish reason and `[DONE]`. With two names, or with a header of any other name, both run to
# their end. And a client that leaves is no longer noticed: its reply is computed to the end and holds its slot.
# The header makes a stream one that can be taken up again (README-dev.md, "Resumable streaming"), "one conv maps to at most one live session"; README.md,
# which users read, does not name it. A header of that name is a likely one for whoever keeps a conversation on its replica by hashing a header.
# Cause: a new session cancels the one before (tools/server/server-stream.cpp, `create_or_replace`), and a cancelled stream ends by the same way as a
# finished one.
# What it costs: an app that asks for a title or a summary beside the answer, or a client that asks again after a time-out, cuts the reply that is
# under way, and no status, error or broken connection tells of it.
# What to do: hash a header of another name (`x-session`), or take this one away at the door; count replies without a finish reason as failed.
# Output seen:
#   one X-Conversation-Id: the first has status 200, a body that ends as it should, 37 of 3000 words, finish reason False, [DONE] False
#   two of them: the first has status 200, a body that ends as it should, 3000 of 3000 words, finish reason True, [DONE] True
#   one X-Session-Id: the first has status 200, a body that ends as it should, 3000 of 3000 words, finish reason True, [DONE] True
#   the client leaves with the first byte: 2 of 3000 tokens are written, with X-Conversation-Id 3000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
cat >conversation.py <<'PY'
import http.client
import json
import sys
import time
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, LONG, SHORT = 64, 3000, 20


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


def begun(headers, tokens):
    """A streamed reply of which the first bytes have come, and its connection."""
    body = {"messages": [{"role": "user", "content": "count"}], "max_tokens": tokens, "ignore_eos": True, "stream": True}
    line = http.client.HTTPConnection(server.listening_address.removeprefix("http://"), timeout=60)
    line.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"} | headers)
    reply = line.getresponse()
    return line, reply, reply.read(1)


def rest(line, reply, first):
    """All of a reply, and whether its body ends as a chunked one should."""
    try:
        return first + reply.read(), True
    except http.client.IncompleteRead as cut:
        return first + cut.partial, False
    finally:
        line.close()


def written():
    """How many tokens the server has written since it started, of replies that have ended; and how many slots are busy."""
    with urllib.request.urlopen(f"{server.listening_address}/metrics", timeout=60) as reply:
        values = dict(line.rsplit(" ", 1) for line in reply.read().decode().splitlines() if not line.startswith("#"))
    return int(float(values["llamacpp:tokens_predicted_total"])), int(float(values["llamacpp:requests_processing"]))


def abandoned(headers):
    """How many tokens are written of a reply whose client leaves with the first byte."""
    before, _ = written()
    line, reply, _ = begun(headers, LONG)
    line.sock and line.sock.close()
    reply.close()
    line.close()
    deadline = time.monotonic() + 60
    while written()[1] and time.monotonic() < deadline:
        time.sleep(0.02)
    return written()[0] - before


model("small.gguf")
params = xllamacpp.CommonParams()
params.model.path = "small.gguf"
params.n_parallel, params.n_ctx, params.port = 2, 2 * 4096, 0
params.hostnames = ["127.0.0.1"]
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.endpoint_metrics = True
server = xllamacpp.Server(params)

good = True
for name, first, second, cut in (
    ("one X-Conversation-Id", {"X-Conversation-Id": "c1"}, {"X-Conversation-Id": "c1"}, True),
    ("two of them", {"X-Conversation-Id": "c2"}, {"X-Conversation-Id": "c3"}, False),
    ("one X-Session-Id", {"X-Session-Id": "c4"}, {"X-Session-Id": "c4"}, False),
):
    one = begun(first, LONG)
    rest(*begun(second, SHORT))
    said, whole = rest(*one)
    words, reason, done = said.count(b'"content":" w'), b'"finish_reason":"length"' in said, said.endswith(b"data: [DONE]\n\n")
    print(
        f"{name}: the first has status {one[1].status}, a body that {'ends as it should' if whole else 'breaks off'}, "
        f"{words} of {LONG} words, finish reason {reason}, [DONE] {done}",
        flush=True,
    )
    good &= one[1].status == 200 and whole and (words < LONG) == cut and (reason, done) == (not cut, not cut)
alone, kept = abandoned({}), abandoned({"X-Conversation-Id": "c5"})
print(f"the client leaves with the first byte: {alone} of {LONG} tokens are written, with X-Conversation-Id {kept}")
if not good or alone > LONG / 2 or kept != LONG:
    sys.exit("not as seen")
PY
env/bin/python conversation.py 2>log || { tail -5 log; exit 1; }
