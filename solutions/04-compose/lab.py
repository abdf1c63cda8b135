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
#
# The lab has two halves, and it is a good place to stop between them: first the **door** and its queue, then **keys and eyes**.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("04-compose")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# The door, by what you write in [compose.yaml](compose.yaml) and [haproxy.cfg](haproxy.cfg):
#
# - `up`, `slots`: `docker compose up` starts everything; each replica has two slots of 2,048 tokens
# - `scale`, `share`: `--scale` to three gives three that run, and each gets its share of the requests
# - `streaming`: the first token comes when it is written, and a long stream arrives whole
# - `queue`: of 48 requests in one moment, those that fit and twelve that wait are answered; the others get 429
# - `killed`: when one replica dies, at most 5 % of the requests fail, also while it loads its model again, and it comes back
#
# Keys and eyes, by these two and [prometheus.yml](prometheus.yml), [rules.yml](rules.yml) and [dashboard.json](dashboard.json):
#
# - `secrets`, `defaults`: the key stands in no environment, command line or log, and no default password opens anything
# - `targets`, `dashboard`: Prometheus scrapes every replica, and every panel shows something
# - `alert`: it fires while more requests wait than there are slots, and resolves
# - `grafana`: Grafana would find its data source, its dashboard and its password

# %% [markdown] id="up-text"
# ## The door: what the guide gives you
#
# [compose.yaml](compose.yaml) is the guide's, and the comment at its top says what the grader counts on. The other files are
# first drafts; what is finished in them says *given*. `lab.up` puts a model and a key beside them (`models/`, `secrets/`) and
# calls `docker compose up`. The same works in a terminal.

# %% id="up"
stack = lab.up("compose.yaml")
stack

# %% [markdown] id="scale-prediction" tags=["prediction"]
# ## Two more, please
#
# The guide ends with `docker compose up -d --scale llama-server=3`. **Predict**: how many containers of it run afterwards?

# %% id="predict-scale"
lab.predict(containers_running_after_scale=3)

# %% id="scale"
stack.scale(3)

# %% id="scale-compare"
lab.compare(containers_running_after_scale=stack.replicas)

# %% [markdown] id="scale-after"
# A name can belong to one container, and so can a port of the machine. What is to be many has neither: clients come to one
# **door**, and the door knows the many.
#
# ## Who gets the next request?
#
# Before you write `haproxy.cfg`, look at three ways to choose. `policies/haproxy.cfg` (given) has three doors to the same three
# replicas. A dozen users come, and come back with the same long prompt. A user who meets a replica that has read this prompt
# before does not wait for it to be read again: its tokens are found in that replica's prefix cache.

# %% [markdown] id="policy-prediction" tags=["prediction"]
# **Predict**: with **round robin** (one replica after the other), what share of the prompt tokens is found in a cache, from 0
# to 1?

# %% id="predict-policy"
lab.predict(cached_share_with_round_robin=0.33)

# %% id="policies"
doors = lab.up("policies/compose.yaml")
shares = doors.policies()
shares

# %% id="policy-compare"
lab.compare(cached_share_with_round_robin=shares.hits("round robin"))

# %% id="shares-figure" tags=["figure"]
shares.plot(guess=lab.guess("cached_share_with_round_robin"))

# %% [markdown] id="shares-after"
# On the left, bars of equal height mean equal work; on the right, high bars mean prompts that need not be read again. Round
# robin is fair, but each replica sees every user, and its cache is too small for all. A hash of the conversation's beginning
# sends every user back to the same replica, and then the shares follow the users: `hash-balance-factor` bounds how far one
# replica may be above the others. There is no best policy. This lab asks for **fair shares**: of short requests that come
# steadily, each replica gets a third, give or take 15 %.

