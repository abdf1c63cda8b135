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
# # 00 · Start here
#
# Ten minutes, and nothing here can fail. You start a real llama-server, talk to it, load it, and read your first figure.
#
# **When you are done you can**
#
# - start a real llama-server from a notebook, and from a shell
# - load it, and read throughput and latency off one figure
# - have a check look at what really runs
#
# Run the cells from top to bottom: click into one and press **Shift+Enter**.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("00-start-here", submission=submission, seed=seed)
lab

# %% [markdown] id="machine-text"
# ## Your machine
#
# What runs here, and what later labs would still need.

# %% id="machine"
lab.machine()

# %% [markdown] id="serve-text"
# ## A server
#
# `server.toml` says what to serve. **Open it** in the file browser on the left: it holds a model and a few flags, and the
# flags are llama-server's own long names. The next cell starts exactly that, and waits until the model is loaded.

# %% id="serve"
server = lab.serve("server.toml")
server

# %% [markdown] id="command-text"
# There is no magic in it. Paste that line into a terminal and you have the same server.
#
# Now talk to it. The model is synthetic: its weights are random, so it works exactly as hard as a real one of its size
# and says nonsense.

# %% id="talk"
server.complete("Once upon a time", max_tokens=24)

# %% [markdown] id="slots-text"
# A **slot** is a place where one request is worked on. The file asked for two; this asks the running server.

# %% id="slots" tags=["compare"]
server.props()["total_slots"]

# %% [markdown] id="prediction" tags=["prediction"]
# ## Load
#
# Next, one user sends requests, then two at once, then four. **Predict before you run it**: how many times the tokens per
# second of one user will four users get together? Put your number into the cell below; nobody grades it.

# %% id="predict"
lab.predict(gain_with_four_users=2.0)

# %% id="load"
run = server.load(concurrency=[1, 2, 4])
run

# %% [markdown] id="figure-text"
# Words you will meet in every lab:
#
# - **TTFT**, time to first token: how long a user looks at an empty reply.
# - **TPOT**, time per output token: how fast the text comes after that.
# - **tokens/s**: what the server gives all its users together.

# %% id="figure" tags=["figure"]
run.plot()

# %% [markdown] id="figure-after"
# You should see this: up to the two slots, more users get more (or at least no fewer) tokens per second. With four users,
# two of them always wait for a slot, and **the waiting shows in TTFT**, not in the throughput. How far off was your guess?
#
# ## Check
#
# A check never looks at your file to see whether it seems right. It deploys it afresh, in a process of its own, and probes
# what runs.

# %% id="check"
lab.check()

# %% [markdown] id="stop-text"
# The panel has the same powers as buttons. Everything it does has a function, which you just used.

# %% id="panel"
lab.panel()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - started a real llama-server, and saw the line that starts it from a shell
# - loaded it with one, two and four users, and read throughput and latency off one figure
# - had a check deploy your file and look at what ran

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [01 · One honest server](../01-one-server/lab.ipynb): a flag line that starts, answers, pleases every linter, and still
# turns its users away.
