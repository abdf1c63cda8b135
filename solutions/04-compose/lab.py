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
# # 04 · Compose: three replicas, one door, eyes open
#
# One server is an experiment. Three behind one door are a service, and everything that was easy with one is now a question:
# who gets the next request, who notices that one is gone, who says that it is enough. The guide's compose file passes
# `docker compose config` without a word. Here you find out what that is worth.
#
# **When you are done you can**
#
# - scale a service without a fixed name or port, behind a proxy that knows its slots
# - scrape every replica of a server that asks for a key, and keep that key out of sight
# - choose a routing policy from request shares and prefix-cache hits
# - refuse in time instead of queueing for ever, and be alerted before users are

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("04-compose", submission=submission, seed=seed)
lab

# %% [markdown] id="up-text"
# ## What the guide gives you
#
# `compose.yaml` is the guide's, and the comment at its top says what the grader counts on. `prometheus.yml` is the guide's too;
# the other files are first drafts. `lab.up` puts a model and a key beside them (`models/`, `secrets/`) and calls
# `docker compose up`. The same works in a terminal.

# %% id="up"
stack = lab.up("compose.yaml")
stack

# %% [markdown] id="scale-prediction" tags=["prediction"]
# ## Two more, please
#
# The guide ends with `docker compose up -d --scale llama-server=3`. **Predict**: how many containers of it run afterwards?

# %% id="predict-scale"
lab.predict(running_after_scale=3)

# %% id="scale"
stack.scale(3)

# %% [markdown] id="scale-after"
# A name can belong to one container, and so can a port of the machine. What is to be many has neither: clients come to one
# **door**, and the door knows the many. Take the fixed name out, look at what Docker says next, then put HAProxy in front.
#
# ## Who gets the next request?
#
# Before you write `haproxy.cfg`, look at three ways to choose. `policies/haproxy.cfg` (given) has three doors to the same three
# replicas. A dozen users come, and come back with the same long prompt: whoever lands on the replica that has read it before
# need not wait for it to be read again.

# %% [markdown] id="policy-prediction" tags=["prediction"]
# **Predict**: with the door choosing in turn, what share of the prompt tokens is found in a cache?

# %% id="predict-policy"
lab.predict(hits_round_robin=0.33)

# %% id="policies"
doors = lab.up("policies/compose.yaml")
shares = doors.policies()
shares

# %% id="shares-figure" tags=["figure"]
shares.plot()

# %% [markdown] id="shares-after"
# In turn is fair and forgets: each replica has to remember everybody, and its cache is too small for that. A hash of the
# conversation's beginning sends everybody home, and then the shares follow the users: `hash-balance-factor` bounds how far one
# replica may be above the others. There is no best one. This lab asks for **fair shares**: of short requests that come steadily,
# each replica gets a third, give or take 15 %.
#
# **Your turn.** Write `haproxy.cfg` and make it the door in `compose.yaml`: it has to find replicas that come and go, notice
# one that is ill, and send each no more than it has slots. Then bring it up again and send the same users through your door.

# %% id="mine"
doors.close()
mine = stack.shares()
mine

# %% [markdown] id="mine-after"
# The replicas behind the three doors keep only five old prompts each (`--cache-ram 8`). If yours hit more than a door that
# chooses in turn, it is because they remember more: memory buys some of what routing gives, once for every replica.

# %% [markdown] id="burst-text" tags=["prediction"]
# ## A full house
#
# llama-server never refuses: what does not fit into a slot waits, without end. **Predict**: of thirty requests in one moment,
# how long does the last one wait for its first token, compared with the first?

# %% id="burst"
burst = stack.burst()
burst

# %% id="burst-figure" tags=["figure"]
burst.plot("timeline")

# %% [markdown] id="burst-after"
# A wait that is longer than anybody's patience is work for nobody. The door sees the queue, so the door can say `429` while the
# client still can go elsewhere. In this lab **twelve may wait**; who comes then is refused at once.
#
# ## When one dies
#
# Now one replica's main process is killed in the middle of a load. Some requests are in its slots and are lost with it. All
# others need not be.

# %% [markdown] id="crash-prediction" tags=["prediction"]
# **Predict**: of 120 requests, how many fail? A dead replica refuses at once, so it always has the fewest connections. Where
# does a door with `leastconn` send the next request?

# %% id="crash"
crash = stack.crash()
crash

# %% [markdown] id="eyes-text"
# ## Eyes open
#
# Prometheus asks each target for its `/metrics`, and llama-server asks everybody for the key, Prometheus too. And a name is one
# target, even if three replicas share it.

# %% id="targets"
stack.targets()

# %% [markdown] id="dashboard-text"
# A dashboard is a file of queries. Grafana would draw them (`docker compose --profile grafana up`); here the same queries are
# asked of your Prometheus, over the last minute and a half. A panel whose metric does not exist is empty, and Grafana calls
# that "No data", not an error.

# %% id="dashboard"
board = stack.dashboard()
board

# %% id="dashboard-figure" tags=["figure"]
board.plot()

# %% [markdown] id="turn-text"
# **Your turn.** `prometheus.yml`: the key, one target for each replica, the door's own metrics, the rules, Alertmanager (add the
# service; `alertmanager.yml` is given). `rules.yml`: an alert when more requests wait than there are slots. `dashboard.json`:
# four panels or more that would have shown you the burst.
#
# The key must not be seen: not in the environment, not on a command line, not in a log. Then come the passwords that nobody
# has to guess.

# %% [markdown] id="check-text"
# ## Check
#
# The grader brings your files up from an empty project, on ports of its own, with another key, and does all of the above to it.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - took names and ports away from what is to be many, and put one door in front that knows its slots
# - saw what a routing policy does to shares and to caches, and chose one
# - had requests refused in time, and lost no more than a dying replica held
# - watched every replica with the key set and out of sight, and had an alert fire and resolve

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [05 · Bare metal](../05-bare-metal/lab.ipynb) installs the same server as a hardened systemd unit, without a container.
# To read on: HAProxy's configuration manual (`server-template`, `observe`, `queue`) and Prometheus' page on `dns_sd_config`.
