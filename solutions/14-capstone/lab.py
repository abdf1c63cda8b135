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
# # 14 · Capstone: capacity, cost, incident
#
# The guide has a table: a startup needs 1 to 3 servers, a growing business 4 to 20, an enterprise 20 to 100 and more. For which load? For
# which promise? And when one of them is gone? Here you plan a service, deploy it, live through a day of it with two incidents that
# nobody announces, and say what the same day takes at sizes that nobody has at home.
#
# **When you are done you can**
#
# - say how many servers a day needs, from figures of your own, and with which one spare
# - replay a day with two incidents that nobody announces, and keep what you promised
# - say what a million tokens cost, and from which load on something else is cheaper
# - defend a number with the record that it stands on

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("14-capstone")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# - `complete`: [plan.toml](plan.toml) has a promise, a door, and three tiers with a load each; [answers.toml](answers.toml) has five claims
# - `serves`, `day`, `told`, `recovered`: your servers and your door live through a day of requests, with two incidents, and keep your promise
# - `sized-for-it`, `at-home`: each tier keeps it by simulation, also with one server or region less; who may not leave a region does not
# - `price`, `lean`: what a million tokens cost is right to the cent, and at most a quarter more than the cheapest plan that would do
# - `claims`: each number is what its record says
# - `secrets`: no key, token or password lies open in your folder, that of all labs
#
# Five questions near the end are read by a human.

# %% id="plan"
plan = lab.plan()
plan

# %% [markdown] id="calibrate-text"
# ## How fast is one server?
#
# Everything here is counted in *servers that are busy all the time*: a load of 0.5 keeps half a server busy on average. So first you
# measure one: prompts of five lengths, then one, two, three and four slots that generate. It takes about half a minute. The record
# lies in `records/`, and everything that is simulated below stands on it.
#
# `lab.fleet()` deploys the tier `here` of your plan: real llama-servers and a HAProxy before them. As long as the plan cannot be read, it is
# the guide's smallest tier: one server, and no bound on who waits. Save plan.toml, and the next call deploys it anew.

# %% id="fleet"
fleet = lab.fleet()
fleet

# %% id="calibrate"
fleet.calibrate()

# %% [markdown] id="day-text" tags=["prediction"]
# ## A day, with two incidents
#
# The lab's day has its lowest hour at three in the morning and its highest in the afternoon, twelve sudden bursts, batch jobs
# with long prompts at night, and one hour in which somebody famous mentions you. It is replayed in a few minutes, open-loop:
# users come whether or not you are ready. Twice a server is killed or hangs. Nobody says which, or when.
#
# **Predict**: for which percentage of the requests will the promise be kept?

# %% id="predict-day"
lab.predict(kept_percent=99)

# %% id="day"
day = fleet.day()
day

# %% id="day-compare"
lab.compare(kept_percent=day.value("kept percent"))

# %% id="day-figure" tags=["figure"]
day.plot(guess=lab.guess("kept_percent"))

# %% [markdown] id="day-after"
# The line is what was asked for; below it what was admitted, told no, and lost; the strong line is goodput, what was answered within the
# promise. The marked grounds are the incidents. With one server and no bound on who waits, goodput falls to nothing in the first busy hour and
# stays there: everybody is admitted, and everybody is late. With a spare server an incident is hardly to be seen.
#
# **Your turn: a promise, a door, a tier.** In [plan.toml](plan.toml), about twenty lines:
#
# - `[promise]`: `ttft_s` (at most 3), `e2e_s` (at most 15), `share` (at least 0.9), `recovery_s`
# - `[door]`: `policy`, `max_queue`, `max_wait_s`, and how it notices that a server is gone: `check_s` and `fall`
#   ([HAProxy's manual](https://docs.haproxy.org/3.0/configuration.html): `balance`, `maxconn`, `timeout queue`, `inter`, `fall`).
#   Or write the door yourself, in [haproxy.cfg](haproxy.cfg): it runs as it is with `config = "haproxy.cfg"`, and where it says the
#   same things as these keys, the file counts
# - `[tier.here]`: `load = 0.5`, `replicas`, `slots`, `machine` (a name of data/aws.toml), `price_per_million` (0, for now)
#
# A queue pays where the wait is shorter than what was promised; everybody behind that is better told no at once
# ([Google's SRE book on overload](https://sre.google/sre-book/handling-overload/)).

