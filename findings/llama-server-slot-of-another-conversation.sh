#!/usr/bin/env bash
# xllamacpp 2026.10.11549 (llama.cpp's server, b11549): a new conversation takes another one's slot while seven slots are empty.
#
# Behaviour seen: with the default `slot_prompt_similarity` (0.1) a request gets the idle slot whose prompt is most like its own. Two
# conversations that begin with the same long system prompt are alike, so the second one is put over the first, and what the first had
# beyond the common part is dropped; the prompt cache in memory (`cache_ram`) saves a slot only where less than half of it is kept. The
# first conversation's next turn then computes its earlier turn again. With a similarity of 0 the slot used longest ago is taken, each
# slot is saved, and nothing is computed twice.
# Near by: ggml-org/llama.cpp pull request 22083 (open) turns the search for a likeness off where idle slots are saved and there is one slot.
# What to do: with long system prompts set `--slot-prompt-similarity 0`, or send a session's `id_slot`.
# Output seen:
#   default: first in slot 7, second in slot 7; the first one's next turn found 200 of its 260 known tokens
#   similarity 0: first in slot 7, second in slot 6; the first one's next turn found 260 of its 260 known tokens
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
cat >slots.py <<'PY'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, WORDS = 64, 1000
random = numpy.random.default_rng(1)


def model(path):
    """A llama of two blocks with random weights and a vocabulary of its own."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(8192)
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


def three(similarity):
    """The replies to one conversation, another one, and the first one's next turn."""
    params = xllamacpp.CommonParams()
    params.model.path = "small.gguf"
    params.n_parallel, params.n_ctx, params.port = 8, 8192, 0
    params.hostnames = ["127.0.0.1"]
    params.warmup = False
    if similarity is not None:
        params.slot_prompt_similarity = similarity
    server = xllamacpp.Server(params)
    system, one, other, more = (list(range(300 + start, 300 + start + count)) for start, count in ((0, 200), (200, 60), (300, 60), (400, 60)))
    replies = []
    for prompt in (system + one, system + other, system + one + more):
        body = json.dumps({"prompt": prompt, "n_predict": 4, "ignore_eos": True, "cache_prompt": True}).encode()
        request = urllib.request.Request(f"{server.listening_address}/completion", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            replies.append(json.load(reply))
    return replies


model("small.gguf")
for name, similarity, known in (("default", None, 200), ("similarity 0", 0.0, 260)):
    first, second, again = three(similarity)
    found = again["timings"]["cache_n"]
    print(
        f"{name}: first in slot {first['id_slot']}, second in slot {second['id_slot']}; "
        f"the first one's next turn found {found} of its 260 known tokens",
        flush=True,
    )
    if found != known or (first["id_slot"] == second["id_slot"]) != (similarity is None):
        sys.exit("not as seen")
PY
env/bin/python slots.py 2>log || { tail -5 log; exit 1; }
