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
# how soon, and how long do users go on asking it? Where may their data go meanwhile? Here you decide, and users on six continents
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

lab = Lab.here("13-regions")
lab

# %% [markdown] id="world-text"
# ## The world
#
# `lab.regions()` starts three regions, each with an address, a proxy and a real llama-server, and puts distances between them and
# their users: light in fibre, there and back. Three files lead users there, and they are yours:
#
# - [llama.zone](llama.zone) is what the name server says: PowerDNS, whose `LUA` records can ask the regions how they are
# - [haproxy-global.cfg](haproxy-global.cfg) is the proxy at the entry of every region, the same file everywhere
# - [regions.yaml](regions.yaml) has the numbers of both, once, and what you promise
#
# Save a file, and the next call of `regions` puts it into force. A check ends the regions; `regions = lab.regions()` starts them again.
#
# A user does what programs do: it keeps a name's answer for its TTL, goes on with a connection that works for up to 4 s, and lets
# a request go after 1.5 s. The **residents** are customers in Berlin whose data stay in the EU; they ask for `eu.llama.example.com`.

# %% id="regions"
regions = lab.regions()
regions

# %% [markdown] id="graded"
# ## What is graded
#
# - `serves`, `nearest`: users everywhere get tokens, from the region next to them
# - `region-lost`, `servers-lost`, `slow`: when a region is gone, has no servers, or is slow, its users are served elsewhere within
#   what you promise in `regions.yaml`, at most 8 s, and 20 % more
# - `once`, `flapping`: a region is left once and comes back once, also when its server goes up and down
# - `residency`: no byte of a resident reaches another region than the EU
# - `survivors`: with one region missing, users are served quickly or told 429 at once
# - `honest`: with everything down the answer is an error in JSON, within a second
# - `gradual`: a region that is back gets its load little by little

# %% id="answers"
regions.answers()

# %% id="ask"
regions.ask()

# %% [markdown] id="policies-text" tags=["prediction"]
# ## A policy is an answer to a question
#
# *Failover* asks who is up, *weighted* how much goes where, *closest* who is near. Each is one line in a zone
# ([PowerDNS: Lua records](https://doc.powerdns.com/authoritative/lua-records/)). **Predict**: everybody is led to the closest region.
# How many milliseconds does a small reply take at the median, on the continent where it takes longest?

# %% id="predict-policies"
lab.predict(worst_median_ms=500)

# %% id="policies"
policies = regions.policies()
policies

# %% id="policies-compare"
lab.compare(worst_median_ms=policies.value("worst median ms, closest"))

# %% id="policies-figure" tags=["figure"]
policies.plot(guess=lab.guess("worst_median_ms"))

# %% [markdown] id="policies-after"
# A panel is a continent, a line a policy, and the further left it rises the sooner replies come. Follow *all to us* from North America to
# Oceania: it moves to the right by the distance. *To the closest* has no panel in which it pays for somebody else. Two answers in a plain
# `A` record, as in the guide's zone, are no policy: each user takes one of them by chance.
#
# **Your turn: the nearest region.** In `llama.zone` a record such as
#
#     @  IN LUA A "pickclosest({'127.13.1.1', '127.13.2.1', '127.13.3.1'})"
#
# leads everybody to the closest. In `haproxy-global.cfg`, an entry should prefer its own region: `${LOCAL}`, then `${NEXT}`, then
# `${LAST}`. And give it `option http-no-delay`: without it HAProxy holds each token of a stream for up to 0.2 s, to send it together with
# the next: as long as light in fibre needs around the world. The users of this lab ask for whole replies, so no figure here shows it.

# %% id="check-nearest"
lab.check("serves", "nearest")

# %% [markdown] id="lost-text"
# ## A region is gone
#
# Somebody has to notice, every resolver has to let go of the old answer, and every client of its old connection:
#
# $$ t \;\le\; \text{threshold} \times (\text{interval} + \text{timeout}) + \text{TTL} + \text{client} $$
#
# `regions.predicted()` does the sum with your numbers. What you promise stands under `promise` in `regions.yaml`, and you are graded by
# it: measured may be 20 % more, promised at most 8 s.

# %% id="predicted"
regions = lab.regions()
regions.predicted()

# %% [markdown] id="cut-text" tags=["prediction"]
# Killed is the easy case: a closed port answers at once. Cut off is the other one: packets are still sent, and nothing comes back. **Predict**: after how many seconds is the last user of `us` served again?

# %% id="predict-cut"
lab.predict(seconds_cut_off=30)

# %% id="cut"
cut = regions.lose("us", "cut off")
cut

# %% id="cut-compare"
lab.compare(seconds_cut_off=cut.value("seconds"))

# %% id="cut-figure" tags=["figure"]
cut.plot(guess=lab.guess("seconds_cut_off"))

# %% [markdown] id="cut-after"
# Above, a mark is a request, at the time of its answer: colour and shape say which region answered, a cross that none did; the region
# is lost while the ground is grey. Below, the parts of the sum stand beside what was measured. With the guide's files there are crosses as
# long as the region is gone, and the measurement says *never*. That is the point: a record that never changes leads users to a region
# that is not there.
#
# **Your turn: let go of a region.** In `llama.zone` `ifurlup(url, {addresses}, {selector='pickclosest', timeout=1})` is `pickclosest`
# among those addresses whose URL answers 200; PowerDNS asks them every `health.interval` seconds. The entry of a region is
# `http://llama.example.com:${PORT}/…`. In `regions.yaml`: a TTL and an interval of few seconds, and a promise that is the sum. Then
# run the cells from `regions.predicted()` on again.
#
# PowerDNS takes one failed check for a failure. Its checks form one round: while one address hangs, the interval of every record is as
# long as the timeout. A selector that does not exist is answered at random; `regions.said()` tells you. The check `region-lost` takes
# a minute, so the one at the end looks at it.