# %% [markdown] id="template-text"
# ## How a door finds replicas that come and go
#
# A `server` line in `haproxy.cfg` is **one** server, and HAProxy looks its name up **once**, when it starts. Docker's own name
# server answers with one address for each running replica, so two things are needed: a section that says whom to ask again and
# again, and a line that makes several servers of one name. For a service `web` with up to four replicas on port 80 it reads:
#
# ```
# resolvers docker
#     parse-resolv-conf          # ask the name server that the container was given
#     hold valid 1s              # and believe an answer for one second
#
# backend pages
#     balance leastconn
#     option httpchk GET /ready
#     server-template page 4 web:80 check inter 1s resolvers docker init-addr none
# ```
#
# `server-template page 4` makes page1 to page4; those that get no address stay down. `check` asks each of them every second by
# the path that `option httpchk` names, and `init-addr none` lets HAProxy start before any of them is there. `maxconn N` on
# that line is how many requests one server gets at a time; what is more waits at the door. HAProxy's manual has it all:
# [DNS resolution](https://docs.haproxy.org/3.0/configuration.html#5.3) and
# [server options](https://docs.haproxy.org/3.0/configuration.html#5.2).
#
# A proxy for streams wants `option http-no-delay` as well. Without it HAProxy holds each piece of a reply for up to 0.2 s, to send it
# together with the next: the first token is late by that, and a hundred tokens came in 19 pieces. With it they came in 101, as
# `curl -N` through your door shows. No check asks for it; every reader of a chat sees it.
#
# **Your turn.** In [compose.yaml](compose.yaml): take the fixed name and the port away from the replicas, give each two slots
# of 2,048 tokens (lab 01), and add a service `door` with `image: haproxy:3.0`, which publishes `8080:8080` and mounts your
# [haproxy.cfg](haproxy.cfg). In `haproxy.cfg`: find the replicas as above, and send each no more than it has slots. About
# twenty lines in all. If you rename `llama-server`, rename it in all files.

# %% id="check-door"
lab.check("up", "slots", "scale", "share")

# %% [markdown] id="mine-text"
# A check closes what the notebook has opened. Bring your stack up again, with three replicas, and send the same users through
# your own door.

# %% id="mine"
stack = lab.up("compose.yaml")
stack.scale(3)
mine = stack.shares()
mine

# %% [markdown] id="mine-after"
# The replicas behind the three doors keep only five old prompts each (`--cache-ram 8`). If yours find more in their caches than
# a door with round robin, it is because they keep more: memory buys some of what routing gives, once for every replica.

# %% [markdown] id="burst-text" tags=["prediction"]
# ## A full house
#
# llama-server never refuses: what does not fit into a slot waits, without end. Now dozens of requests come in one moment.
# **Predict**: how many seconds does the last one wait for its first token?

# %% id="predict-burst"
lab.predict(seconds_until_the_last_first_token=2.0)

# %% id="burst"
burst = stack.burst()
burst

# %% id="burst-compare"
waits = [sample.first - sample.scheduled for sample in burst.runs[0].samples if sample.first]
lab.compare(seconds_until_the_last_first_token=max(waits, default=None))

# %% id="burst-figure" tags=["figure"]
burst.plot("timeline")

# %% [markdown] id="burst-after"
# All bars of the burst begin at the same moment. The hatched part is waiting, the plain part is decoding: the lower a request
# stands in the queue, the longer it waits, and each of them will be answered, however late. A cross is a request that was not.
#
# A wait that is longer than a user's patience is work for nobody. The door sees the queue, so the door can say `429` while the
# client still can go elsewhere. In this lab **twelve may wait**; the thirteenth is refused at once.
#
# ## When one dies
#
# Now one replica's main process is killed in the middle of a load. The requests in its slots are lost with it. All others need
# not be.

# %% [markdown] id="crash-prediction" tags=["prediction"]
# **Predict**: of 120 requests, how many fail? Think of this: a dead replica refuses every connection at once. To which replica
# does a door with `leastconn` send the next request?

# %% id="predict-crash"
lab.predict(failed_of_120_requests=4)

# %% id="crash"
crash = stack.crash()
crash

# %% id="crash-compare"
lab.compare(failed_of_120_requests=crash.table()["failed"][0])

# %% [markdown] id="crash-after"
# To the dead one. It refuses so fast that it always has the fewest connections, so a door with `leastconn` sends it one request
# after the other until a health check notices: dozens fail. With a single server, every request fails from the crash until the
# container runs again and has loaded its model. What you want to see is two to six failures: those that were in the
# dead replica's slots and no more. Three settings of HAProxy do that:
#
# - `observe layer7 error-limit 1 on-error mark-down` on the servers: the first failed request takes a server out
# - `option redispatch 1`: a request that a server has not begun to answer may go to another one
# - `retry-on conn-failure empty-response 503`: in these cases; a replica that still loads its model answers 503
#
# **Your turn.** In [haproxy.cfg](haproxy.cfg): these three, and a rule that answers 429 when twelve wait. The rule belongs into
# the frontend: `http-request return status 429 if { queue(BACKEND) ge N }`. About five lines. The check sends its burst;
# for the crash, run the cells from `mine` on again. In the check the replica loads its model for as long as the requests last, as a
# large one does. `killed` and `streaming` take half a minute each and are left to the check
# at the end.

