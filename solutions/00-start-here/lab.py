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
# - start a real llama-server from a notebook, and talk to it from a shell
# - load it, and read throughput and latency off one figure
# - have a check look at what really runs
#
# Run the cells from top to bottom: click into one and press **Shift+Enter**. What is graded here is one check:
#
# - `serves`: your machine serves tokens
#
# **If something gets in the way**, in this lab and in all others:
#
# - *The kernel was restarted*, or a cell says `NameError`: click into the cell where you want to go on, then choose
#   **Kernel → Restart Kernel and Run up to Selected Cell**. What you have edited, answered and guessed is kept in files.
# - *You closed the tab during a run*: the run goes on. Open the notebook again; the old output stays until you run the cell
#   again.
# - *The caption of a figure says noisy*: other programs used the processor during the measurement. Run the cell again when
#   less is going on.
#
# The [manual of JupyterLab](https://jupyterlab.readthedocs.io/en/stable/user/notebook.html) shows the rest of a notebook.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("00-start-here")
lab

# %% [markdown] id="machine-text"
# ## Your machine
#
# The next cell shows what runs on this machine, and what later labs still need.

# %% id="machine"
lab.machine()

# %% [markdown] id="serve-text"
# ## A server
#
# [server.toml](server.toml) says what to serve. **Open it**: it holds a model and a few flags, and the flags are
# llama-server's own [long names](https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md). The next cell
# starts exactly that, and waits until the model is loaded.

# %% id="serve"
server = lab.serve("server.toml")
server

# %% [markdown] id="command-text"
# The line below the status is the command that started it: a program, a model, and the flags of the file. (Where it begins
# with `python -P -m llmlab.engine.host`, the program is the engine that the course installs as a Python wheel: llama.cpp's
# own code and flags, loaded by Python.) The server holds its port, so do not paste that line while it runs. Talk to it
# instead. The model is synthetic: its weights are random, so it works exactly as hard as a real one of its size and says
# nonsense.

# %% id="talk"
server.complete("Once upon a time", max_tokens=24)

# %% [markdown] id="shell-text"
# The same from a shell. Run the next cell, open a terminal (**File → New → Terminal**), and paste the line that it prints.
# [curl](https://curl.se/docs/manpage.html) sends the request to this very server and prints its answer as JSON.

# %% id="shell"
body = '{"prompt": "Once upon a time", "n_predict": 24}'
print(f"curl -s {server.url}/completion -H 'Content-Type: application/json' -d '{body}'")

# %% [markdown] id="slots-text"
# A **slot** is a place where one request is worked on. The file asked for two; this asks the running server.

# %% id="slots" tags=["compare"]
server.props()["total_slots"]

# %% [markdown] id="prediction" tags=["prediction"]
# ## Load
#
# Next, one user sends requests, then two at once, then four. One user gets X tokens per second. **Predict before you run
# it**: how many times X do four users get together? Put your number into the cell below; nobody grades it.

# %% id="predict"
lab.predict(gain_with_four_users=2.0)

# %% [markdown] id="words-text"
# The measurement gives a table. These words stand in it, and in every lab that follows:
#
# - **TTFT**, time to first token: how long a user looks at an empty reply.
# - **TPOT**, time per output token: how fast the text comes after that.
# - **tokens/s**, the throughput: what the server gives all its users together.
# - **p50** and **p95**, percentiles: half of the requests needed at most the p50, and 95 of 100 at most the p95. The p95
#   shows what the slowest users see; it needs 20 requests or more, else its place is empty.
# - **concurrency**: how many users have a request open at the same time.

# %% id="load"
run = server.load(concurrency=[1, 2, 4])
run

# %% id="compare"
speed = run.table().set_index("concurrency")["tokens/s"]
lab.compare(gain_with_four_users=speed[4] / speed[1])

# %% id="figure" tags=["figure"]
run.plot()

# %% [markdown] id="figure-after"
# Above is throughput, below latency; the dashed upright line is the number of slots. Look for this: up to the two slots,
# more users get more tokens per second together, or at least no fewer. With four users, two of them always wait for a slot,
# and **the waiting shows in TTFT** (orange), not in the throughput (blue). A hollow point is a noisy one: if the caption
# says so, run the two cells again when less is going on.

# %% [markdown] id="check-text"
# ## Check
#
# A check never looks at your file to see whether it seems right. It starts what the file describes afresh, in a process of
# its own, and probes what runs. The server of this notebook is stopped first.

# %% id="check"
lab.check()

# %% [markdown] id="journal-text"
# What you guess, measure and check is kept in a journal. Nobody grades it either.

# %% id="journal"
lab.journal()

# %% [markdown] id="stop-text"
# The panel offers the same as buttons. Each button calls a function that you have just used.

# %% id="panel"
lab.panel()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - started a real llama-server, and talked to it from a notebook and from a shell
# - loaded it with one, two and four users, and read throughput and latency off one figure
# - had a check start your file afresh and look at what ran

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [01 · One honest server](../01-one-server/01-one-server.ipynb): a flag line that starts, answers, pleases every linter, and still
# turns its users away.
