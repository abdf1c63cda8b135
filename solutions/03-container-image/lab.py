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
# # 03 · Container image: it runs here, does it run there?
#
# An image is a promise to somebody else's machine. The guide's Dockerfile builds without a warning, a linter gives it
# a few remarks on style, and nobody who runs it gets an answer. In this lab you find out why, from outside.
#
# **When you are done you can**
#
# - build an image that answers wherever it is run, with nobody's shell habits in it
# - tell from outside whether an image is safe to hand over: user, file system, signals, health
# - say what an image's size is made of, and halve it
# - choose CUDA architectures and a toolkit for a fleet of GPUs
#
# You edit two files, in the editor: [Dockerfile](Dockerfile) and [Dockerfile.cuda](Dockerfile.cuda). Docker must run on this
# machine. The lab is a chain of small steps: each *Your turn* is one to five lines, and a check follows it.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("03-container-image")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# - `builds`, `libraries`: the Dockerfile builds, and the program in the image starts
# - `answers`: run with `-m MODEL` and nothing else, it answers on the published port
# - `user`, `read-only`, `toolchain`: it is not root, needs nothing to write to, and has no compiler inside
# - `stops`, `health`: it ends when `docker stop` asks, and its health check says the truth
# - `pinned`, `older-cpu`: its base is the same next month, and it runs on a CPU without AVX
# - `cuda`: `Dockerfile.cuda` covers the whole fleet

# %% [markdown] id="build-text" tags=["prediction"]
# ## Build
#
# Open [Dockerfile](Dockerfile) and read it once
# ([every instruction in Docker's manual](https://docs.docker.com/reference/dockerfile/)). The first time, llmlab also brings the
# base images (`llmlab fetch 03` in a shell does that beforehand). **Predict**: how many megabytes will the image have, and will
# the program in it start?

# %% id="predict-build"
lab.predict(image_megabytes=100, program_starts=True)

# %% id="build"
image = lab.build("Dockerfile")
image

# %% id="run"
container = lab.run(image, "-m", "/models/tiny.gguf")
container

# %% id="build-compare"
lab.compare(image_megabytes=image.bytes / 1e6, program_starts=container.container.state["Running"])

# %% [markdown] id="libraries-text"
# If it ended with code 127, the loader did not find a library: a program is more than the file with its name.
# Inside the builder, `ldd /usr/bin/llama-server` lists what it needs at the start
# ([manual](https://man7.org/linux/man-pages/man1/ldd.1.html)). The code for the CPU (`libggml-cpu-….so`) is not in that list:
# llama-server looks for it later, and takes what suits the machine.
#
# **Your turn.** Edit [Dockerfile](Dockerfile) until the program starts. Two ways are good: copy what it needs, or install the
# package in the runtime stage.

# %% id="check-libraries"
lab.check("builds", "libraries")

# %% [markdown] id="port-text" tags=["prediction"]
# ## Who hears it?
#
# The container was run with `-m …` and nothing else, as most users would run it. **Predict** the status of `GET /health`
# (`"200"`, `"503"` or `"no answer"`), asked from inside the container, and from outside on the published port. What will Docker
# say of its health: `"healthy"`, `"starting"` or `"unhealthy"`?

# %% id="predict-port"
lab.predict(status_inside="200", status_outside="200", health_in_docker="healthy")

# %% id="answers"
container = lab.run(lab.build("Dockerfile"), "-m", "/models/tiny.gguf")
container.answers()

# %% id="answers-compare"
rows = container.answers().rows
lab.compare(
    status_inside=rows[0][1],
    status_outside=rows[1][1],
    health_in_docker=container.container.health,
)

# %% [markdown] id="port-after"
# Docker says *starting* until the first health check, which the file puts after 30 seconds, and *unhealthy* of a container that
# has ended. Of the rest, one thing at a time:
#
# - `CMD` is only a default. The arguments of `docker run` replace **all** of it, and the address and the port were in it.
# - Without them llama-server listens on 127.0.0.1, which inside a container is the container itself, and on port 9931, which
#   llama.cpp made its default in 2026. The log says so.
# - If you mend the port alone, it gets worse: the health check asks from inside and is answered, every dashboard is green, and
#   nobody outside gets an answer.
# - What must always hold goes where arguments do not reach: into `ENV` (each flag has such a name, here `LLAMA_ARG_HOST` and
#   `LLAMA_ARG_PORT`; `llama-server --help` lists them) or into the
#   [`ENTRYPOINT`](https://docs.docker.com/reference/dockerfile/#entrypoint).
#
# **Your turn**, one or two lines. Then check, and ask again from inside and outside.

# %% id="check-answers"
lab.check("builds", "libraries", "answers")

# %% id="answers-again"
container = lab.run(lab.build("Dockerfile"), "-m", "/models/tiny.gguf")
container

