#!/usr/bin/env bash
# Knative Serving 0.50.0, queue-proxy: past the revision's `timeoutSeconds` a stream that is running gets the words "request timeout"
# appended, and then ends as a whole reply does.
#
# Behaviour seen: a server sends one event each 0.2 s; queue-proxy stands before it with a limit of 2 s. The client gets status 200, some ten events,
# then the text `request timeout` without a line of its own, the last chunk of the chunked body, and a connection that stays open. Nothing that counts
# statuses, errors or broken connections notices: curl exits 0. A client of server-sent events drops the text as an unfinished event.
# The other one, before the first byte: 504 with the same text.
# Cause: the timeout handler writes its text into the response whatever was written before, and returns (pkg/http/handler/timeout.go).
# What it costs: with llama-server behind it, a generation that was cut is taken for one that is finished, unless the client waits for `[DONE]`
# or a finish_reason. The activator does the same, and its limit counts the waiting for an instance as well.
# Output seen:
#   status 200, 10 events, [DONE] False, ends with 'request timeout', same connection True
#   nothing sent yet: status 504, 'request timeout'
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" GOPATH="$folder/go" CGO_ENABLED=0 go install knative.dev/serving/cmd/queue@v0.50.0
cat >streams.py <<'PY'
import http.client
import http.server
import json
import os
import socket
import subprocess
import threading
import time


class Behind(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/silent":
            time.sleep(5)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(25):
            self.piece(b"data: %d\n\n" % number)
            time.sleep(0.2)
        self.piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def piece(self, text):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # queue-proxy has let go of it
            self.close_connection = True

    def log_message(self, *_):
        pass


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
user, front, tls = server.server_port, free(), free()
env = {
    "PATH": os.environ["PATH"], "CONTAINER_CONCURRENCY": "0", "QUEUE_SERVING_PORT": str(front), "QUEUE_SERVING_TLS_PORT": str(tls),
    "USER_PORT": str(user), "REVISION_TIMEOUT_SECONDS": "2", "SERVING_LOGGING_CONFIG": "", "SERVING_LOGGING_LEVEL": "error",
    "SERVING_NAMESPACE": "n", "SERVING_CONFIGURATION": "c", "SERVING_REVISION": "r", "SERVING_POD": "p", "SERVING_POD_IP": "127.0.0.1",
    "SERVING_READINESS_PROBE": json.dumps({"tcpSocket": {"port": user, "host": "127.0.0.1"}}),
}
queue = subprocess.Popen(["./queue"], env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
try:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", front), 1).close()
            break
        except OSError:
            assert time.monotonic() < until and queue.poll() is None, "queue-proxy did not come up"
            time.sleep(0.1)
    client = http.client.HTTPConnection("127.0.0.1", front, timeout=20)
    client.request("GET", "/")
    reply = client.getresponse()
    held = client.sock
    body = reply.read().decode()  # IncompleteRead where a chunked body has no end
    events, whole = body.count("data: "), "[DONE]" in body
    end = body[body.rindex("\n") + 1 :]
    client.request("GET", "/silent")
    same = held is not None and client.sock is held  # http.client would have connected again
    late = client.getresponse()
    text = late.read().decode()
    print(f"status {reply.status}, {events} events, [DONE] {whole}, ends with {end!r}, same connection {same}")
    print(f"nothing sent yet: status {late.status}, {text!r}")
    assert (reply.status, whole, end, same) == (200, False, "request timeout", True)
    assert 5 <= events <= 15
    assert (late.status, text.strip()) == (504, "request timeout")
finally:
    queue.kill()
    queue.wait()
PY
python3 streams.py
