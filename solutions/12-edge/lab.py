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

lab = Lab.here("12-edge")
lab

# %% [markdown] id="edge-text"
# ## Three regions and an edge
#
# `lab.edge()` starts a llama-server for each region, each asking for the origins' key, and
# [`workerd`](https://github.com/cloudflare/workerd), the runtime of Cloudflare Workers, with your `worker.js`. The origins have
# their names (`https://us-east.llama.example.com`), so the same file would run on Cloudflare. What Cloudflare knows of a user is
# in [`request.cf`](https://developers.cloudflare.com/workers/runtime-apis/request/), and in headers that it adds (`CF-IPCountry`,
# `CF-Ray`, `X-Forwarded-For`, …); here each request brings them along.
#
# You edit [worker.js](worker.js) and [worker.capnp](worker.capnp). Save, and the next call of `edge` starts the worker again with
# what you saved. A check ends the edge; `edge = lab.edge()` starts a new one in a few seconds.

# %% id="edge"
edge = lab.edge()
edge

# %% [markdown] id="graded"
# ## What is graded
#
# - `starts`, `geography`: a user gets tokens, and everybody is sent to their region; users without a known place to `us`
# - `untouched`, `keys`: a request arrives as it was sent, with the origin's key; without the client's key it reaches nobody
# - `down`, `hung`, `slow`: the next region answers when one is down or hangs; a slow one is not asked twice
# - `streaming`, `no-retry`, `stall`: a stream passes as it is written, is never begun again, and is ended when it stops
# - `residency`, `honest`: a resident of the EU is answered there or with 503; with everything down the answer is an error in JSON

# %% [markdown] id="map-text" tags=["prediction"]
# ## Where do they go?
#
# The guide looks `geo.country` up in a table of `US`, `EU` and `ASIA`. **Predict**: of 146 countries, how many are sent to a
# region that is not theirs? (Theirs is the one of their continent: the Americas `us`, Europe and Africa `eu`, Asia and Oceania
# `asia`.)

# %% id="predict-map"
lab.predict(countries_sent_elsewhere=20)

# %% id="map"
world = edge.map()

# %% id="map-said" tags=["compare"]
world

# %% id="map-compare"
lab.compare(countries_sent_elsewhere=world.value("the guide's"))

# %% id="map-figure" tags=["figure"]
world.plot()

# %% [markdown] id="map-after"
# Each tile is a country, its colour the region that its users reached; a frame says that it is not theirs. With the guide's worker
# every tile has the colour of `us`, and all but the Americas are framed. A country is two letters (ISO 3166-1), and `EU` and
# `ASIA` are no countries, so the table finds nobody but the `US`. A continent is a field of its own, `request.cf.continent`: `EU`,
# `AS`, … Some users have neither: Tor's exits are in `T1`, and an address can be anywhere.
#
# **Your turn: the nearest region.** The guide's file is of the old kind, a script. Make it
# [a module](https://developers.cloudflare.com/workers/reference/migrate-to-module-workers/), which gets its keys as `env`:
#
# - in `worker.js`: `export default { async fetch(request, env) { … } };` instead of `addEventListener`, and a table by continent
# - in `worker.capnp`: `modules = [(name = "worker.js", esModule = embed "worker.js")],` instead of `serviceWorkerScript`
#
# Run `edge.map()` again until no tile of yours is framed, then check.

# %% id="check-geography"
lab.check("geography")

# %% [markdown] id="arrives-text"
# ## What arrives?
#
# A user in Japan asks. `edge.seen()` is what then reached a region.

# %% id="ask"
edge = lab.edge()
edge.ask(country="JP")

# %% id="seen"
edge.seen()

# %% [markdown] id="keys-text"
# The client's key arrives at the origin, which does not know it and says `401`. A client's key is for the edge, and an origin's
# key is for origins.
#
# **Your turn: two keys.** In `worker.capnp` bind both, inside the worker's parentheses:
#
# ```
# bindings = [
#   (name = "CLIENT_KEY", fromEnvironment = "CLIENT_KEY"),
#   (name = "ORIGIN_KEY", fromEnvironment = "ORIGIN_KEY"),
# ],
# ```
#
# In `worker.js` they are then `env.CLIENT_KEY` and `env.ORIGIN_KEY`. A request without `Authorization: Bearer` and the first is
# told `401` by the worker and costs an origin nothing. Every other one goes on with the second in its place, and is otherwise as it
# came: method, path, query (is it in `pathname`?), headers and body.
#
# **Go on when the next cell says `HTTP 200`.** Everything after it asks an origin for tokens.

# %% id="gate"
edge.ask(country="JP")

# %% id="without-key"
edge.ask(country="JP", key=False)

# %% id="check-keys"
lab.check("starts", "untouched", "keys")

# %% [markdown] id="down-text" tags=["prediction"]
# ## Down, and worse
#
# Asia's server is killed. **Predict**: which HTTP status does a user in Japan get from your worker now, and after how many
# seconds?

# %% id="predict-down"
lab.predict(answer_with_asia_down="HTTP 502", seconds_with_asia_down=1)

