#!/usr/bin/env bash
# AIPerf 0.13.0 and vLLM 0.33.0's `vllm bench serve` against llama.cpp's server (xllamacpp 2026.10.11549, b11549): a stream that the server breaks
# off with an error event is a good request.
#
# Behaviour seen: two slots share one context of 2,048 tokens (`kv_unified`, which is what llama-server does where nobody says how many slots there
# are). Two streams of 1,500 tokens fit one by one and not together: in the middle of both the server sends `data: {"error": {"code": 500, "message":
# "Context size has been exceeded.", ...}}`, and the reply ends with status 200, without a finish reason, `usage` or `[DONE]`. AIPerf reports an
# error rate of 0 % and latencies and throughput of what came; it does see that the replies are short, says that the "Server hit EOS token", and
# advises `ignore_eos:true`, which the request had. vLLM's client calls both a success, so that its goodput can count them as kept; the summary of
# inference-perf 0.7.0 had two successes and no failure as well (seen once, not run here).
# Cause: AIPerf takes a lone `data:` line for no error (transports/sse_utils.py, `inspect_message_for_error`, looks for `event: error`); vLLM's
# client skips events without choices (benchmarks/lib/endpoint_request_func.py). vLLM's own server ends a broken stream by an event of that form, too,
# as guidellm's source says (backends/openai/request_handlers.py, `_check_streaming_error`), which makes it an error there.
# What it costs: a server with too small a context looks quicker the more of its replies it loses.
# What to do: compare `usage` or the reply's length with what was asked, or count replies without a finish reason.
# Output seen:
#   on the wire: 2 of 2 streams broken off, ['Context size has been exceeded.'], status 200, after 1924 tokens of 3000
#   vLLM's client: 2 of 2 a success
#   AIPerf: 2 requests completed, error rate 0.0 %, errors []
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6 aiohttp==3.13.2 tqdm==4.67.1 regex==2025.11.3
python3 -m venv aiperf
aiperf/bin/pip install -q aiperf==0.13.0
# The wheel's one file: the client needs nothing else of vLLM.
env/bin/pip download -q --no-deps -d . vllm==0.33.0
python3 - <<'PY'
import glob, zipfile
name = "vllm/benchmarks/lib/endpoint_request_func.py"
with zipfile.ZipFile(glob.glob("vllm-*.whl")[0]) as wheel, open("vllm_client.py", "wb") as file:
    file.write(wheel.read(name))
PY
# AIPerf counts words with it.
aiperf/bin/python - >log 2>&1 <<'PY'
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"<unk>": 0, **{f"w{number}": number + 1 for number in range(600)}}, unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<unk>", eos_token="<unk>").save_pretrained("words")
PY
cat >broken.py <<'PY'
import asyncio
import concurrent.futures
import json
import subprocess
import sys
import urllib.request

import aiohttp
import gguf
import numpy
import vllm_client
import xllamacpp

WIDTH, CLIENTS, CONTEXT, LENGTH = 64, 2, 2048, 1500


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


def wire(number):
    """The status of a stream, its tokens, and its error if it has one."""
    body = {"messages": [{"role": "user", "content": f"count {number}"}], "max_tokens": LENGTH, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        events = [json.loads(line[6:]) for line in reply if line.startswith(b"data: {")]
    tokens = sum(bool(choice["delta"].get("content")) for event in events for choice in event.get("choices", ()))
    return reply.status, tokens, [event["error"]["message"] for event in events if "error" in event]


async def asked():
    """What vLLM's client says of as many replies."""
    async with aiohttp.ClientSession() as session:
        given = [
            vllm_client.RequestFuncInput(
                prompt=f"count {number}", api_url=url, prompt_len=2, output_len=LENGTH, model="small", ignore_eos=True
            )
            for number in range(CLIENTS)
        ]
        return await asyncio.gather(*(vllm_client.async_request_openai_chat_completions(one, session) for one in given))


def profiled():
    """AIPerf's report of as many requests."""
    command = ["aiperf/bin/aiperf", "profile", "--model", "small", "--url", server.listening_address, "--endpoint-type", "chat", "--streaming"]
    command += ["--tokenizer", "./words", "--concurrency", str(CLIENTS), "--request-count", str(CLIENTS), "--isl", "20", "--osl", str(LENGTH)]
    command += ["--extra-inputs", "ignore_eos:true", "--ui", "none", "--output-artifact-dir", "report"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    with open("report/profile_export_aiperf.json") as file:
        return said, json.load(file)


model("small.gguf")
params = xllamacpp.CommonParams()
params.model.path = "small.gguf"
params.n_parallel, params.n_ctx, params.port = CLIENTS, CONTEXT, 0
params.kv_unified = True
params.hostnames = ["127.0.0.1"]
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
url = server.listening_address + "/v1/chat/completions"

with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
    replies = list(clients.map(wire, range(CLIENTS)))
broken = [error for _, _, errors in replies for error in errors]
print(
    f"on the wire: {len(broken)} of {CLIENTS} streams broken off, {sorted(set(broken))}, status {replies[0][0]}, "
    f"after {sum(tokens for _, tokens, _ in replies)} tokens of {CLIENTS * LENGTH}",
    flush=True,
)
good = broken == ["Context size has been exceeded."] * CLIENTS and {status for status, _, _ in replies} == {200}
outputs = asyncio.run(asked())
print(f"vLLM's client: {sum(output.success for output in outputs)} of {CLIENTS} a success", flush=True)
good &= all(output.success and len(output.generated_text.split()) < LENGTH for output in outputs)
said, report = profiled()
completed, rate = (int(report["completed_request_count"]["avg"]), report["request_error_rate"]["avg"])
print(f"AIPerf: {completed} requests completed, error rate {rate:.1f} %, errors {report['error_summary']}")
short = report["output_sequence_length"]["max"] < LENGTH and "Server hit EOS token" in said
if not good or (completed, rate, report["error_summary"]) != (CLIENTS, 0.0, []) or not short:
    sys.exit("not as seen")
PY
env/bin/python broken.py 2>log || { tail -5 log; exit 1; }
