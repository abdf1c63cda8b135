# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="objectives" tags=["objectives"]
# # 12 · The edge: users to the nearest server that answers
#
# Three regions, one name, and a small program close to every user that decides who goes where. The guide's fits on half a page
# and passes every linter. It sends almost everybody to America, and it falls over with the first server. Here it runs in
# Cloudflare's own runtime, in front of three real llama-servers.
#
# **When you are done you can**
#
# - send users from everywhere to their region, and those from nowhere in particular somewhere
# - forward a request as it was sent, with a key of your own and never the client's
# - go on to the next region when one is down or hangs, and to nobody once a reply has begun
# - keep residents of the EU in the EU, also when that means no

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("12-edge", submission=submission, seed=seed)
lab

# %% [markdown] id="edge-text"
# ## Three regions and an edge
#
# `lab.edge()` starts a llama-server for each region, each asking for the origins' key, and `workerd`, the runtime of Cloudflare
# Workers, with your `worker.js`. The origins have their names (`https://us-east.llama.example.com`), so the same file would run
# on Cloudflare. What Cloudflare knows of a user is in `request.cf`, and in headers that it adds (`CF-IPCountry`, `CF-Ray`,
# `X-Forwarded-For`, …); here each request brings them along.

# %% id="edge"
edge = lab.edge()
edge

# %% [markdown] id="map-text" tags=["prediction"]
# ## Where do they go?
#
# The guide looks `geo.country` up in a table of `US`, `EU` and `ASIA`. **Predict**: of 146 countries, how many are sent to a
# region that is not theirs? (Theirs is the one of their continent: the Americas `us`, Europe and Africa `eu`, Asia and Oceania
# `asia`.)

# %% id="predict-map"
lab.predict(countries_elsewhere=20)

# %% id="map"
world = edge.map()

# %% id="map-said" tags=["compare"]
world

# %% id="map-figure" tags=["figure"]
world.plot()

# %% [markdown] id="map-after"
# A country is two letters (ISO 3166-1), and `EU` and `ASIA` are none of them. A continent is a field of its own,
# `request.cf.continent`: `EU`, `AS`, … And some users have neither: Tor's exits are in `T1`, and an address can be anywhere.
#
# **Your turn**, in `worker.js`: make it a module (`export default { async fetch(request, env) { … } }`), and send everybody home.
#
# ## What arrives?
#
# A user in Japan asks. `edge.seen()` is what then reached a region.

# %% id="ask"
edge.ask(country="JP")

# %% id="seen"
edge.seen()

# %% [markdown] id="keys-text"
# A client's key is for the edge, and an origin's key is for origins: `env.CLIENT_KEY` and `env.ORIGIN_KEY`, once `worker.capnp`
# binds them. Who comes without the first is told `401` here and costs an origin nothing.

# %% id="without-key"
edge.ask(country="JP", key=False)

# %% [markdown] id="down-text" tags=["prediction"]
# ## Down, and worse
#
# Asia's server is killed. **Predict**: what does a user in Japan see, and after how long?

# %% id="down"
edge.world.kill("asia")
edge.ask(country="JP")

# %% [markdown] id="hang-text"
# A server that is down says so. One that hangs takes your connection and says nothing, and a timeout has to tell it from one that
# is only slow: a reply of a thousand tokens that is not streamed is silent for seconds too. Send that one to the next region, and
# two servers work on it: the first goes on to its last token while anything else is running there, although nobody listens any more
# (of 600 tokens that were asked for and left, 600 were generated; of a stream, next to none).

# %% id="hang"
edge.world.restore()
edge.world.hang("asia")
edge.ask(country="JP")

# %% id="slow"
edge.world.restore()
edge.ask(country="JP", tokens=1500)

# %% [markdown] id="slow-after"
# Whoever is late can be asked whether they are alive: `/health` is answered in a millisecond or two, also with every slot busy,
# while requests come one after another. When more connections than its slots and four arrive at the same moment, some of them, and
# `/health` with them, can wait for seconds until a stream ends (llama-server b11549; `--threads-http` as large as the burst cures
# it). So a late answer to `/health` is a strong hint and no proof: here it costs a second generation at most. (The list of who was
# asked is of the generations alone.)
#
# Once the first token is with the user, there is no second try: half a reply and another beginning make no reply. But a stream
# that stops has to be ended, or the client waits for ever. `AbortSignal.timeout` on the fetch is no way to do that. While you pass
# the body on untouched, the signal is over with the headers, and a stream that stops is not ended; once your worker reads the body
# itself (`getReader`, `pipeThrough`), the signal still counts, and cuts a healthy stream that takes longer (workerd
# 1.20261117). Count the time between two pieces.
#
# ## Some may not leave
#
# For residents of the EU (`request.cf.isEUCountry` is `"1"`) another continent is no second best.

# %% id="resident"
edge.world.kill("eu")
edge.ask(country="DE")

# %% id="no-resident"
edge.ask(country="GB")

# %% id="restore"
edge.world.restore()

# %% [markdown] id="added-text" tags=["prediction"]
# ## What the edge costs
#
# **Predict**: how many milliseconds does it add?

# %% id="predict-added"
lab.predict(added_ms=20)

# %% id="added"
added = edge.added()
added

# %% id="added-figure" tags=["figure"]
added.plot()

# %% [markdown] id="check-text"
# ## Check
#
# The grader starts its own regions and your worker, sends users from everywhere, kills and hangs regions, and looks at what reached
# whom. About half a minute.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - sent users home by a field that exists, and had an answer for those without
# - passed requests on as they were, and keys not at all
# - told down from slow, and went on to the next region before the first token and never after it
# - said no where no was the answer

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# To read on: Cloudflare's pages on `request.cf`, on the migration from service workers to modules, and on Load Balancing's
# steering policies, which are the bought form of what you wrote.