# %% [markdown] id="against-text"
# ## The same day, simulated
#
# Before a simulator says anything of a hundred servers it has to say what you have just seen. It knows your calibration, your door, and when
# which server was lost; nothing else.

# %% id="against"
against = fleet.against()
against

# %% id="against-figure" tags=["figure"]
against.plot()

# %% [markdown] id="against-after"
# Each mark is a measure; on the grey ground the simulator is at most 15 % off. What lies outside has its number: on a machine that does other
# things meanwhile that is the short waits first. Believe it where it has earned it.

# %% [markdown] id="rising-text"
# ## One server, two, three
#
# A day at one size says little of another. Here one, two and three real servers have the day's busiest hour at a load that rises in four
# steps, and so have the simulated ones; each number of servers is calibrated anew while all of them are busy, since servers that share
# cores slow each other down. It takes about six minutes; `seconds=240, repeats=3` says more.

# %% id="rising"
rising = fleet.compare(servers=(1, 2, 3))
rising

# %% id="rising-figure" tags=["figure"]
rising.plot()

# %% [markdown] id="rising-after"
# A panel is a number of servers. The last lines above say up to which load each number kept the promise, really and by simulation: these
# are the measured points of the next figure.

# %% [markdown] id="sizes-text" tags=["prediction"]
# ## At sizes that nobody has at home
#
# The same day is simulated for each tier: servers with slots, prefill and decode as fast as yours, your door, your autoscaler. A hundred
# requests are spread more evenly than ten, so a large fleet needs less that is spare. **Predict**: one server that is busy all the time
# is a load of 1. How many servers does a load of 4 need, with one of them spare?

# %% id="predict-needed"
lab.predict(servers_for_a_load_of_4=5)

# %% id="sizes"
plan.sizes()

# %% id="needed"
needed = plan.needed()
needed

# %% id="needed-compare"
lab.compare(servers_for_a_load_of_4=needed.value("servers for a load of 4"))

# %% id="needed-figure" tags=["figure"]
needed.plot(guess=lab.guess("servers_for_a_load_of_4"))

# %% [markdown] id="needed-after"
# A line is a promise, the thin one a fleet with nothing spare. Read how far above it you have to be: most for the small loads, since a spare
# server is a large part of a small fleet, and the busiest hour asks for a multiple of the mean. The points are what your real servers
# carried, with one more that is spare; the bar goes from a load that they carried to one that they did not.
#
# **Your turn: two more tiers.** In [plan.toml](plan.toml): a growing business with a load of 4 or more, and an enterprise with 16 or more, in at least
# two regions (`replicas = { us = …, eu = … }`; there are `us`, `eu` and `asia`). `autoscale = { min, max, target, startup_s }` instead of
# `replicas` lets servers come and go, `target` being requests in flight per server
# ([how an autoscaler decides](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details)). The users of
# `eu` may not leave it: `home = ["eu"]`.

# %% [markdown] id="costs-text" tags=["prediction"]
# ## What a million tokens cost
#
# A server costs the same whether it works or waits; one that comes and goes is paid while it is there. **Predict**: from which
# utilisation on (0 to 1) are four servers that are always on the cheapest way?

# %% id="predict-costs"
lab.predict(always_on_pays_from=0.2)

# %% id="costs"
costs = plan.costs()
costs

# %% id="costs-compare"
lab.compare(always_on_pays_from=costs.value("always on pays from"))

# %% id="costs-figure" tags=["figure"]
costs.plot(guess=lab.guess("always_on_pays_from"))

# %% [markdown] id="costs-after"
# A line is a way to have servers; further right they are busier, and a ring marks where another way becomes the cheaper one. Tokens are
# cheap where servers are busy, and nothing else makes as large a difference. Prices are list prices with their date.
#
# **Your turn: the price.** `plan.sizes()` says what each tier's day costs for a million tokens. It is server-hours × the price of the
# machine, by the tokens that were served. Write it into [plan.toml](plan.toml), and see whether a smaller fleet keeps the promise for less.

# %% id="check-plan"
lab.check("complete", "sized-for-it", "at-home", "price", "lean")

