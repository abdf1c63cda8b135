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
# # 09 · The front door: a Gateway that holds
#
# The guide ends its Kubernetes part with an Ingress of thirty lines. Every linter takes it, and so does every API server. It names a
# controller that was retired in March 2026, and limits requests by an annotation that no controller has ever had. There is no error,
# and no limit. Here you write what takes its place, and everything is tried from outside.
#
# **When you are done you can**
#
# - see which lines of a file nobody reads, and replace them with some that are kept
# - open one door for one host over TLS, with keys, limits for each client, and nothing of the servers' own behind it
# - let a generation be silent for a minute and a stream run for as long as it likes, and still give up on a server that hangs
# - keep a conversation with the replica that knows it, and give a canary its share and no more

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("09-front-door")
lab

# %% [markdown] id="front-text"
# ## A cluster with somebody at the door
#
# In this cluster runs [Envoy Gateway](https://gateway.envoyproxy.io/docs/). It reads the objects of the
# [Gateway API](https://gateway-api.sigs.k8s.io/), starts an Envoy for each Gateway, and tells it what your
# routes and policies say. `servers.yaml` is given: three replicas of a model, and one of the next model, the canary, with a Service each.
# The lab also brings two Secrets: `llama-tls`, a certificate for `api.example.com` by an authority of its own, and `api-keys`, with
# a key for each client. A check ends this cluster; `front = lab.front()` opens another one in about a minute.

# %% id="front"
front = lab.front()
front

# %% [markdown] id="graded"
# ## What is graded
#
# - `in-force`: no object or annotation of your files is taken by nobody
# - `served`, `hosts`, `redirect`: over TLS the door leads to the model; another host, and the servers' own paths, stay outside; plain
#   HTTP leads to HTTPS and nowhere else
# - `known-clients`, `limit`, `bodies`: no key, no answer, and the key stays at the door; 60 requests a minute for each client; 10 MiB
# - `streaming`, `silence`, `once`, `steady`: a stream comes as it is made, silence is cut after 80 s and not before, nothing is begun
#   twice, and no request is lost on an old connection
# - `sessions`, `canary`, `taken-back`, `drained`: a conversation keeps its replica, the canary gets a tenth, and neither taking it back
#   nor a rollout loses a request
# - `only-the-door`: nobody but the door reaches the servers

# %% id="apply"
app = front.apply()
app.ready(within=90)

# %% id="ingress"
front.kubectl("get ingress -n inference")

# %% id="said" tags=["compare"]
front.said()

# %% id="first"
front.ask("/v1/models")

# %% [markdown] id="first-after"
# With the guide's `ingress.yaml` you see an Ingress without an address. An Ingress is a wish; an *Ingress controller* grants it, and none
# runs here, as in every new cluster. The annotations are wishes too, each for one controller. One of them is
# known to none: `nginx.ingress.kubernetes.io/rate-limit` does not exist (it was `limit-rps`), so the limit of 100 was never there.
#
# The *Gateway API* says most of this in fields that a schema knows, and answers: each object's `status` says whether a
# controller has taken it, and why not. `front.said()` reads that for you and names the line.
#
# **Your turn: a door.** Take `ingress.yaml` out of [kustomization.yaml](kustomization.yaml) and put your four files in. Begin with
# [gateway.yaml](gateway.yaml) and [httproute.yaml](httproute.yaml); each says at its top what it is for, and `front.kubectl("explain gateway.spec.listeners")` (or `httproute.spec.rules`,
# `backendtrafficpolicy.spec`) what a field is. Then run the cells above again.
#
# - A route without `sectionName` in its `parentRefs` belongs to all listeners: the one that redirects and the one that serves need one each.
# - `/metrics`, `/slots` and `/props` are the servers' own: who asks, what is asked, and how they are run. The guide's path `/` lets everybody read them.

# %% id="check-door"
lab.check("in-force", "served", "hosts", "redirect")

# %% [markdown] id="ways-text"
# ## What it costs
#
# A proxy, and TLS on top. **Predict**: how many milliseconds later does the first token come through the door?

# %% id="predict-ms" tags=["prediction"]
lab.predict(milliseconds_added_by_the_door=5)

