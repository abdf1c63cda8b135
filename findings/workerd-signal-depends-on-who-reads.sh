#!/usr/bin/env bash
# workerd 1.20261117.1: whether `AbortSignal.timeout()` on a fetch counts while the body is read depends on who reads it.
#
# Behaviour seen: an origin streams for three seconds; a worker fetches it with a signal of one second. Passed on untouched (`return reply`)
# the stream arrives whole: the signal was over with the headers. Read by the worker and written on (`getReader`) the same stream is cut
# after a second. So a time-out that was tried on a proxy that passes on begins to cut healthy streams with the first line that looks at
# them, and a stream that stops is not ended by it before.
# What to do: time the pieces of a stream yourself, and give the fetch no signal with a time-out.
# Output seen:
#   passed on: whole
#   read by the worker: cut
set -euo pipefail
folder=$(mktemp -d)
running=()
trap 'kill "${running[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save workerd@1.20261117.1 >/dev/null
cat >origin.mjs <<'JS'
import http from "node:http";
import fs from "node:fs";
const server = http.createServer(async (request, response) => {
  for (let count = 0; count < 12; count++) {
    response.write("piece\n");
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  response.end("end\n");
});
server.listen(0, "127.0.0.1", () => fs.writeFileSync("port", String(server.address().port)));
JS
cat >worker.js <<'JS'
export default {
  async fetch(request, env) {
    const reply = await fetch(env.ORIGIN, { signal: AbortSignal.timeout(1000) });
    if (new URL(request.url).pathname === "/passed-on") return reply;
    const reader = reply.body.getReader();
    return new Response(new ReadableStream({
      async pull(controller) {
        const next = await reader.read();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
    }));
  },
};
JS
node origin.mjs &
running+=($!)
until [ -s port ]; do sleep 0.1; done
free=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
cat >config.capnp <<CAP
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "out", network = (allow = ["private", "public"]))],
  sockets = [(name = "http", address = "127.0.0.1:$free", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  bindings = [(name = "ORIGIN", text = "http://127.0.0.1:$(cat port)/")],
  compatibilityDate = "2026-11-01", globalOutbound = "out"
);
CAP
node_modules/.bin/workerd serve config.capnp >log 2>&1 &
running+=($!)
until (exec 3<>"/dev/tcp/127.0.0.1/$free") 2>/dev/null; do sleep 0.1; done
look() { if curl -sN --max-time 20 "http://127.0.0.1:$free/$1" 2>/dev/null | grep -q '^end$'; then echo whole; else echo cut; fi; }
said="passed on: $(look passed-on)
read by the worker: $(look read)"
echo "$said"
[ "$said" = $'passed on: whole\nread by the worker: cut' ]
