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
# # 02 · Budgets: threads, memory, quotas
#
# In production a server does not get a machine. It gets a budget: here **one CPU and 192 MiB**. The guide asks its cluster
# for `cpu: 4`, somebody wrote `threads = 4`, and nobody looked again.
#
# **When you are done you can**
#
# - choose a thread count for a CPU quota, and know what a wrong one costs
# - read a container's throttling counter
# - find what fills a server's memory besides the model, and bound it

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("02-budgets", submission=submission, seed=seed)
lab

# %% [markdown] id="quota-text"
# ## What can hold a process here
#
# A quota is kept by the kernel: a cgroup (that is what containers and Kubernetes use), or, without the right to make one,
# `taskset`, which gives whole CPUs only. This is what your machine has.

# %% id="quotas"
lab.quotas()

# %% [markdown] id="prediction" tags=["prediction"]
# ## One CPU, four threads
#
# Start the server inside its budget. **Predict**: how many tokens per second does one user get with four threads on one CPU,
# as a share of what one thread gives: the same, half, or less?

# %% id="predict-threads"
lab.predict(share_with_four_threads=0.5)

# %% id="serve"
server = lab.serve("server.toml")
first = server.load(concurrency=1, requests=2, max_tokens=8, timeout=10)
first

# %% [markdown] id="throttle-text"
# The kernel counts how often the quota stopped the server (`nr_throttled`, per 100 ms period). Kubernetes shows the same
# counter as `container_cpu_cfs_throttled_periods_total`.

# %% id="throttle"
server.throttle()

# %% [markdown] id="sweep-text" tags=["prediction"]
# ## The figure of this course
#
# Every thread count under every quota, two rounds, each point a server of its own. **Predict** the shape of the line for one
# CPU before you run it. This takes a minute or two.

# %% id="sweep"
sweep = lab.sweep(threads=[1, 2, 4], cpus=lab.quotas().cpus)
sweep

# %% id="threads-figure" tags=["figure"]
sweep.plot()

# %% [markdown] id="sweep-after"
# Left of the quota, a thread more is a gain at best. Right of it is a cliff. At every layer of the model the threads wait
# for each other; when they share a CPU, the one that everybody waits for is often the one that is not running, and the
# others burn the quota while they wait. A container does not warn: inside it `nproc` still shows the whole machine, so
# a server that picks its own thread count picks the wrong one.
#
# **Your turn.** Set `threads` in `server.toml` for one CPU. Then serve again and compare.

# %% id="again"
server = lab.serve("server.toml")
server.load(concurrency=1, requests=4, max_tokens=16, timeout=10)

# %% [markdown] id="memory-text" tags=["prediction"]
# ## What fills the memory
#
# The model has 24 MB. **Predict**: what does the server's resident memory do while six users send one distinct prompt of
# 1,000 tokens each?

# %% id="memory-before"
before = server.rss() / 2**20
prompts = server.load(concurrency=2, requests=6, prompt_tokens=1000, max_tokens=8, warmup=0)
f"{before:.0f} MiB before, {server.rss() / 2**20:.0f} MiB after {len(prompts.runs[0].samples)} prompts"

# %% [markdown] id="memory-after"
# The model did not grow. llama-server keeps the state of old prompts in host memory, so that a conversation that comes back
# need not be read again. That is good, and it is bounded by `cache-ram`: **8,192 MiB** unless you say otherwise, in a budget
# of 192. Twenty such prompts and the kernel ends the server in mid-sentence (exit code 137 in a container).
#
# **Your turn.** Bound it in `server.toml`, so that the model, the context and the cache fit together.

# %% [markdown] id="check-text"
# ## Check
#
# The grader holds your server to the budget itself, sweeps threads in turn with yours, and sends twenty long prompts.

# %% id="check"
lab.check()

# %% id="panel"
lab.panel()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - drew tokens per second against threads at several quotas, and saw the cliff right of the quota
# - read the throttling counter that Kubernetes shows too
# - found the prompt cache filling the memory, and gave it a bound

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [03 · Container image](../03-container-image/lab.ipynb) puts this server into an image that runs anywhere. Until that lab is
# here: read *CFS Bandwidth Control* in the kernel's documentation, and `llama-server --help` from `--threads` down.
