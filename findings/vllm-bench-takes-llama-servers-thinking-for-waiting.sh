#!/usr/bin/env bash
# vLLM 0.33.0's `vllm bench serve` against llama.cpp's server (xllamacpp 2026.10.11549, b11549) with a model that thinks: the thinking is time to
# the first token, and its tokens are said to have come in no time.
#
# Behaviour seen: a model thinks for 400 tokens and answers in 10. llama-server streams the thinking as `reasoning_content`; vLLM's client of
# /v1/chat/completions knows `reasoning` alone, the name that its own server uses. So TTFT is the time to the first word of the answer (twenty and more
# times too long here), while `usage` counts all 412 tokens: TPOT, the time of ten tokens divided by 411, is tens of times too short. A request
# whose `max_tokens` end within the thinking, as fixed lengths do, is a failed one ("Never received a valid chunk to calculate TTFT"), although all
# of its tokens came. Of its /v1/responses client the same file says that leaving the thinking out "would report the whole reasoning phase as
# time to first token".
# What it costs: a comparison of servers under a thinking model says which of them calls the field `reasoning`.
# What to do: start llama-server with `--reasoning-format none` (the thinking is then content), or measure with AIPerf 0.13.0 or
# guidellm 0.8.1, whose sources know both names.
# Output seen:
#   on the wire: 412 tokens, the first after 4 ms, the last after 102 ms: 240 µs a token
#   vLLM's client: 412 tokens, the first after 79 ms, the last after 80 ms: 4 µs a token
#   100 tokens, all of them thinking: on the wire 100, vLLM's client: failed
#   reasoning format none: vLLM's client: the first token after 2 ms, the last after 122 ms
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
cat >thinking.py <<'PY'
import asyncio
import json
import sys
import time
import urllib.request

import aiohttp
import gguf
import numpy
import vllm_client
import xllamacpp

WIDTH, THOUGHTS, ANSWER = 64, 400, 10
TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""


def model(path):
    """A llama whose next token follows from its last one alone: a line's end leads to w0, word to word, over the end of thinking, to the end."""
    words = [f"\u2581w{number}" for number in range(THOUGHTS + ANSWER)]
    special = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *special, *words]
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
    out.add_token_types([2, 3, 3, *[6] * 256, *[4] * len(special), *[1] * len(words)])
    out.add_eos_token_id(2)
    out.add_chat_template(TEMPLATE)
    tokens = {"token_embd": numpy.random.default_rng(1).normal(size=(len(names), WIDTH))}
    tokens["output"] = numpy.zeros((len(names), WIDTH))
    chain = [names.index(name) for name in ["<0x0A>", *words[:THOUGHTS], "</think>", *words[THOUGHTS:], "</s>"]]
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


def serve(form):
    params = xllamacpp.CommonParams()
    params.model.path = "small.gguf"
    params.n_parallel, params.n_ctx, params.port = 1, 2048, 0
    params.hostnames = ["127.0.0.1"]
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.reasoning_format = form
    return xllamacpp.Server(params)


def wire(url, most):
    """The tokens of a stream by its usage, and the seconds to its first and last delta with any text."""
    body = {"messages": [{"role": "user", "content": "count"}], "max_tokens": most, "stream": True, "stream_options": {"include_usage": True}}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    count, times, begun = 0, [], time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as reply:
        for line in reply:
            event = json.loads(line[6:]) if line.startswith(b"data: {") else {}
            if any(choice["delta"].get("content") or choice["delta"].get("reasoning_content") for choice in event.get("choices", ())):
                times.append(time.perf_counter() - begun)
            count = event["usage"]["completion_tokens"] if event.get("usage") else count
    return count, times[0], times[-1]


async def asked(url, most):
    """What vLLM's client says of a reply."""
    given = vllm_client.RequestFuncInput(prompt="count", api_url=url, prompt_len=1, output_len=most, model="small")
    async with aiohttp.ClientSession() as session:
        return await vllm_client.async_request_openai_chat_completions(given, session)


model("small.gguf")
server = serve(xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_DEEPSEEK)  # as it is by default
url = server.listening_address + "/v1/chat/completions"
count, first, last = wire(url, 1000)
said = asyncio.run(asked(url, 1000))
each, theirs = (last - first) / (count - 1), (said.latency - said.ttft) / (said.output_tokens - 1)
print(f"on the wire: {count} tokens, the first after {first * 1e3:.0f} ms, the last after {last * 1e3:.0f} ms: {each * 1e6:.0f} µs a token", flush=True)
print(
    f"vLLM's client: {said.output_tokens} tokens, the first after {said.ttft * 1e3:.0f} ms, the last after {said.latency * 1e3:.0f} ms: "
    f"{theirs * 1e6:.0f} µs a token",
    flush=True,
)
good = said.output_tokens == count == THOUGHTS + ANSWER + 2 and first < 0.5 * last and said.ttft > 0.8 * said.latency and theirs < each / 8
short, failed = wire(url, 100)[0], asyncio.run(asked(url, 100))
print(f"100 tokens, all of them thinking: on the wire {short}, vLLM's client: {'whole' if failed.success else 'failed'}", flush=True)
good &= short == 100 and not failed.success and "Never received a valid chunk" in failed.error
del server
server = serve(xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE)
plain = asyncio.run(asked(server.listening_address + "/v1/chat/completions", 1000))
print(f"reasoning format none: vLLM's client: the first token after {plain.ttft * 1e3:.0f} ms, the last after {plain.latency * 1e3:.0f} ms")
if not good or plain.ttft > 0.5 * plain.latency:
    sys.exit("not as seen")
PY
env/bin/python thinking.py 2>log || { tail -5 log; exit 1; }