# %% id="front-again"
front = lab.front()
app = front.apply()
app.ready(within=90)

# %% id="ways"
ways = front.ways()
ways

# %% id="ways-compare"
lab.compare(milliseconds_added_by_the_door=ways.value("added ms"))

# %% id="ways-figure" tags=["figure"]
ways.plot(guess=lab.guess("milliseconds_added_by_the_door"))

# %% [markdown] id="ways-after"
# A dot is a request, a lane a way; right of 0 is the time to the first token, left of 0 what connecting took before it. The handshake
# is the larger part, and a client that keeps its connection pays for it once. (Your guess is marked as so much more than the direct
# way.)
#
# ## Who may come in, and how often
#
# The Gateway API has no words for keys and limits; each controller has its own. Envoy Gateway's are a
# [`SecurityPolicy`](https://gateway.envoyproxy.io/docs/tasks/security/apikey-auth/) and a
# [`BackendTrafficPolicy`](https://gateway.envoyproxy.io/docs/tasks/traffic/local-rate-limit/), which name the route that they are for in `targetRefs`. A policy whose route is not there is accepted by the
# API server, and does nothing for ever: its status stays empty.
#
# **Your turn: keys and limits.** In [policies.yaml](policies.yaml): `apiKeyAuth` with the Secret `api-keys`, and a local `rateLimit` of 60 a minute for each client.
#
# - Without `sanitize: true` the servers get to see the clients' keys.
# - A limit for each value of a header (`type: Distinct`) holds for nobody who does not send the header. And the limit looks at
#   requests after the keys have been checked: a header that was taken out there is no longer there. `forwardClientIDHeader` puts the client's
#   name in.
#
# After an edit run `front.apply()` and the next cells again. `front.said()` says at once whether a policy is in force; the checks of this
# part, and of those below, need a cluster of their own for some minutes and are left to the end.
#
# **Predict**: one client asks 119 times in eight seconds. How many of these are answered?

# %% id="predict-admitted" tags=["prediction"]
lab.predict(admitted=60)

# %% id="burst"
burst = front.burst()
burst

# %% id="burst-compare"
lab.compare(admitted=burst.value("admitted"))

# %% id="burst-figure" tags=["figure"]
burst.plot()

# %% [markdown] id="burst-after"
# Above, the requests that were admitted: hatched while they wait for a first token. Below, a panel for each client: upwards what was
# admitted in each second, downwards what was refused. With the limit in force the busy client's bars turn downwards after some seconds,
# and the calm one's never do.
#
# A limit is a bucket of 60 tokens that gets one more each second. It says how *often* somebody may ask, and not how much that costs: sixty long
# generations at once are sixty requests too, and they wait for slots. The other client has its own bucket, and waits in the
# same queue.
#
# ## How long is too long?
#
# The guide waits for 300 seconds (`proxy-read-timeout`). Here, as long as you say nothing, Envoy gives up **after 15 seconds**, whatever the model
# is doing. There are three limits, and only one of them is right for a server that streams:
#
# | limit | a reply that is silent | a stream that runs |
# |---|---|---|
# | `timeouts.request` of the route, `requestTimeout` of a policy | cut | cut as well |
# | `maxStreamDuration` | cut | cut as well |
# | `streamIdleTimeout` | cut | goes on, as long as tokens come |
#
# **Your turn: silence.** No limit on the whole request (`0s`, in the route: it wins over the policy's), and 80 s for silence. The check has one
# generation be silent for 70 s, one stream for 95 s, and one server hang.
#
# Then the opposite: what may be tried *again*? A generation that has begun costs as much the second time, and says something else. What is
# safe to retry is what no server has begun: `connect-failure`, `reset-before-request`. One thing more belongs here. llama-server closes its
# connection after each stream and does not say so beforehand; an Envoy that uses the connection again sends its request to nobody, and
# one to four streams in a hundred get 503. `circuitBreaker: {maxRequestsPerConnection: 1}` gives each request a connection of its own.
#
# ## Who answers?
#
# A llama-server keeps what it has computed for a prompt. The second turn of a conversation begins with all that was said in the first, so
# with the same replica almost nothing is left to compute. With another one, everything.
#
# Below, the same kind of conversations (four turns, a system prompt that all share) go through a second door in four ways, all in
# `balancing.yaml`: round robin, one replica after the other; the less busy of two; by a hash of the conversation's name, with bounded load; and by a *picker* of some hundred lines
# that Envoy asks before each request. It knows which beginning of a prompt it has sent to whom, and asks the
# replicas for free slots.
#
# **Predict**: which percentage of the prompt tokens is found in a cache with round robin?

