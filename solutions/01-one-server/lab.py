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
# # 01 · One honest server
#
# A deployment guide gives this line for a team of four who paste long documents:
#
# ```
# llama-server --host 0.0.0.0 --port 8080 -m model.gguf -c 4096 --parallel 4 --cont-batching --metrics
# ```
#
# It starts, it answers, and every linter likes it. In this lab you find out what it promises and does not keep.
#
# **When you are done you can**
#
# - say how many tokens of context each user of a llama-server really has
# - find the knee: the number of users above which requests wait, and what waiting costs
# - tell throughput from goodput, and a closed loop from real arrivals
# - keep a server's door closed to people without a key

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab
from llmlab.load import SLO

lab = Lab.here("01-one-server")
lab

# %% [markdown] id="serve-text"
# ## It starts
#
# [server.toml](server.toml) is that line as a file. Start it and talk to it.

# %% id="serve"
server = lab.serve("server.toml")
server

# %% id="talk"
server.complete("The quarterly report says", max_tokens=24)

# %% [markdown] id="prediction" tags=["prediction"]
# ## Four users, four documents
#
# Each of the four users pastes a document of 3,000 tokens, all at the same time. The file says `ctx-size = 4096`.
# **Predict**: how many of the four users get an answer?

# %% id="predict-answered"
lab.predict(answered_of_four=4)

# %% id="documents"
documents = server.load(concurrency=4, requests=4, prompt_tokens=3000, warmup=0, timeout=240)
documents

# %% id="documents-compare"
lab.compare(answered_of_four=sum(sample.ok for sample in documents.runs[0].samples))

# %% [markdown] id="documents-text"
# The server's own words say why. An empty list means that all were answered; a line that begins with `timeout` means
# **slow, not refused**: the machine was too busy to read four documents in 240 seconds.

# %% id="why"
[sample.error for sample in documents.runs[0].samples if sample.error]

# %% [markdown] id="context-text"
# ## What a slot really holds
#
# A **slot** is a place where one request is worked on. Ask the server how many tokens of context each of its slots has.
# Is it the number in the file?

# %% id="context" tags=["compare"]
server.props()["default_generation_settings"]["n_ctx"]

# %% [markdown] id="show-text"
# And what the file says, beside what runs:

# %% id="show"
lab.show()

# %% [markdown] id="show-after"
# The bar is the server's whole context, cut into what each slot may use. llama-server **divides** `ctx-size` by the number
# of slots when the file names both. A prompt that is longer than its slot is refused with HTTP 400, however empty the other
# slots are. The [manual of llama-server](https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md) lists
# the flags; every key below `[flags]` is one of them, written as [TOML](https://toml.io/en/).

# %% [markdown] id="graded"
# ## What is graded
#
# - `starts`, `slots`: the file describes a server that starts and works on four requests at once
# - `context-per-slot`: four prompts of 3,000 tokens at the same time are all answered
# - `closed-door`: nobody without a key gets in from outside
# - `counters`: `/metrics` counts every token that was sent
# - `goodput`: four users get at least 80 % of the tokens per second of a reference server on the same machine
# - `knee`: your answer to the question in the next part

# %% [markdown] id="edit-text"
# **Your turn.** Edit [server.toml](server.toml) so that four users with 3,000-token prompts (and 64 tokens of reply) are
# served at once. One line is enough. Save the file and run the next cell: it starts your file afresh and sends the four
# documents, which takes 10 to 60 seconds. Not green? `lab.hint("context-per-slot")`, edit, and run it again.

# %% id="check-context"
lab.check("starts", "slots", "context-per-slot")

# %% [markdown] id="knee-text" tags=["prediction"]
# ## The knee
#
# Now the prompts are short, and there are more and more users. In a **closed loop** each user sends the next request when
# the last one is answered. **Predict**: what is the largest number of users with which nobody waits for a slot?

# %% id="predict-knee"
lab.predict(users_without_waiting=2)

# %% [markdown] id="sweep-text"
# A check stops what the notebook has started, so the next cell starts your server again.

# %% id="sweep"
server = lab.serve("server.toml")
sweep = server.load(concurrency=[1, 2, 3, 4, 5, 6, 8])
sweep

# %% id="knee-figure" tags=["figure"]
calm = sweep.table().set_index("concurrency")["TTFT p50 ms"][4]
slo = SLO(ttft_ms=2 * calm)  # the promise: a first token within twice what four users wait for it
sweep.plot(slo=slo, guess=lab.guess("users_without_waiting"))

