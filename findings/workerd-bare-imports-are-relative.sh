#!/usr/bin/env bash
# workerd 1.20261117.1: a bare import (`import x from "hono"`) is looked for beside the file that imports it, not among the worker's modules.
#
# Behaviour seen: a worker whose main module is named "src/worker.js" imports "hono". A module that the configuration names "hono" is not
# found; one named "src/hono" is. So the same two modules work or fail with the folder that the main module's name happens to have, and
# the message speaks of a name that nobody wrote ("src/hono"). The new module registry (`new_module_registry`), which resolves by URL,
# does the same and says "file:///bundle/src/hono". Node and browsers never take a bare import for a relative one.
# What to do: give the main module a name without a folder, or bundle first; to a reader of the message: cut the main module's folder off.
# Output seen:
#   worker.js, module hono: found
#   src/worker.js, module hono: No such module "src/hono"
#   src/worker.js, module src/hono: found
#   src/worker.js, module hono, new registry: Module not found: file:///bundle/src/hono
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent workerd@1.20261117.1 >/dev/null
workerd=$folder/node_modules/.bin/workerd
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

serve() { # main module's name, the other's, flags: what a visitor gets, or why it does not start
    cat >worker.capnp <<CAPNP
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:$port", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [
    (name = "$1", esModule = "import x from 'hono'; export default { fetch() { return new Response(x); } };"),
    (name = "$2", esModule = "export default 'found';"),
  ],
  compatibilityDate = "2026-01-01", compatibilityFlags = [$3],
);
CAPNP
    "$workerd" serve --experimental worker.capnp 2>said &
    server=$!
    curl -sf --retry 20 --retry-connrefused --retry-delay 1 -m 5 "http://127.0.0.1:$port/" 2>/dev/null >page || true
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
    if [ -s page ]; then cat page; else sed -n '1s/.*Uncaught Error: \([^,]*\)/\1/p' said | sed 's/\.$//'; fi
}

said=$(
    echo "worker.js, module hono: $(serve worker.js hono '')"
    echo "src/worker.js, module hono: $(serve src/worker.js hono '')"
    echo "src/worker.js, module src/hono: $(serve src/worker.js src/hono '')"
    echo "src/worker.js, module hono, new registry: $(serve src/worker.js hono '"new_module_registry"')"
)
echo "$said"
[ "$said" = 'worker.js, module hono: found
src/worker.js, module hono: No such module "src/hono"
src/worker.js, module src/hono: found
src/worker.js, module hono, new registry: Module not found: file:///bundle/src/hono' ]
