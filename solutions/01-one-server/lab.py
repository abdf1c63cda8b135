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
# - find the knee: from how many users on requests wait, and what waiting costs
# - tell throughput from goodput, and a closed loop from real arrivals
# - keep a server's door closed to people without a key

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab
from llmlab.load import SLO

lab = Lab.here("01-one-server", submission=submission, seed=seed)
lab

# %% [markdown] id="serve-text"
# ## It starts
#
# `server.toml` is that line as a file. Start it, and put what it says beside what runs.

# %% id="serve"
server = lab.serve("server.toml")
lab.show()

# %% id="talk"
server.complete("The quarterly report says", max_tokens=24)

# %% [markdown] id="prediction" tags=["prediction"]
# ## Four users, four documents
#
# Each of the four users pastes a document of 3,000 tokens. The context is 4,096 tokens. **Predict**: how many of the four
# get an answer?

# %% id="predict-answered"
lab.predict(answered_of_four=4)

# %% id="documents"
documents = server.load(concurrency=4, requests=4, prompt_tokens=3000, warmup=0)
documents

# %% [markdown] id="documents-text"
# Whatever happened, the server's own words say why (an empty list: all were answered):

# %% id="why"
[sample.error for sample in documents.runs[0].samples if sample.error]

# %% [markdown] id="context-text"
# ## What a slot really holds
#
# Ask the server how many tokens of context each of its slots has. Is it the number in the file?

# %% id="context" tags=["compare"]
server.props()["default_generation_settings"]["n_ctx"]

# %% [markdown] id="edit-text"
# **Your turn.** Edit `server.toml` so that four users with 3,000-token prompts (and 64 tokens of reply) are served at once.
# About one line. Then run the cells from `lab.serve` on again. Stuck? `lab.hint("context-per-slot")`.

# %% [markdown] id="knee-text" tags=["prediction"]
# ## The knee
#
# Now short prompts, and more and more users. In a **closed loop** each user sends the next request when the last is
# answered. **Predict**: from how many users on do requests have to wait for a slot, and what will you see rise there?

# %% id="predict-knee"
lab.predict(users_before_waiting=2)

# %% id="sweep"
sweep = server.load(concurrency=[1, 2, 3, 4, 5, 6, 8])
sweep

# %% id="knee-figure" tags=["figure"]
calm = sweep.table().set_index("concurrency")["TTFT p50 ms"][4]
slo = SLO(ttft_ms=2 * calm)  # the promise: a first token within twice what four users wait for it
sweep.plot(slo=slo)

# %% [markdown] id="knee-after"
# Beyond the slots, throughput stops growing and time to first token jumps: a user waits for a whole reply of somebody else
# before the first token comes. **Goodput** counts only tokens of requests that kept a promise (here: the first token within
# twice the time that four users wait for it). Right of the slots, throughput looks as good as ever; goodput does not.
#
# **Answer**: with how many users does nobody wait yet, though with one more somebody does?

# %% id="answer-knee" tags=["answer"]
lab.answer(knee=4)  # learner: lab.answer(knee=None)

# %% [markdown] id="open-text" tags=["prediction"]
# ## Real arrivals
#
# A closed loop is polite: when the server is slow, its users send less. Real users do not know of each other. In an **open
# loop** requests arrive at random (a Poisson process) at a rate you set. **Predict**: at 1.5 times what the server can do,
# what will the slowest users see?

# %% id="capacity"
per_second = max(sweep.table()["tokens/s"]) / 48  # requests of 48 tokens the server can finish per second
rates = [round(share * per_second, 1) for share in (0.5, 0.9, 1.5)]
arrivals = server.load(rate=rates, requests=40, max_tokens=48)
arrivals

# %% id="arrivals-figure" tags=["figure"]
arrivals.plot("latency")

# %% [markdown] id="open-after"
# Latency here counts from when a request was *due*, not from when the client got round to sending it. At half the capacity
# nearly nobody waits. Beyond the capacity the queue grows for as long as the load lasts, because llama-server's queue has
# no end and it never says 429. Lab 04 puts something in front that does.

# %% id="timeline" tags=["figure"]
arrivals.plot("timeline", run=2)

# %% [markdown] id="door-text"
# ## Who else gets in?
#
# Look at `host` in the file. The next cell asks which addresses the server listens on. `0.0.0.0` means everyone who
# reaches this machine, and there is no key.

# %% id="door" tags=["compare"]
server.listening()

# %% [markdown] id="door-after"
# Close it: leave `host` out, or set a key *in a file* with `api-key-file` (never in the flags: `ps` shows them to everyone).

# %% [markdown] id="check-text"
# ## Check
#
# Deployed afresh, probed for real. Fix, check again, take a hint: as often as you like.

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
# [02 · Budgets](../02-budgets/lab.ipynb): the same server on one CPU and 192 MiB, where one wrong number makes it many
# times slower and another gets it killed.