# %% id="check-queue"
lab.check("up", "queue")

# %% [markdown] id="keys-text"
# ## Keys and eyes: who can read the key?
#
# Your door stands. The second half begins with the key. `docker inspect` shows every environment variable, `docker top` every
# command line, and `${LLAMA_API_KEY:-secret}` means the key `secret` on every machine where nobody has set another one. Compose
# can mount a file as a [secret](https://docs.docker.com/compose/how-tos/use-secrets/) instead, and llama-server reads keys from
# a file:
#
# ```
# services:
#   web:
#     command: --password-file /run/secrets/web_password
#     secrets: [web_password]
# secrets:
#   web_password:
#     file: ./secrets/web_password
# ```
#
# **Your turn**, in [compose.yaml](compose.yaml): llama-server takes its key from `secrets/api_key` (`--api-key-file`), and the
# variable goes. Prometheus asks for no password, so publish it on `127.0.0.1` only. Then remove the default password of Grafana:
# its password lies in `secrets/grafana_password`, and `GF_SECURITY_ADMIN_PASSWORD__FILE` names a file. About fifteen lines.

# %% id="check-keys"
lab.check("up", "secrets", "defaults")

# %% [markdown] id="eyes-text"
# ## Eyes open
#
# Prometheus asks each target for its `/metrics`, and llama-server asks every client for the key, Prometheus too. And a name is
# one target, even if three replicas share it. The cell starts your stack with three replicas and sends a small burst first, so
# that there is something to see; right after a start Prometheus has asked nobody yet.

# %% id="targets"
stack = lab.up("compose.yaml")
stack.scale(3)
stack.burst(18)
stack.targets()

# %% [markdown] id="dashboard-text"
# A dashboard is a file of queries. Grafana would draw them (`docker compose --profile grafana up`); here the same queries are
# asked of your Prometheus, over the last minute and a half, the burst included. A panel whose metric does not exist is empty, and
# Grafana calls that "No data", not an error.

# %% id="dashboard"
board = stack.dashboard()
board

# %% id="dashboard-figure" tags=["figure"]
board.plot()

# %% [markdown] id="turn-text"
# An empty panel has one of two reasons: its metric does not exist, or Prometheus scrapes nobody who has it. A panel that would
# have shown the burst has a peak in it. Look at the targets first, then at the names of the metrics.
#
# **Your turn.** Three files, each with its form in a comment:
#
# - [prometheus.yml](prometheus.yml): the key (the secret must be mounted into Prometheus as well), one target for each replica
#   ([dns_sd_config](https://prometheus.io/docs/prometheus/latest/configuration/configuration/#dns_sd_config)), and the door's
#   own metrics
# - [dashboard.json](dashboard.json): the first two panels are done; give the other two a query that shows something in a burst.
#   `haproxy_backend_current_queue` and `haproxy_frontend_http_responses_total` are metrics of the door
# - [rules.yml](rules.yml): an alert when more requests wait than there are slots
#   ([alerting rules](https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/))
#
# About twenty lines, and two queries. Last, give Grafana its files (`./grafana`, `./dashboard.json`): where it looks for them
# stands in [its manual](https://grafana.com/docs/grafana/latest/administration/provisioning/) and in
# `grafana/dashboards/llama.yml`.

# %% id="check-eyes"
lab.check("up", "targets", "dashboard")

# %% [markdown] id="check-text"
# ## Check
#
# The grader brings your files up from an empty project, on ports of its own, with another key, and does all of the above to it.
# `streaming`, `killed`, `alert` and `grafana` are looked at here for the first time. It takes about two minutes.

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
# [05 · Bare metal](../05-bare-metal/05-bare-metal.ipynb) installs the same server as a hardened systemd unit, without a container.
# To read on: HAProxy's [configuration manual](https://docs.haproxy.org/3.0/configuration.html) on `server-template`, `observe`
# and `queue`.