# %% id="down"
edge = lab.edge()
edge.world.kill("asia")
down = edge.ask(country="JP")
down

# %% id="down-compare"
lab.compare(answer_with_asia_down=down.value("answer"), seconds_with_asia_down=down.value("seconds"))

# %% [markdown] id="hang-text"
# A server that is down refuses the connection at once. One that hangs takes the connection and says nothing, and a timeout has to
# tell it from one that is only slow: a reply of a thousand tokens that is not streamed is silent for seconds too. If a slow request
# is sent to the next region as well, two servers work on it: the first one goes on to its last token while anything else is running
# there, although nobody listens any more (of 600 tokens that were asked for and left, 600 were generated; of a stream, next to
# none).

# %% id="hang"
edge.world.restore()
edge.world.hang("asia")
edge.ask(country="JP")

# %% id="slow"
edge.world.restore()
edge.ask(country="JP", tokens=1500)

# %% [markdown] id="slow-after"
# A server that is late can be asked whether it is alive: `/health` is answered in a millisecond or two, also with every slot busy,
# while requests come one after another. When more connections than its slots and four arrive at the same moment, some of them, and
# `/health` with them, can wait for seconds until a stream ends (llama-server b11549; `--threads-http` as large as the burst
# prevents it). So a late answer to `/health` is a strong sign and no proof: here the price of an error is a second generation at
# most. (`asked:` lists completions only, not `/health`.)
#
# **Your turn: the next region.** Give each continent a list of regions, nearest first. Go on to the next one when the first is down
# (an exception of `fetch`, or a status of 500 or more), and when it is late *and* `/health` is silent too. A body can be read once,
# so keep it: `await request.arrayBuffer()`. To wait for whichever comes first,
# [`Promise.race`](https://developer.mozilla.org/en-US/docs/Web/JavaScript/Reference/Global_Objects/Promise/race) takes the fetch
# and a timer.

# %% id="check-down"
lab.check("down", "hung", "slow")

# %% [markdown] id="stall-text"
# ## A stream that stops
#
# Once the first token is with the user, there is no second try: half of one reply and the start of another are no reply. But a
# stream that stops has to be ended, or the client waits for ever.
#
# `AbortSignal.timeout` on the fetch cannot do that. While you pass the body on untouched, the signal ends with the headers, and a
# stream that stops is not ended. Once your worker reads the body itself (`getReader`, `pipeThrough`), the signal still counts, and
# cuts a healthy stream that takes longer (workerd 1.20261117). So count the time between two pieces.
#
# **Your turn: end what stops.** Read the reply's body piece by piece and write it to a
# [stream](https://developers.cloudflare.com/workers/runtime-apis/streams/) of your own; when the next piece takes longer than a few
# seconds, end it with an error. This is the hardest part of the lab, about twenty lines: `lab.hint("stall")` three times gives you
# their core. `streaming` reads a stream of half a minute to its end, so the check at the end of this lab looks at it.

# %% id="check-stall"
lab.check("no-retry", "stall")

# %% [markdown] id="residents-text"
# ## Some may not leave
#
# For residents of the EU (`request.cf.isEUCountry` is `"1"`) another continent is no second best: their data stay in the EU. The EU's
# server is killed, and a resident asks, then somebody who is none.

# %% id="resident"
edge = lab.edge()
edge.world.kill("eu")
edge.ask(country="DE")

# %% id="no-resident"
edge.ask(country="GB")

# %% [markdown] id="residents-after"
# **Your turn: the only region.** A resident's list has one region, `eu`. Where a list is through, the answer is the worker's own: 503
# and a JSON body with an `error`, which an OpenAI client can show.

# %% id="check-residents"
lab.check("residency", "honest")

# %% [markdown] id="added-text" tags=["prediction"]
# ## What the edge costs
#
# **Predict**: how many milliseconds does it add to a small reply?

# %% id="predict-added"
lab.predict(milliseconds_added_by_the_edge=20)

# %% id="added"
edge = lab.edge()
added = edge.added()
added

# %% id="added-compare"
lab.compare(milliseconds_added_by_the_edge=added.value("added ms"))

# %% id="added-figure" tags=["figure"]
added.plot()

# %% [markdown] id="added-after"
# Each line says which share of the requests was answered within so many milliseconds. The distance between the two, read at one
# half, is what the worker adds. All of it runs on one machine: on the real edge the worker is close to the user, and the way to the
# region is the long part.

# %% [markdown] id="check-text"
# ## Check
#
# The grader starts its own regions and your worker, sends users from everywhere, kills and hangs regions, and looks at what reached
# whom. About a minute, half of it for one long stream.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - sent users home by a field that exists, and had an answer for users without one
# - passed requests on as they were, and keys not at all
# - told down from slow, and went on to the next region before the first token and never after it
# - said no where no was the answer

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [13 · Three regions, one name](../13-regions/13-regions.ipynb): the same without a worker, by DNS and proxies. To read on: Cloudflare's
# [Load Balancing](https://developers.cloudflare.com/load-balancing/), whose steering policies are the bought form of what you wrote.
