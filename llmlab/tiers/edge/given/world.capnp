using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "world", worker = .world),
    (name = "regions", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", http = (style = proxy), service = "world")],
);

const world :Workerd.Worker = (
  modules = [(name = "world.js", esModule = embed "world.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["enable_request_signal"],
  globalOutbound = "regions",
  bindings = [
    (name = "HOSTS", json = embed "hosts.json"),
    (name = "ADDRESSES", json = embed "addresses.json"),
    (name = "FETCHED", json = embed "fetched.json"),
  ],
);
