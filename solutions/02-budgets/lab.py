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

lab = Lab.here("02-budgets")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# - `users`: the server in [server.toml](server.toml) still serves four users with 3,000-token prompts
# - `threads`: on one CPU it is at least 80 % as fast as with the best number of threads
# - `memory`: twenty prompts of 1,000 tokens are answered within 192 MiB

# %% [markdown] id="quota-text"
# ## What can hold a process here
#
# A quota is kept by the kernel: a cgroup ([that is what containers and
# Kubernetes](https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/) use), or, without the right to make
# one, `taskset`, which gives whole CPUs only. This is what your machine has.

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
# The kernel counts how often the quota stopped the server (`nr_throttled`, per 100 ms period: see
# [CFS bandwidth control](https://docs.kernel.org/scheduler/sched-bwc.html)). Kubernetes shows the same counter as
# `container_cpu_cfs_throttled_periods_total`.

# %% id="throttle"
server.throttle()

# %% [markdown] id="throttle-after"
# Compare `throttled` with `periods`: in a throttled period the server had used its 100 ms of CPU time before the period
# was over, and stood still for the rest of it. (Where only `taskset` holds it, there is no such counter.)

# %% [markdown] id="sweep-text" tags=["prediction"]
# ## The figure of this course
#
# Every thread count under every quota, two rounds, each point a server of its own. **Predict** before you run it: which number
# of threads, 1, 2 or 4, is the fastest on one CPU? This takes a minute or two.

# %% id="predict-best"
lab.predict(fastest_threads_on_one_cpu=2)

# %% id="sweep"
sweep = lab.sweep(threads=[1, 2, 4], cpus=lab.quotas().cpus)
sweep

# %% id="sweep-compare"
one = sweep.table().query("cpus == 1").groupby("threads")["tokens/s"].median()
lab.compare(
    share_with_four_threads=one.get(4, float("nan")) / one.get(1, float("nan")),
    fastest_threads_on_one_cpu=one.idxmax() if len(one) else None,
)

# %% id="threads-figure" tags=["figure"]
sweep.plot(guess=lab.guess("fastest_threads_on_one_cpu"))

# %% [markdown] id="sweep-after"
# One line for each quota; a ring marks its fastest point. Left of the quota, a thread more is a gain at best. Right of it is a
# cliff: the label at the end of the line says how many times slower. At every layer of the model the threads wait for each
# other; when they share a CPU, the thread that all others wait for is often the one that is not running, and the others use up
# the quota while they wait. A container does not warn: inside it `nproc` still shows the whole machine, so a server that picks
# its own thread count picks the wrong one ([`--threads`](https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md)).
#
# **Your turn.** Set `threads` in [server.toml](server.toml) for one CPU. Then serve again and compare with the first load. The
# check measures your number alternately with the best one, which takes half a minute or more.

# %% id="again"
server = lab.serve("server.toml")
server.load(concurrency=1, requests=4, max_tokens=16, timeout=10)

# %% id="check-threads"
lab.check("users", "threads")

# %% [markdown] id="memory-text" tags=["prediction"]
# ## What fills the memory
#
# The model has 24 MB. **Predict**: by how many MiB does the server's resident memory grow while six distinct prompts of 1,000
# tokens are answered? (The check has stopped the server; the cell starts it again.)

# %% id="predict-memory"
lab.predict(mebibytes_added_by_six_prompts=0)

# %% id="memory-before"
server = lab.serve("server.toml")
before = server.rss() / 2**20
prompts = server.load(concurrency=2, requests=6, prompt_tokens=1000, max_tokens=8, warmup=0)
after = server.rss() / 2**20
f"{before:.0f} MiB before, {after:.0f} MiB after {len(prompts.runs[0].samples)} prompts"

# %% id="memory-compare"
lab.compare(mebibytes_added_by_six_prompts=after - before)

# %% [markdown] id="memory-after"
# The model did not grow. llama-server keeps the state of old prompts in host memory, so that the prompt of a conversation that
# comes back is not computed again. That is good, and it is bounded by `cache-ram`: **8,192 MiB** unless you say otherwise, in a
# budget of 192. After about twenty such prompts the kernel ends the server in the middle of a reply (exit code 137 in a
# container).
#
# **Your turn.** Bound it in [server.toml](server.toml), so that the model, the context and the cache fit together. One line;
# the check of the whole lab comes next and looks at it (`memory`).

# %% [markdown] id="check-text"
# ## Check
#
# The grader holds your server to the budget itself, measures the best thread count alternately with yours, and sends twenty
# long prompts.

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
# [03 · Container image](../03-container-image/03-container-image.ipynb) puts this server into an image that runs anywhere. To read on:
# [CFS bandwidth control](https://docs.kernel.org/scheduler/sched-bwc.html) in the kernel's documentation, and
# `llama-server --help` from `--threads` down.