# %% id="predict-cached" tags=["prediction"]
lab.predict(cached_percent_round_robin=30)

# %% id="policies"
policies = front.policies()
policies

# %% id="policies-compare"
lab.compare(cached_percent_round_robin=policies.value("round robin"))

# %% id="policies-figure" tags=["figure"]
policies.plot(guess=lab.guess("cached_percent_round_robin"))

# %% [markdown] id="policies-after"
# Above, how much of each prompt was still known, turn by turn; below, the time to the first token. The lines that keep a conversation
# with its replica climb, as each turn begins with all that was said before; with round robin each turn meets a replica that has not
# heard the last one.
#
# Least request is what Envoy does if you say nothing. It shares the work out evenly, and computes most of it anew. A hash has its price when replicas come and go:
# with Maglev, which Envoy Gateway uses, a fourth replica takes a quarter of the conversations and leaves the others where they are; Envoy's ring hash
# moves another tenth of all between the old ones (Envoy 1.40, counted).
#
# **Your turn: conversations.** `loadBalancer` with a `ConsistentHash` of the header `x-session`.
#
# ## The next model
#
# **Your turn: a canary.** Nine requests in ten go to `llama-server`, one to `llama-server-canary`: weights in `backendRefs`
# ([traffic splitting](https://gateway-api.sigs.k8s.io/guides/traffic-splitting/)). Then you look, and take it back, or give it more.

# %% id="canary"
canary = front.canary()
canary

# %% id="canary-figure" tags=["figure"]
canary.plot()

# %% [markdown] id="canary-after"
# The dashed line is the share that was stated, a point the share that was measured in about a second, its bar what chance explains. Points
# should follow the line, and a cross would be a request that failed.
#
# Is your canary's share a quarter, whatever you state? Then consistent hash and weights have met. Envoy Gateway makes *one* cluster of all backends of
# a rule, and its consistent hash knows replicas and no weights: one of four. Backends with a filter of their own get a cluster each, and then the
# weights count. A filter that says who answered (`ResponseHeaderModifier`) is of use anyway. And a conversation stays with its model.
#
# ## Round the door
#
# Keys and limits are at the door. A pod of another namespace asks the servers directly, and needs neither.
#
# **Your turn: no other way in.** A [NetworkPolicy](https://kubernetes.io/docs/concepts/services-networking/network-policies/) says who
# may; write it into [networkpolicy.yaml](networkpolicy.yaml). Its dashes matter: two items in `from` are two ways in, two selectors in *one* item must both
# fit. And it speaks of pods: their port is 8080, whatever the Service says. Nothing in the course's own cluster enforces it (that is the network plugin's part), so the check reads it as such a plugin would, and says so.
#
# ## Check
#
# The grader brings a cluster of its own up, with new keys and another certificate, and stands before your door. For some checks a witness stands behind it
# in the servers' place, which is silent, hangs or breaks off as asked, and tells what reached it. It takes two to three minutes.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - replaced wishes by fields, and read what the controller answers
# - let one host in over TLS, with a key that stays at the door and a limit for each client
# - cut silence instead of length, and began nothing twice
# - kept conversations where they are known, and gave the next model its tenth

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [10 · Terraform](../10-terraform/10-terraform.ipynb): the same servers on a cloud that somebody has to pay for. To read on: the Gateway API's
# [GEP-1742](https://gateway-api.sigs.k8s.io/geps/gep-1742/) on timeouts; Envoy's
# [FAQ on timeouts](https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts); the Gateway API inference extension, which makes an InferencePool of what the
# picker does here; `docs/front-door.md` in this repository has what was seen of the rest.
