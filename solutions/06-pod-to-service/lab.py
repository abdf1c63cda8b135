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
# # 06 · Pod to Service: what Kubernetes keeps running
#
# Kubernetes does what the files say, again and again, also at night, also when they are wrong. The guide's Deployment passes
# every validator. Here it meets a real API server, a scheduler and a kubelet.
#
# **When you are done you can**
#
# - write probes that let a slow model load, restart a server that hangs, and send it no request before it can answer
# - serve several models out of a ConfigMap, and have a changed one roll out
# - deliver a model by a volume that somebody fills and everybody verifies
# - run as nobody: admitted by Pod Security `restricted`, and confined in fact

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("06-pod-to-service")
lab

# %% [markdown] id="cluster-text"
# ## A cluster of your own
#
# It starts in ten seconds and ends with this notebook. To keep one for the whole course, type `uv run llmlab cluster up` in a terminal
# first. A check ends what this notebook has opened; `cluster = lab.cluster("storage")` opens it again.

# %% id="cluster"
cluster = lab.cluster("storage")
cluster

# %% [markdown] id="graded"
# ## What is graded
#
# - `filled`, `verified`: somebody fills the volume with the right models, and nobody serves a wrong one
# - `ready`, `both-sets`: three replicas answer, and the Service leads to every ready pod of both sets
# - `slow`, `wedged`: a model that loads slowly gets the time, and a server that hangs is started again within 45 s
# - `models`, `rollout`: `/v1/models` lists what `models.ini` says, and a changed `models.ini` replaces the pods
# - `admitted`, `confined`, `threads`: the namespace admits confined pods only, yours are confined, with as many threads as CPUs
# - `spread`: three nodes, one replica on each, also after a rollout

# %% [markdown] id="apply-text" tags=["prediction"]
# ## The guide's files, applied
#
# `kustomization.yaml` lists what belongs together, and `cluster.apply()` is `kubectl apply -k .`. Read `deployment.yaml` and
# `pvc.yaml` first. **Predict**: of the three replicas, how many will be ready in fifteen seconds?

# %% id="predict-ready"
lab.predict(ready_after_15_s=3)

# %% id="apply"
app = cluster.apply()
ready = app.ready(within=15)
ready

# %% id="apply-compare"
lab.compare(ready_after_15_s=ready.value("llama-server"))

# %% id="why"
app.pods()

# %% [markdown] id="why-after"
# A [claim](https://kubernetes.io/docs/concepts/storage/persistent-volumes/) asks for a class of storage, and somebody's provisioner must
# know that class: `efs-sc` exists on AWS only. Take yours from `cluster.kubectl("get storageclass")`, or name none and get the
# default. Then comes the next question, which the guide never asks: **who fills the volume?** Everybody mounts it read-only.
#
# **Your turn: storage.** In [pvc.yaml](pvc.yaml): a class that exists, and an access mode with which one pod writes and the others
# read. [loader.yaml](loader.yaml) holds a finished [Job](https://kubernetes.io/docs/concepts/workloads/controllers/job/) that copies
# one model, with a comment at each line that is not obvious. Add the second model: a container beside the first one, its mount, its
# volume. A server that starts before its model is there ends at once, so let an *init container* of `deployment.yaml` wait for it:
# `fetch --wait` is made for that.

# %% id="check-filled"
lab.check("filled")

# %% [markdown] id="probes-text"
# ## Alive, ready, or only slow?
#
# Large models come over networks, and load for minutes. Until then llama-server answers `/health` with 503. The guide's
# liveness probe waits 60 s, then gives up after three failures, 30 s apart; our clock runs ten times faster. Below, the same
# server is started twice over a slow volume (it loads for 16 s, which stands for almost three minutes): with the guide's
# probes, and with those of *your* `deployment.yaml`.

# %% [markdown] id="timeline-prediction" tags=["prediction"]
# **Predict**: how often does the guide's server start again within 40 s?

# %% id="predict-restarts"
lab.predict(restarts=0)

# %% id="timeline"
cluster = lab.cluster("storage")
states = cluster.timeline(40)
states

# %% id="timeline-compare"
lab.compare(restarts=states.value("guide"))

# %% id="timeline-figure" tags=["figure"]
states.plot()