# %% [markdown] id="claims-text"
# ## Say it, and show the record
#
# The guide ends with five topics for an interview: orchestration, cloud platforms, several regions, Terraform, cost. For each of them you
# have measured something in these labs.
#
# **Your turn: five claims.** In [answers.toml](answers.toml), one for each topic: what you say, a number, its unit, and the record that it stands on. Records
# of other labs are copied here: `cp ../13-regions/records/….json records/`. The number is checked against the record, and what you
# say is read by a human.

# %% id="check-claims"
lab.check("claims")

# %% [markdown] id="prose-text"
# ## In your own words
#
# A number is not yet an answer. Five questions, one for each topic; a paragraph each, with a figure of yours in it. No check reads them:
# they stand on your feedback page, for a human, who may give up to two points for each.
#
# - `orchestration`: A replica of yours is killed while it streams replies. What does your orchestrator do, what does it not do, and what did that
#   cost in a lab?
# - `platforms`: For which load would you take a platform that scales to zero, for which servers that are always on, and when neither?
# - `regions`: One of your three regions is lost in its busiest hour. Who is served where, who is not served, and how large must the others be?
# - `terraform`: Your Terraform plan is green. Name two things in it that can still be wrong, and how you found such a thing.
# - `cost`: Your bill has to fall by a third. What do you change first, what does that do to the promise, and which of your figures says so?
#
# **Answer**, each between quotation marks in the place of `None`:

# %% id="answer-prose" tags=["answer"]
lab.answer(orchestration="It starts the pod again and sends new requests elsewhere; the replies that were streaming are lost, unless the client or the door asks again. So I let pods drain before they go, and a rollout lost no request.")  # learner: lab.answer(orchestration=None)
lab.answer(platforms="Below 5 % busy scale to zero is the cheapest, above 45 % always on is, between them an autoscaler. Who promises a first token within two seconds cannot take a cold start of half a minute.")  # learner: lab.answer(platforms=None)
lab.answer(regions="The other two take its users, so each of three has half of the load as its size: 20 servers for a load of 16. Users of the eu may not leave it; while it is lost they are told no, which is a third of all.")  # learner: lab.answer(regions=None)
lab.answer(terraform="A health check on a path that answers before the model is loaded, and a role that may not read the secret. Neither is in a plan; asking the door through the balancer showed both.")  # learner: lab.answer(terraform=None)
lab.answer(cost="First the servers that wait: from a tenth busy to seven tenths a million tokens fall from 2.99 to 0.43 dollars. The spare server stays, for without it the busiest hour misses the promise.")  # learner: lab.answer(cost=None)

# %% [markdown] id="secrets-text"
# ## Before you hand it on
#
# Your folder goes to somebody else now: files, records, and notebooks with all that their cells have shown. A key in the output of a cell is
# a key that is published. `secrets` looks through the folders of all labs, and names file and line.

# %% id="check-secrets"
lab.check("secrets")

# %% [markdown] id="check-text"
# ## Check
#
# The grader deploys your plan, and replays another day with other incidents; then it simulates each tier, and looks for the cheapest fleet
# that would have done. It takes some minutes.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="certificate-text"
# ## Your certificate
#
# One page with your own figures, your plan, your claims, your guesses beside what was measured, and your points, each with its record, seed and
# SHA-256. It says which points your own machine gave and which an instructor's grader did. It is the file `certificate.html` beside this
# notebook: open it and print it. Hand in the whole folder; `llmlab certificate --from FOLDER --verify certificate.html` makes the page
# again from what is in it, and tells whether the two are the same.

# %% id="certificate"
lab.certificate()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - planned from figures of your own: a load, a promise, and what one server can do
# - lived through a day with two incidents, and told those you could not serve so in time
# - sized a fleet by simulation, with one server or region to spare, and paid at most a quarter too much
# - stood up for five numbers, each with its record
# - handed on a folder in which no secret lies open, with a page that anybody can make again

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# This was the last lab; `lab.journal()` shows the way you took through it. To read on: [The tail at
# scale](https://research.google/pubs/the-tail-at-scale/), and the part on
# [demand forecasting](https://sre.google/sre-book/software-engineering-in-sre/) in Google's SRE book.
