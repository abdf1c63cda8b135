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
# You edit two files, in the editor: `Dockerfile` and `Dockerfile.cuda`. Docker must run on this machine.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("03-container-image", submission=submission, seed=seed)
lab

# %% [markdown] id="build-text" tags=["prediction"]
# ## Build
#
# Open `Dockerfile` and read it once. The first time, llmlab also brings the base images (`llmlab fetch 03` in a shell does
# that beforehand). **Predict**: how many megabytes will the image have, and will the program in it start?

# %% id="predict-build"
lab.predict(megabytes=100, starts=True)

# %% id="build"
image = lab.build("Dockerfile")
image

# %% id="run"
container = lab.run(image, "-m", "/models/tiny.gguf")
container

# %% [markdown] id="libraries-text"
# If it ended with code 127, the loader did not find a library: a program is more than the file with its name.
# Inside the builder, `ldd /usr/bin/llama-server` lists what it needs at the start. The code for the CPU
# (`libggml-cpu-….so`) is not in that list: llama-server looks for it later, and takes what suits the machine.
#
# **Your turn.** Edit `Dockerfile` until the program starts. Two roads are good ones: copy what it needs, or install the
# package in the runtime stage.

# %% [markdown] id="port-text" tags=["prediction"]
# ## Who hears it?
#
# The container was run with `-m …` and nothing else, as anybody would. **Predict**: does it answer from inside the
# container? Does it answer from outside, on the published port? What will Docker say of its health?

# %% id="predict-port"
lab.predict(inside=True, outside=True)

# %% id="answers"
container = lab.run(lab.build("Dockerfile"), "-m", "/models/tiny.gguf")
container.answers()

# %% [markdown] id="port-after"
# `CMD` is only a default: whoever passes arguments replaces all of it, and the address and the port were in it. Its log says
# where it listens then: on 127.0.0.1, which inside a container is the container itself, and on 9931, which llama.cpp
# made its default port in 2026. Mend the port alone and it gets worse: the health check asks from inside, so it is content,
# every dashboard is green, and nobody outside gets an answer. What belongs to the image goes where arguments do
# not reach: `ENV` (`LLAMA_ARG_HOST`; each flag has such a name, `llama-server --help` lists them) or the `ENTRYPOINT`.
#
# **Your turn.** Then run the cell above again.

# %% id="outside" tags=["compare"]
[row[:2] for row in container.answers().rows]

# %% [markdown] id="stop-text" tags=["prediction"]
# ## A request, or a kill
#
# `docker stop` sends SIGTERM to process 1 and waits ten seconds. With `ENTRYPOINT llama-server` (no brackets) process 1
# would be a shell, which passes nothing on. **Predict** how long yours takes.

# %% id="stop-container"
container.stop()

# %% [markdown] id="size-text" tags=["prediction"]
# ## What it weighs
#
# Each instruction that changes files is a layer, and what a later layer deletes is still in the earlier one.
# **Predict**: which part of your image is the largest, and what would a second build take after you changed one line at
# the end? The cell builds it cold and warm and starts it; that takes a minute.

# %% id="measure"
measured = image.measure()
measured

# %% id="size-figure" tags=["figure"]
measured.plot()

# %% [markdown] id="trade-text"
# A smaller image starts no faster on this machine: Docker shares layers and copies nothing. It is pulled faster on the
# next one, there is less in it to be patched, and less for an intruder to use. The record below was made once, on two cores: the
# guide's way, the distribution's package, and the same server compiled from source (`from-source/Dockerfile` in the
# solution). What do the minutes buy?

# %% id="trade-figure" tags=["figure"]
lab.recorded("images").plot()

# %% [markdown] id="cuda-text"
# ## The same for GPUs you do not own
#
# Machine code for a GPU is made for its *compute capability*. The fleet: T4 (75), A100 (80), L4 (89), H100 (90), B200 (100),
# RTX PRO 6000 (120). A GPU runs code of its own major number and a minor one up to its own, so 80 serves 86 and 89, and nothing
# but 75 serves the T4. What is missing is compiled when the server starts, from PTX if there is any, for minutes, at each
# start of a read-only container. And a toolkit only knows the GPUs of its day: Blackwell came with CUDA 12.8.
#
# **Your turn**, in `Dockerfile.cuda`. It is read here, and built only where a CUDA toolchain image is at hand.

# %% [markdown] id="check-text"
# ## Check
#
# The grader builds your file, runs it as a stranger would, starves it of CPU while it loads, freezes it, and runs it on
# an older CPU (emulated, without AVX). Pin the base too: `lab.pin` gives a name with a digest, and a dated tag will do.

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
# [04 · Compose](../04-compose/lab.ipynb): three of these behind one door, with eyes open.
