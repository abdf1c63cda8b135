using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # The lab's internet, in which the three origins have their names. On Cloudflare it is the real one.
    (name = "internet", external = (http = (style = proxy))),
  ],
  # request.cf comes from a header here; Cloudflare fills it in from the user's address.
  sockets = [(name = "http", http = (cfBlobHeader = "x-lab-cf"), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  globalOutbound = "internet",
  bindings = [
    (name = "CLIENT_KEY", fromEnvironment = "CLIENT_KEY"),
    (name = "ORIGIN_KEY", fromEnvironment = "ORIGIN_KEY"),
  ],
);