# %% [markdown] id="timeline-after"
# A bar is a pod, a colour a state; the number in it counts the restarts. The guide's server never becomes ready: it is killed just
# before it would have been, and after each time Kubernetes waits longer. A longer `initialDelaySeconds` would help until the model
# grows. Three [probes](https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/) ask three
# questions:
#
# | probe | asks | when it fails |
# |---|---|---|
# | `startupProbe` | has it come up yet? | killed, but only after a budget that is yours to set; the others wait for it |
# | `readinessProbe` | may it get requests now? | no requests |
# | `livenessProbe` | does it hang? | killed |
#
# **Your turn: probes.** In [deployment.yaml](deployment.yaml), give the server the time it needs, and still have one that hangs restarted within 45 s (on our clock). Then run
# the cells from `cluster.timeline` on again: your bar should become ready once, without a restart. The checks `slow` and `wedged` take
# a minute, so the one at the end looks at them.
#
# A late answer is no hang. `/health` is answered in a millisecond, also with every slot busy; but when more connections than its slots
# and four arrive at the same moment, some of them, and `/health` with them, can wait for seconds until a stream ends (llama-server
# b11549). A liveness probe that gives up sooner kills a server that works: let it take ten seconds in all, or start the server with
# `--threads-http` as large as the burst.
#
# ## Who gets the requests?
#
# The guide has a second set, for GPUs (`gpu.yaml`, given; there is none here, and the engine is the CPU's). Its Service
# finds pods by labels.

# %% id="endpoints"
app = cluster.apply()
app.ready(within=25)

# %% id="who"
app.endpoints("llama-server")

# %% [markdown] id="who-after"
# `app: llama-server` is a label of the first set only. The GPU pods were Ready, and idle.
#
# **Your turn: the Service.** In [service.yaml](service.yaml), make it find both sets, and nothing else: not the pods of the Job.

# %% id="check-service"
lab.check("filled", "ready", "both-sets")

# %% [markdown] id="models-text"
# ## Which models?
#
# The guide's ConfigMap lists models in a JSON that nothing mounts and nothing reads. llama-server has a *router*: started
# with `--models-preset FILE` and without `-m`, it reads an INI and starts a server for each model. `models.ini` has the
# beginnings of one.
#
# **Your turn: a router.** Call the models `chat` and `small`, and mount the file as a ConfigMap. Two things are new then.
#
# - The router's `/health` is green from its first moment, whatever its models do. `/props?model=chat&autoload=false` says 503
#   while `chat` loads and 200 when it has.
# - A file is read once. When it changes, the pods must too. `configMapGenerator` in `kustomization.yaml` gives a ConfigMap a name
#   that ends in a hash of its content.
#
# And give each server as many `threads` as the pod has CPUs (lab 02 shows why).

# %% id="models"
cluster = lab.cluster("storage")
app = cluster.apply()
app.ready(within=25)
app.models("llama-server")

# %% id="check-models"
lab.check("filled", "ready", "models", "threads")

# %% [markdown] id="confined-text"
# ## Nobody, with nothing
#
# A namespace can refuse pods that could do harm: the label `pod-security.kubernetes.io/enforce: restricted`
# ([Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/)). These rules are checked for real: the
# grader reads user, capabilities and seccomp of your processes from the node.
#
# **Your turn: confined.** The label in `namespace.yaml`; in `deployment.yaml` what `gpu.yaml` and `loader.yaml` show at both levels, pod
# and container.

# %% id="confined"
cluster = lab.cluster("storage")
app = cluster.apply()
cluster.kubectl("get namespace inference --show-labels")

# %% id="check-confined"
lab.check("admitted", "filled", "ready", "confined")

# %% [markdown] id="spread-text"
# ## One node is no place for three
#
# The guide *prefers* that replicas avoid each other. A preference is one vote among many. The grader tries three (simulated)
# nodes, two of which are busy and marked `PreferNoSchedule`, and rolls out three times.
#
# **Your turn: spread.** A
# [`topologySpreadConstraints`](https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/) is a rule where the
# affinity is a wish. During a rollout old and new pods are there together: `matchLabelKeys` says whose are counted. The check `spread`
# is part of the one below.
#
# ## Check
#
# The grader brings a cluster of its own up, applies your files, adds a model to `models.ini`, makes a server hang, makes the volume
# slow, and swaps one byte of the model.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - gave a slow model its time and a hanging server none
# - had a changed file replace the pods that had read it
# - filled a volume, and had everybody verify it before they served from it
# - were let in by `restricted`, and found confined

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [07 · Change without loss](../07-change-without-loss/07-change-without-loss.ipynb): roll out, drain and scale the same servers without losing a
# request. To read on: [how ConfigMaps are generated](https://kubernetes.io/docs/tasks/manage-kubernetes-objects/kustomization/) by
# Kustomize, and llama-server's [manual](https://github.com/ggml-org/llama.cpp/tree/master/tools/server).