# %% [markdown] id="knee-after"
# Read it from left to right. Up to the number of slots, time to first token (orange, below) stays low. Beyond it the line
# jumps, because a user waits for a whole reply of somebody else before the first token comes, and throughput (blue, above)
# has stopped growing. **Goodput** (green) counts only tokens of requests that kept a promise, a
# [service level objective](https://sre.google/sre-book/service-level-objectives/) (SLO): here the first token within twice
# the time that four users wait for it. Right of the slots, throughput looks as good as ever; goodput does not. If the
# caption says *noisy*, the jump may be hard to see: run the cells again when less is going on.
#
# **Answer**: what is the largest number of users with which nobody waits?

# %% id="answer-knee" tags=["answer"]
lab.answer(knee=4)  # learner: lab.answer(knee=None)

# %% id="check-knee"
lab.check("starts", "knee")

# %% [markdown] id="knee-compare-text"
# And your guess, beside the largest number of users in your own sweep with which nearly no request waited (if the sweep was
# too noisy to tell, beside your answer):

# %% id="knee-compare"
from llmlab.tiers.process.for_labs import own_knee

lab.compare(users_without_waiting=own_knee([sweep.record]) or lab.answers().get("knee"))

# %% [markdown] id="open-text" tags=["prediction"]
# ## Real arrivals
#
# A closed loop is polite: when the server is slow, its users send less. Real users do not know of each other. In an **open
# loop** requests arrive at random (a Poisson process) at a rate you set. You will send 40 requests at 0.5, 0.9 and 1.5 times
# what the server can finish. **Predict**: at 1.5 times, how many seconds does the slowest user wait for the first token?

# %% id="predict-open"
lab.predict(seconds_to_the_slowest_first_token=1.0)

# %% id="capacity"
server = lab.serve("server.toml")
per_second = max(sweep.table()["tokens/s"]) / 48  # requests of 48 tokens the server can finish per second
rates = [round(share * per_second, 1) for share in (0.5, 0.9, 1.5)]
arrivals = server.load(rate=rates, requests=40, max_tokens=48)
arrivals

# %% id="open-compare"
waits = [sample.first - sample.scheduled for sample in arrivals.runs[2].samples if sample.first]
lab.compare(seconds_to_the_slowest_first_token=max(waits, default=None))

# %% id="arrivals-figure" tags=["figure"]
arrivals.plot("latency", guess=lab.guess("seconds_to_the_slowest_first_token"))

# %% [markdown] id="open-after"
# Each line shows which share of the requests was answered within a time; the further right a line lies, the longer users
# waited. Time counts from when a request was *due*, not from when the client sent it. The line of half the capacity should
# lie far to the left. Beyond the capacity the queue grows for as long as the load lasts: llama-server's queue has no limit,
# and the server never answers [429 Too Many Requests](https://www.rfc-editor.org/rfc/rfc6585#section-4). Lab 04 puts something in
# front that does.
#
# The next figure shows the last of the three loads, one line for each request.

# %% id="timeline" tags=["figure"]
arrivals.plot("timeline", run=2)

# %% [markdown] id="timeline-after"
# The orange band is waiting; it widens as long as requests come. The server is as fast for the last request as for the
# first one: the last one only stands at the end of a longer queue.

# %% [markdown] id="door-text"
# ## Who else gets in?
#
# Look at `host` in the file. The next cell asks which addresses the server listens on. `0.0.0.0` means everyone who
# reaches this machine, and there is no key.

# %% id="door" tags=["compare"]
server.listening()

# %% [markdown] id="door-after"
# **Your turn.** Close it: leave `host` out of [server.toml](server.toml), or set a key *in a file* with `api-key-file`
# (never in the flags: `ps` shows them to everyone).

# %% id="check-door"
lab.check("starts", "closed-door")

# %% [markdown] id="check-text"
# ## Check
#
# Now all checks together: your file is started afresh and what runs is probed. `goodput` and `counters` are looked at here
# for the first time. Fix, check again, take a hint: as often as you like.

# %% id="check"
lab.check()

# %% id="panel"
lab.panel()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - saw a context of 4,096 tokens become 1,024 for each of four slots, and gave every user enough
# - found the knee at the number of slots: beyond it users wait, and the waiting is in TTFT
# - saw goodput fall where throughput did not, and a queue grow without end under real arrivals
# - closed the door of a server that listened to everyone

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [02 · Budgets](../02-budgets/02-budgets.ipynb): the same server on one CPU and 192 MiB, where one wrong number makes it many
# times slower and another gets it killed.