# %% [markdown] id="slow-text"
# ## Alive, and of no use
#
# A region can be up and too slow to be of use. Its server answers everything 2 s late now, health checks too. A check that waits
# long enough says all is well.
#
# **Your turn: drain what is slow.** In `haproxy-global.cfg` (its
# [manual](https://docs.haproxy.org/3.0/configuration.html)): `option httpchk GET /health`, `timeout check`, and
# `default-server check inter … fall … rise …`. Name the path: without one HAProxy asks `OPTIONS /`, and llama-server answers that
# with 200 while it still loads its model; in the check one loads for longer than your `rise` takes. An entry that has nobody left behind it should say so to the name server:
# `monitor-uri` with `monitor fail if { nbsrv(…) lt 1 }`.

# %% id="slow"
slow = regions.lose("us", "slow")
slow

# %% id="slow-figure" tags=["figure"]
slow.plot()

# %% [markdown] id="slow-after"
# Users let a request go after 1.5 s, so every request to the slow region is a cross although its server is up. With the guide's files
# it stays in use, and the measurement says *never*: that is the point, as nothing there looks at how long a reply takes. With yours the
# marks change their colour once the checks have failed `fall` times. `servers-lost` and `slow` are checked at the end.

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

# %% id="flapping-compare"
lab.compare(returns_without_hysteresis=flapping.value("yours, with rise 1 and fall 1"))

# %% id="flapping-figure" tags=["figure"]
flapping.plot()

# %% [markdown] id="flapping-after"
# Each panel is a routing; count how often the colour of `us` comes back while the ground is grey. The server is up for 3 s and down for
# 4 s. A routing that needs more good checks than fit into 3 s leaves it once and comes back once, at the end. With the guide's files
# the server is not taken for dead at all: it checks nothing, so users come back each time and meet the next failure. That is the
# point. (`once` and `flapping` are checked at the end.)

# %% [markdown] id="residents-text"
# ## Some may not leave
#
# **Your turn: residents.** The residents' name must lead to the EU and nowhere else, also when the EU is down: then the answer is an error, which is what they
# signed for. A name server alone cannot promise that. The proxy at the EU's entry sends what does not fit elsewhere; theirs it may
# not: they need a backend of their own. The regions' own proxies count the bytes: in the table below only `eu` may have any of theirs.

# %% id="residents"
eu = regions.lose("eu", "servers killed", often=1)
eu.seen()

# %% id="check-residency"
lab.check("residency")

# %% [markdown] id="survivors-text" tags=["prediction"]
# ## The others carry it
#
# Three regions have twelve slots, two have eight. 27 requests a second arrive, which three can serve and two cannot. A queue that
# grows makes everybody slow. **Predict**: which percentage of the requests will your routing refuse at once (429), with two regions?

# %% id="predict-survivors"
lab.predict(told_no_percent=0)

# %% id="survivors"
regions = lab.regions()
survivors = regions.survivors()
survivors

# %% id="survivors-compare"
lab.compare(told_no_percent=survivors.value("yours, two regions"))

# %% id="survivors-figure" tags=["figure"]
survivors.plot()

# %% [markdown] id="survivors-after"
# A line says which share of all requests was served within so many seconds. It ends below 100 % where some were not served; the
# legend says whether they were told 429 or failed. With the guide's routing nobody is told no: the queue grows, and replies come late
# or not at all. That is the point: with too few slots the choice is only between a quick no and a slow one.
#
# **Your turn: say no in time.** A region has four slots, so `maxconn 4`; `balance first` fills the near one and lets the rest flow over to the next.
# When all are full and somebody waits already, `http-request deny deny_status 429 if { queue(…) gt 1 }`. And `option abortonclose`: without
# it, a request whose user gave up while it waited is served all the same (of five requests, three of which had left, a server was asked
# for five instead of two), and those behind it wait for replies that nobody reads. `retry-on 503` helps short prompts only: a request that does
# not lie whole in the proxy's 16 kB is not tried again.
#
# `slowstart` lets a server that is back have its slots one after the other: its caches are cold, and all requests at once
# would bring it down again. (`survivors` and `gradual` are checked at the end.)
#
# ## Nobody is left
#
# Every server is killed. An entry that still stands can at least say so, soon, and in JSON.
#
# **Your turn: an honest no.** HAProxy's own error pages are for browsers, and `http-error` replaces them.

# %% id="lose-all"
regions.lose_all()

# %% id="check-honest"
lab.check("honest")

# %% [markdown] id="check-text"
# ## Check
#
# The grader starts its own regions, and beside your routing one of its own as a measure of how busy this machine is: when even that one
# is late, nobody loses points. Twelve incidents, a flapping server, an overload: about four minutes.

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
# To read on: Amazon's pages on Route 53
# [health checks](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover.html) and
# [routing policies](https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html) (your `regions.yaml` is one of each),
# and HAProxy's configuration manual on `balance first`, `slowstart` and `retry-on`. Anycast needs no TTL; now you know what that is
# worth.
