// Users to the nearest region that answers; residents of the EU to the EU, or nowhere.

const ORIGINS = {
  us: "https://us-east.llama.example.com",
  eu: "https://eu-west.llama.example.com",
  asia: "https://asia-east.llama.example.com",
};

const NEAREST = {
  NA: ["us", "eu", "asia"],
  SA: ["us", "eu", "asia"],
  EU: ["eu", "us", "asia"],
  AF: ["eu", "us", "asia"],
  AS: ["asia", "us", "eu"],
  OC: ["asia", "us", "eu"],
};

const FIRST_BYTE = 700; // ms without a reply, before we ask whether anybody is there
const ALIVE = 500; // ms for that answer
const STALL = 4000; // ms between two pieces of a reply that has begun

export default {
  async fetch(request, env) {
    if (request.headers.get("authorization") !== `Bearer ${env.CLIENT_KEY}`) return problem(401, "no key, or another");

    const url = new URL(request.url);
    const headers = new Headers(request.headers);
    headers.set("authorization", `Bearer ${env.ORIGIN_KEY}`);
    // Kept, so that it can be sent a second time.
    const body = request.body ? await request.arrayBuffer() : undefined;

    for (const region of regions(request.cf ?? {})) {
      const reply = await ask(ORIGINS[region], url.pathname + url.search, { method: request.method, headers, body });
      if (reply) return guarded(reply);
    }
    return problem(503, "no region that may answer does");
  },
};

function regions(cf) {
  if (cf.isEUCountry === "1") return ["eu"];
  return NEAREST[String(cf.continent ?? "").toUpperCase()] ?? NEAREST.NA;
}

// The origin's reply; nothing when it is down or hangs. A reply that takes long is no reason to ask somebody else: then
// two would work on it. So whoever is late is asked whether they are alive.
async function ask(origin, path, init) {
  const gone = new AbortController();
  const reply = fetch(origin + path, { ...init, signal: gone.signal }).catch(() => null);
  for (;;) {
    const first = await Promise.race([reply, after(FIRST_BYTE)]);
    if (first !== "late") {
      return first && first.status < 500 && first.status !== 429 ? first : null;
    }
    if (!(await alive(origin))) {
      gone.abort();
      return null;
    }
  }
}

async function alive(origin) {
  try {
    return (await fetch(origin + "/health", { signal: AbortSignal.timeout(ALIVE) })).ok;
  } catch {
    return false;
  }
}

function after(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms, "late"));
}

// Once the first byte is out there is no second try. But a stream that stops must end, or the client waits for ever.
function guarded(reply) {
  if (!reply.body) return reply;
  const reader = reply.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      const next = await Promise.race([reader.read(), after(STALL)]);
      if (next === "late") {
        controller.error(new Error("the origin stalled"));
        reader.cancel("stalled").catch(() => {});
      } else if (next.done) {
        controller.close();
      } else {
        controller.enqueue(next.value);
      }
    },
    cancel(reason) {
      return reader.cancel(reason);
    },
  });
  return new Response(body, reply);
}

function problem(status, message) {
  return Response.json({ error: { code: status, message } }, { status });
}
