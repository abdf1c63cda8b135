#!/usr/bin/env bash
# HAProxy passes each piece of a chunked stream on about 0.2 s late, as long as nothing follows it: a model that writes fewer than five
# tokens a second is seen a token late, and the first token of any reply is late by as much. `option http-no-delay` ends that. A reply that
# is only measured at its end shows nothing of it, so it looks like a slow prefill.
#
# Seen with HAProxy 2.6.12 (Debian 12), below, and in the same way with 3.0.11 (Debian 13); the origin sets TCP_NODELAY, so the wait is the
# proxy's. The likely cause: it asks the kernel to wait for more (MSG_MORE), which does so for 200 ms. Its manual's words on the option are
# about small pieces in general.
# Output seen:
#   HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/
#   tokens every 400 ms, each late by (ms): [206, 206, 206, 0]; with option http-no-delay: [0, 0, 0, 0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4; do
    apt-get download -qq "$package" 2>/dev/null || { echo "not to be had here: $package"; exit 2; }
done
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu

cat >try.py <<'PY'
import socket, subprocess, threading, time

PIECES, GAP = 4, 0.4  # seconds between two tokens
sent = {}


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def origin(listener):
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(PIECES):
            time.sleep(GAP)
            body = b'data: {"token": %d}\n\n' % number
            sent[number] = time.monotonic()
            client.sendall(b"%x\r\n%s\r\n" % (len(body), body))
        client.sendall(b"0\r\n\r\n")
        client.close()


def late(option, behind):
    port = free()
    with open("proxy.cfg", "w") as file:
        file.write(f"""
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    {option}
listen door
    bind 127.0.0.1:{port}
    server model 127.0.0.1:{behind}
""")
    proxy = subprocess.Popen(["root/usr/sbin/haproxy", "-db", "-f", "proxy.cfg"], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        client.sendall(b"GET / HTTP/1.1\r\nHost: model\r\n\r\n")
        got, seen = b"", {}
        while not got.endswith(b"0\r\n\r\n"):
            got += client.recv(4096)
            for number in range(PIECES):
                if b'"token": %d}' % number in got:
                    seen.setdefault(number, time.monotonic())
        return [round(1000 * (seen[number] - sent[number])) for number in range(PIECES)]
    finally:
        proxy.kill()
        proxy.wait()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=origin, args=(listener,), daemon=True).start()
behind = listener.getsockname()[1]
usual, quick = (late(option, behind) for option in ("", "option http-no-delay"))
print(f"tokens every {1000 * GAP:.0f} ms, each late by (ms): {usual}; with option http-no-delay: {quick}")
assert all(100 <= wait <= 350 for wait in usual[:-1]), usual  # the last one goes out with the end
assert all(wait < 50 for wait in quick), quick
PY
root/usr/sbin/haproxy -v | sed -n 1p
python3 try.py
