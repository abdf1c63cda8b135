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
# # 13 · Three regions, one name
#
# The guide draws a global load balancer above two regions and says no more. Which region for whom? Who notices that one is gone,
# how soon, and how long do users go on knocking? Where may their data go meanwhile? Here you decide, and users on six continents
# tell you what it was like.
#
# **When you are done you can**
#
# - lead users to the region next to them, by name, and say what a policy costs whom
# - predict how long users wait when a region is gone (threshold × interval + TTL + client), then measure it
# - drain what is slow, ignore what flaps, and take back gently what has recovered
# - keep the survivors quick when a region is missing, and residents' data at home

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("13-regions", submission=submission, seed=seed)
lab

# %% [markdown] id="world-text"
# ## The world
#
# `lab.regions()` starts three regions, each with an address, a proxy and a real llama-server, and puts distances between them and
# their users: light in fibre, there and back. Three files lead users there, and they are yours:
#
# - `llama.zone` is what the name server says: PowerDNS, whose `LUA` records can ask the regions how they are
# - `haproxy-global.cfg` is the proxy at the entry of every region, the same file everywhere
# - `regions.yaml` has the numbers of both, once, and what you promise
#
# A user does what programs do: it keeps a name's answer for its TTL, goes on with a connection that works for up to 4 s, and lets
# a request go after 1.5 s. The **residents** are customers in Berlin whose data stay in the EU; they ask for `eu.llama.example.com`.

# %% id="regions"
regions = lab.regions()
regions

# %% id="answers"
regions.answers()

# %% id="ask"
regions.ask()

# %% [markdown] id="policies-text" tags=["prediction"]
# ## A policy is an answer to a question
#
# *Failover* asks who is up, *weighted* how much goes where, *closest* who is near. Each is one line in a zone. **Predict**: how many
# milliseconds does the worst-off continent wait at the median for a small reply, if everybody is led to the closest region?

# %% id="predict-policies"
lab.predict(worst_median_ms=500)

# %% id="policies"
policies = regions.policies()
policies

# %% id="policies-figure" tags=["figure"]
policies.plot()

# %% [markdown] id="policies-after"
# With one region, somebody always pays for somebody else. And two answers in a plain `A` record are no policy: they are a coin.
#
# **Your turn**, in `llama.zone`: a record such as
#
#     @  IN LUA A "pickclosest({'127.13.1.1', '127.13.2.1', '127.13.3.1'})"
#
# leads everybody to the closest. `ifurlup(url, {addresses}, {selector='pickclosest', timeout=1})` does so among those whose URL
# answers 200; PowerDNS asks them every `health.interval` seconds. The entry of a region is `http://llama.example.com:${PORT}/…`.
# In `haproxy-global.cfg`, an entry should prefer its own region: `${LOCAL}`, then `${NEXT}`, then `${LAST}`.
#
# ## A region is gone
#
# Somebody has to notice, every resolver has to let go of the old answer, and every client of its old connection:
#
# $$ t \;\le\; \text{threshold} \times (\text{interval} + \text{timeout}) + \text{TTL} + \text{client} $$
#
# PowerDNS takes one failed check for a failure. Its checks form one round: while one address hangs, the interval of every record is as
# long as the time-out. (And a selector that does not exist is answered at random; `regions.said()` tells.) `regions.predicted()` does the sum with your numbers. What you promise stands under
# `promise` in `regions.yaml`, and you are graded by it: measured may be 20 % more, promised at most 8 s.

# %% id="predicted"
regions.predicted()

# %% [markdown] id="cut-text" tags=["prediction"]
# Killed is the kind case: a closed port answers at once. Cut off is the other one: everybody goes on talking, and nothing comes
# back. **Predict**: after how many seconds is the last user of `us` served again?

# %% id="predict-cut"
lab.predict(seconds_cut_off=30)

# %% id="cut"
cut = regions.lose("us", "cut off")
cut

# %% id="cut-figure" tags=["figure"]
cut.plot()

