// The lab's internet: it knows the origins by name, notes what reached each, and passes it on as it came.
// On the way Cloudflare adds headers to what a worker fetches, and takes one away: FETCHED says which.
// An origin that is down answers 521, as Cloudflare says it of one that refuses; one that hangs does not answer.
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const name = env.HOSTS[url.hostname];
    const body = request.body ? await request.arrayBuffer() : undefined;
    const text = body ? new TextDecoder().decode(body) : "";
    const path = url.pathname + url.search;
    const headers = new Headers(request.headers);
    for (const header of env.FETCHED.removed) headers.delete(header);
    for (const [header, value] of Object.entries(env.FETCHED.added)) headers.set(header, value);
    console.log(JSON.stringify({ region: name ?? url.hostname, method: request.method, path, headers: [...headers], body: text }));
    if (!name) return new Response("error code: 1016", { status: 530 });
    try {
      return await fetch(env.ADDRESSES[name] + path, { method: request.method, headers, body, signal: request.signal });
    } catch {
      return new Response("error code: 521", { status: 521 });
    }
  },
};
