#!/usr/bin/env bash
# HAProxy's `balance random` draws two servers and takes the one with less to do. When both are at their `maxconn` it does not look further:
# the request waits in one's queue although a third server is idle. `leastconn` and `roundrobin` pass full servers over. For servers with few
# slots (an LLM server's `maxconn` is its number of slots) that is a wait of a whole reply: with two of three busy, for about two requests in
# five.
#
# Seen with HAProxy 2.6.12 (Debian 12), below; with 3.0.11 (Debian 13) 23 and 30 of 60. Its manual calls the two draws a way to limit the load of the
# busiest server, and does not say what happens when both are full.
# Output seen:
#   HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/
#   requests that waited with one of three servers idle: random 16 of 60, leastconn 0 of 60, roundrobin 0 of 60
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
import contextlib, socket, subprocess, threading, time

SERVERS, TRIES = 3, 60


def answer(client):
    asked = b""
    while b"\r\n\r\n" not in asked:
        part = client.recv(4096)
        if not part:
            return client.close()
        asked += part
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    if asked.startswith(b"GET /hold"):
        client.sendall(head + b"Content-Length: 100\r\n\r\n.")
        with contextlib.suppress(ConnectionResetError):
            client.recv(1)  # until the other side leaves
    else:
        client.sendall(head + b"Content-Length: 1\r\n\r\n.")
    client.close()


def origin(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def ask(port, path):
    """The connection, and whether a byte of the reply's body came within 0.3 s."""
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(0.3)
    client.sendall(b"GET %s HTTP/1.1\r\nHost: model\r\n\r\n" % path)
    got = b""
    try:
        while not got.endswith(b"\r\n\r\n."):
            got += client.recv(4096)
        return client, True
    except TimeoutError:
        return client, False


def waited(policy, behind):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = "\n".join(f"    server s{number} 127.0.0.1:{each} maxconn 1" for number, each in enumerate(behind))
    with open("proxy.cfg", "w") as file:
        file.write(f"""
defaults
    mode http
    option abortonclose
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
listen door
    bind 127.0.0.1:{port}
    balance {policy}
{servers}
""")
    proxy = subprocess.Popen(["root/usr/sbin/haproxy", "-db", "-f", "proxy.cfg"], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        held = []
        while len(held) < SERVERS - 1:
            client, came = ask(port, b"/hold")
            held.append(client) if came else client.close()
        late = 0
        for _ in range(TRIES):
            client, came = ask(port, b"/")
            client.close()
            late += not came
            time.sleep(0.02)  # the proxy hears of the end
        return late
    finally:
        proxy.kill()
        proxy.wait()


listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(SERVERS)]
for listener in listeners:
    threading.Thread(target=origin, args=(listener,), daemon=True).start()
behind = [listener.getsockname()[1] for listener in listeners]
late = {policy: waited(policy, behind) for policy in ("random", "leastconn", "roundrobin")}
print(
    "requests that waited with one of three servers idle: "
    + ", ".join(f"{policy} {count} of {TRIES}" for policy, count in late.items())
)
assert late["random"] >= TRIES / 5, late
assert late["leastconn"] == late["roundrobin"] == 0, late
PY
root/usr/sbin/haproxy -v | sed -n 1p
python3 try.py