# %% [markdown] id="slow-text"
# ## Alive, and of no use
#
# A region can be up and too slow to be of use. Its server answers everything 2 s late now, health checks too. A check that waits
# long enough says all is well.
#
# **Your turn**, in `haproxy-global.cfg`: `option httpchk GET /health`, `timeout check`, and
# `default-server check inter … fall … rise …`. Name the path: without one HAProxy asks `OPTIONS /`, and llama-server answers that
# with 200 while it still loads its model. An entry that has nobody left behind it should say so to the name server:
# `monitor-uri` with `monitor fail if { nbsrv(…) lt 1 }`.

# %% id="slow"
slow = regions.lose("us", "slow")
slow

# %% id="slow-figure" tags=["figure"]
slow.plot()

# %% [markdown] id="flapping-text" tags=["prediction"]
# ## It is up, it is down, it is up
#
# A server that crashes, starts and crashes again passes every other check. One good check is no reason to trust it again: `rise`
# may be larger than `fall`. Two routings see the same server now, yours, and yours with both at 1. **Predict**: how often will the
# second send users back to it?

# %% id="predict-flapping"
lab.predict(returns_without_hysteresis=1)

# %% id="flapping"
flapping = regions.flapping("us")
flapping

# %% id="flapping-figure" tags=["figure"]
flapping.plot()

# %% [markdown] id="residents-text"
# ## Some may not leave
#
# The residents' name must lead to the EU and nowhere else, also when the EU is down: then the answer is an error, which is what they
# signed for. A name server alone cannot promise that. The proxy at the EU's entry sends what does not fit elsewhere; theirs it may
# not. The regions' own proxies count the bytes.

# %% id="residents"
eu = regions.lose("eu", "servers killed", often=1)
eu.seen()

# %% [markdown] id="survivors-text" tags=["prediction"]
# ## The others carry it
#
# Three regions have twelve slots, two have eight. 27 requests a second arrive, which three can serve and two cannot. A queue that
# grows makes everybody slow and nobody happy. **Predict**: at which share of the requests would *you* say no (429) at once?

# %% id="predict-survivors"
lab.predict(told_no_percent=0)

# %% id="survivors"
survivors = regions.survivors()
survivors

# %% id="survivors-figure" tags=["figure"]
survivors.plot()

# %% [markdown] id="survivors-after"
# **Your turn**: a region has four slots, so `maxconn 4`; `balance first` fills the near one and lets the rest flow over to the next.
# When all are full and somebody waits already, `http-request deny deny_status 429 if { queue(…) gt 1 }`. And `option abortonclose`: without
# it, whoever gave up while waiting is served all the same (of five requests, three of which had left, a server was asked for five
# instead of two), and those behind wait for replies that nobody reads. `retry-on 503` helps short prompts only: a request that does
# not lie whole in the proxy's 16 kB is not tried again.
#
# `slowstart` lets a server that is back have its slots one after the other: its caches are cold, and a crowd at the door would
# bring it down again.
#
# ## Nobody is left
#
# Every server is killed. An entry that still stands can at least say so, soon, and in JSON:
# HAProxy's own error pages are for browsers, and `http-error` replaces them.

# %% id="lose-all"
regions.lose_all()

# %% [markdown] id="check-text"
# ## Check
#
# The grader starts its own regions, and beside your routing one of its own as a measure of this machine's mood: when even that one is
# late, nobody loses points. Twelve incidents, a flapping server, an overload: about four minutes.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - led users by name to the region next to them, and saw who pays for each other policy
# - promised how long a region's loss lasts for its users, and kept it: cut off, killed and slow
# - trusted a flapping server as late as it deserves, and took a recovered one back slot by slot
# - said 429 in time, so that those you serve are served well
# - kept the residents' bytes at home, also when that meant no

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# To read on: PowerDNS's page on Lua records, Amazon's on Route 53 health checks and its routing policies (your `regions.yaml` is
# one of each), and HAProxy's configuration manual on `balance first`, `slowstart` and `retry-on`. Anycast does without a TTL;
# now you know what that buys.
