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
# # 07 · Change without loss: roll out, drain, scale
#
# Lab 06 ended with servers that stay up as long as nobody touches them. But people touch them: a new image on Tuesday, a new
# kernel under the nodes on Wednesday, eight users instead of one on Thursday. A request takes seconds here, some take minutes.
# Each of these changes ends pods, and each pod is in the middle of somebody's answer.
#
# **When you are done you can**
#
# - roll out three times under load, and lose no request
# - let a node be emptied, one pod at a time
# - notice a bad image in seconds, with the good one still serving
# - scale on the work that waits, not on the CPU: up in time, down without loss, and no flapping

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("07-change-without-loss", submission=submission, seed=seed)
lab

# %% [markdown] id="cluster-text"
# ## A cluster with a view
#
# Besides Kubernetes there is a Prometheus in it that asks every llama-server every second, a metrics-server for the CPU, and
# KEDA, which makes an autoscaler of a query. That takes half a minute; `llmlab cluster up` in a terminal keeps one.

# %% id="cluster"
cluster = lab.cluster("metrics-server", "keda")
cluster

# %% [markdown] id="rollout-text" tags=["prediction"]
# ## A roll-out, seen by users
#
# The guide's Deployment and yours (the same, so far) are put into the cluster side by side. Four users ask each of them, all the
# time; most replies are short, every third is long. Then both are rolled out. Kubernetes brings a new pod up, waits until it is
# ready, ends an old one, and so on: a *rolling update*, and what every introduction calls zero downtime.
#
# **Predict**: how many requests fail?

# %% id="predict-failed"
lab.predict(failed_requests=0)

# %% id="rollouts"
rolled = cluster.rollouts()
rolled

# %% id="rollouts-figure" tags=["figure"]
rolled.plot()

# %% [markdown] id="rollout-after"
# When a pod ends, three things start at the same moment, and nobody waits for anybody:
#
# 1. its address is taken out of the Service: within a second, once every node has heard of it;
# 2. its `preStop` hook runs, if there is one;
# 3. after the hook the process gets SIGTERM; `terminationGracePeriodSeconds` after the beginning of it all, SIGKILL.
#
# On SIGTERM llama-server refuses new connections and stops decoding. Requests that it has begun hang, with their users, until
# the end of the grace period (30 s, unless you say otherwise), and are lost.
#
# **Your turn.** So the server must be idle *before* SIGTERM. `preStop: {sleep: {seconds: 20}}` is one way, and needs no program
# in the image: as long as no reply takes longer, and every roll-out takes that long. The other way is to ask: llama-server's
# `/metrics` says how many requests there are. `/usr/local/bin/drain` in this image does so, in sixty lines of Go. Change
# `deployment.yaml`, and run the two cells above again.
#
# ## One at a time, please
#
# Whoever maintains the nodes empties them with `kubectl drain`, which asks the API server to *evict* each pod. It may refuse.
# Below, both your pods are asked for, one straight after the other.

# %% id="apply" tags=["compare"]
app = cluster.apply()
app.ready(within=60)

# %% id="evict"
app.evict()

# %% [markdown] id="evict-after"
# Without a `PodDisruptionBudget` both go. Where nobody else is ready, the Service sends requests to pods on their way out, as long as
# they serve: two seconds of draining and a model that loads in one go well together. A model that loads for minutes leaves nobody.
# Write a budget into `pdb.yaml`. Mind the other ditch: one that never lets a pod go stops the maintenance of the node, at three
# in the morning.
#
# ## The image that is not there
#
# Somebody mistypes a version. With a rolling update the old pods stay until new ones are ready, so users notice nothing.
# Does anybody?

# %% id="bad"
cluster.kubectl("set image deployment/llama-server -n inference llama-server=llama-server:v9.9.9")

# %% id="bad-status"
cluster.kubectl("rollout status deployment/llama-server -n inference --timeout=25s")

# %% id="bad-pods"
app.pods()

# %% [markdown] id="bad-after"
# Kubernetes hopes for ten minutes, and a pipeline that waits for `rollout status` hopes with it. `progressDeadlineSeconds` says for
# how long. It takes nothing back by itself: that is the pipeline's part, or yours.

# %% id="undo"
cluster.kubectl("rollout undo deployment/llama-server -n inference")

# %% [markdown] id="scaling-text" tags=["prediction"]
# ## How many?
#
# One user, then eight, then one again; each replica has two slots. `autoscaler.yaml` scales on CPU, as most first autoscalers do.
# Both autoscalers get the same users at the same time: the guide's, and yours.
#
# **Predict**: how many replicas does one user get from an autoscaler that aims at 70 % CPU?

# %% id="predict-replicas"
lab.predict(replicas_for_one_user=2)

# %% id="scaling"
trace = cluster.scaling()
trace

# %% id="scaling-figure" tags=["figure"]
trace.plot()

# %% [markdown] id="scaling-after"
# A server that decodes is busy, for one user as for eight: all the CPU it may have, or all of the GPU. That says *that* there
# is work, not *how much*. What says how much is the number of requests, in a slot or waiting for one. (That some wait even when
# there is a slot for everybody is the Service's doing: it throws dice. Lab 09.)
#
# **Your turn.** Write a KEDA `ScaledObject`; `autoscaler.yaml` names the metrics. It puts a HorizontalPodAutoscaler in place whose
# target is *per replica*: `desired = ceil(value of the query / threshold)`. Three questions decide whether it works.
#
# - *Which value?* Those who wait vanish as soon as the new pods are there. If they alone are counted, the next look finds nobody,
#   and takes the new pods away again.
# - *How fast down?* By default an HPA waits five minutes (`stabilizationWindowSeconds` under `behavior.scaleDown`). The lab has 45 s.
# - *Whose number is `replicas`?* If `deployment.yaml` names one, the next `kubectl apply` sets it, in the middle of the rush.
#
# ## Check
#
# The grader brings a cluster of its own up and does all of this to your files: three roll-outs, both evictions, a bad image, one
# user, eight, and one again. It takes three minutes.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - had a server finish its work before it was told to go
# - let the node's owner take your pods, but not both
# - gave a bad image seconds instead of ten minutes
# - counted requests instead of CPU, and had as many replicas as there was work

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [08 · GPUs you do not own](../08-gpus/lab.ipynb): where the scheduler puts what a CPU cannot run. To read on: the
# Kubernetes documentation on *Pod Lifecycle: Termination of Pods*, *Disruptions* and *Horizontal Pod Autoscaling: Algorithm details*; KEDA's on the *Prometheus* scaler.