# %% id="outside" tags=["compare"]
[row[:2] for row in container.answers().rows]

# %% [markdown] id="stop-text" tags=["prediction"]
# ## A request, or a kill
#
# `docker stop` sends SIGTERM to process 1 and waits ten seconds. With `ENTRYPOINT llama-server` (no brackets) process 1
# would be a shell, which passes nothing on. **Predict**: how many seconds does yours take?

# %% id="predict-stop"
lab.predict(seconds_to_stop=10.0)

# %% id="stop-container"
stopped = container.stop()
stopped

# %% id="stop-compare"
lab.compare(seconds_to_stop=float(stopped.split()[2]))

# %% [markdown] id="stop-after"
# Less than a second with exit code 0 (or 143, which is 128 + 15 for SIGTERM) is a server that was asked and ended. Ten seconds
# with exit code 137 (128 + 9) is one that had to be killed, with every reply that it was writing. (A container that had ended
# before says 0.0 seconds and the code of its end.)

# %% [markdown] id="size-text" tags=["prediction"]
# ## What it weighs
#
# Each instruction that changes files is a layer, and what a later layer deletes is still in the earlier one.
# **Predict**: how many megabytes has the largest layer of your image, and how many seconds would a second build take, with
# nothing changed? The cell builds it cold and warm and starts it; that takes a minute.

# %% id="predict-size"
lab.predict(largest_layer_megabytes=50, seconds_of_a_second_build=5.0)

# %% id="measure"
image = lab.build("Dockerfile")
measured = image.measure()
measured

# %% id="size-compare"
parts = [row for table in measured.tables for row in table.dicts()]
lab.compare(
    largest_layer_megabytes=max((row["bytes"] / 1e6 for row in parts if row["what"] == "layer"), default=None),
    seconds_of_a_second_build=next((row["seconds"] for row in parts if row["label"] == "warm"), None),
)

# %% id="size-figure" tags=["figure"]
measured.plot(guess=lab.guess("seconds_of_a_second_build"))

# %% [markdown] id="size-after"
# The upper bar is the image, cut into its layers: the widest part is where to save. Below it are the cold and the warm
# build, on a logarithmic axis; a warm build takes every step from the cache up to the first that changed, so what changes most
# often stands last. The last panel shows how long it takes until the container answers.

# %% [markdown] id="trade-text"
# A smaller image starts no faster on this machine: Docker shares layers and copies nothing. It is pulled faster on the
# next one, there is less in it to be patched, and less for an intruder to use. The record below was made once, on two cores: the
# guide's way, the distribution's package, and the same server compiled from source (`from-source/Dockerfile` in the
# solution). A build from source takes minutes instead of seconds. What do the minutes buy?

# %% id="trade-figure" tags=["figure"]
lab.recorded("images").plot()

# %% [markdown] id="trade-after"
# In this record, very little: 507 seconds instead of 4, for 48 MB instead of 47 and 1,027 tokens per second instead of 1,006.
# The package already holds code for every kind of CPU. What the minutes buy is a version and options of your own, and those you
# need where no package has them: for a GPU.

# %% [markdown] id="cuda-text"
# ## The same for GPUs you do not own
#
# Machine code for a GPU is made for its [compute capability](https://developer.nvidia.com/cuda-gpus). The fleet: T4 (75), A100
# (80), L4 (89), H100 (90), B200 (100), RTX PRO 6000 (120). Three rules:
#
# - A GPU runs code of its own major number and a minor one up to its own: 80 serves 86 and 89, and nothing but 75 serves the T4.
# - What is missing is compiled when the server starts, from PTX if there is any, for minutes, at each start of a read-only
#   container.
# - A toolkit only knows the GPUs of its day: Blackwell (100 and 120) came with CUDA 12.8.
#
# **Your turn**, three lines in [Dockerfile.cuda](Dockerfile.cuda). It is read here, and built only where a CUDA toolchain image
# is at hand.

# %% id="check-cuda"
lab.check("cuda")

# %% [markdown] id="check-text"
# ## Check
#
# The grader builds your file, runs it as a stranger would, starves it of CPU while it loads, freezes it, and runs it on
# an older CPU (emulated, without AVX). `user`, `read-only`, `toolchain`, `stops`, `health`, `pinned` and `older-cpu` are looked
# at here for the first time, in about a minute. Pin the base too: by digest (`lab.pin("debian:forky-slim")` prints one) or by a
# dated tag.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - made an image that answers when it is run with nothing but a model, and saw why the guide's did not
# - saw health that only asked itself, and made it tell the truth while loading and when it hangs
# - halved the image by leaving out what the program does not need
# - covered a fleet of GPUs from Turing to Blackwell by a list and a version

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [04 · Compose](../04-compose/04-compose.ipynb): three of these behind one door, with eyes open.
