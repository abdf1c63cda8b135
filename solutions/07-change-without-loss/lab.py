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
# Lab 06 ended with servers that stay up as long as nothing changes. But things change: a new image, a new kernel on the nodes, eight
# users instead of one. A request takes seconds here, some take minutes. Each of these changes ends pods, and each pod is in the middle
# of somebody's answer.
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

lab = Lab.here("07-change-without-loss")
lab

# %% [markdown] id="cluster-text"
# ## A cluster with a view
#
# Besides Kubernetes there is a Prometheus in it that asks every llama-server every second, a metrics-server for the CPU, and
# KEDA, which makes an autoscaler of a query. That takes half a minute; `uv run llmlab cluster up` in a terminal keeps one. A check ends
# what this notebook has opened; the same line opens it again.

# %% id="cluster"
cluster = lab.cluster("metrics-server", "keda")
cluster

# %% [markdown] id="graded"
# ## What is graded
#
# - `ready`, `rollout`: two replicas answer, and three rollouts under load lose no request; a fourth one leaves a reply whole that takes
#   45 s, the longest there is
# - `eviction`, `emptied-node`: while one pod is on its way out the other may not be evicted; a node is emptied without a lost request
# - `bad-image`: an image that does not exist is given up within 30 s and taken back, while the old pods serve
# - `steady`, `scale-up`, `no-flapping`, `scale-down`: two replicas for one user, four for eight within 20 s, and no fewer while they stay;
#   two again within 45 s, without a lost request
# - `apply-again`: `kubectl apply` at the height of the load does not undo the autoscaler

# %% [markdown] id="rollout-text" tags=["prediction"]
# ## A rollout, seen by users
#
# The guide's Deployment and yours (the same, so far) are put into the cluster side by side. Four users ask each of them, all the
# time; most replies are short, every third is long. Then both are rolled out. Kubernetes brings a new pod up, waits until it is
# ready, ends an old one, and so on: a *rolling update*, and what every introduction calls zero downtime.
#
# **Predict**: how many requests to the guide's Deployment fail?

# %% id="predict-failed"
lab.predict(failed_requests=0)

# %% id="rollouts"
rolled = cluster.rollouts()
rolled

# %% id="rollouts-compare"
lab.compare(failed_requests=rolled.value("guide"))

# %% id="rollouts-figure" tags=["figure"]
rolled.plot()

# %% [markdown] id="rollout-after"
# A column is a second, with the replies that ended in it; hatched ones failed. They fail in the shaded part, the rollout: a request that
# an old pod had begun ends with that pod.
#
# When a pod ends, three things start at the same moment, and nobody waits for anybody:
#
# 1. its address is taken out of the Service: within a second, once every node has heard of it;
# 2. its `preStop` hook runs, if there is one;
# 3. after the hook the process gets SIGTERM; `terminationGracePeriodSeconds` after the beginning of it all, SIGKILL.
#
# On SIGTERM llama-server refuses new connections and stops decoding. Requests that it has begun hang, with their users, until
# the end of the grace period (30 s, unless you say otherwise), and are lost.
#
# (Kubernetes: [Termination of Pods](https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination).)
#
# **Your turn: drain.** So the server must be idle *before* SIGTERM. `preStop: {sleep: {seconds: 20}}` is one way, and needs no program
# in the image: as long as no reply takes longer (here 45 s is the longest), and every rollout takes that long. The other way is to ask: llama-server's
# `/metrics` says how many requests there are. `/usr/local/bin/drain` in this image does so, in sixty lines of Go. Change
# [deployment.yaml](deployment.yaml), and run the cells from `cluster.rollouts()` on again: your panel should have no hatched column. The
# check `rollout` takes a minute or two, so the one at the end looks at it.
#
# ## One at a time, please
#
# The people who maintain the nodes empty them with
# [`kubectl drain`](https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/), which asks the API server to *evict* each
# pod. It may refuse. Below, both your pods are asked for, one straight after the other. **Predict**: how many of the two go?

# %% id="predict-evict" tags=["prediction"]
lab.predict(pods_evicted_at_once=1)

# %% id="apply" tags=["compare"]
app = cluster.apply()
app.ready(within=60)

# %% id="evict"
evicted = app.evict()
evicted

# %% id="evict-compare"
lab.compare(pods_evicted_at_once=evicted.value("gone"))

# %% [markdown] id="evict-after"
# Without a [`PodDisruptionBudget`](https://kubernetes.io/docs/tasks/run-application/configure-pdb/) both go. Where nobody else is ready, the Service sends requests to pods on their way out, as long as
# they serve: two seconds of draining and a model that loads in one go well together. A model that loads for minutes leaves nobody.
#
# **Your turn: a budget.** Write it into [pdb.yaml](pdb.yaml). The opposite mistake: a budget that never lets a pod go stops the
# maintenance of the node.
#
# ## The image that is not there
#
# Somebody mistypes a version. With a rolling update the old pods stay until new ones are ready, so users notice nothing.
# Does anybody? **Predict**: after how many seconds does Kubernetes give the new image up?

# %% id="predict-bad" tags=["prediction"]
lab.predict(seconds_until_given_up=30)

# %% id="bad"
cluster.kubectl("set image deployment/llama-server -n inference llama-server=llama-server:v9.9.9")

# %% id="bad-status"
cluster.kubectl("rollout status deployment/llama-server -n inference --timeout=25s")

# %% id="bad-pods"
app.pods()

# %% id="bad-compare"
deadline = cluster.kubectl(
    "get deployment llama-server -n inference -o jsonpath={.spec.progressDeadlineSeconds}"
)
lab.compare(seconds_until_given_up=deadline.value("number"))

# %% [markdown] id="bad-after"
# By default Kubernetes waits for ten minutes, and a pipeline that looks at `rollout status` waits with it.
#
# **Your turn: a deadline.** [`progressDeadlineSeconds`](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds)
# says for how long. It takes nothing back by itself: the pipeline has to do that, or you, with `rollout undo`.

# %% id="undo"
cluster.kubectl("rollout undo deployment/llama-server -n inference")

# %% [markdown] id="check-changes-text"
# The budget and the deadline, checked under load. It takes about a minute.

# %% id="check-changes"
lab.check("ready", "eviction", "bad-image")

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
cluster = lab.cluster("metrics-server", "keda")
trace = cluster.scaling()
trace

# %% id="scaling-compare"
lab.compare(replicas_for_one_user=trace.value("guide"))

# %% id="scaling-figure" tags=["figure"]
trace.plot(guess=lab.guess("replicas_for_one_user"))

# %% [markdown] id="scaling-after"
# Above, the dashed line is the number of replicas that the autoscaler wants, the area how many are ready; below, the hatched area are
# users who wait for a first token. On the left one user is enough to bring more replicas: a server that decodes is
# busy, for one user as for eight, with all the CPU it may have, or all of the GPU. That says *that* there is work, not *how much*. What
# says how much is the number of requests, in a slot or waiting for one. (Some wait even when there is a slot for everybody: the Service
# picks a pod at random, whether it is busy or not. [Lab 09](../09-front-door/09-front-door.ipynb) puts something better there.)
#
# **Your turn: scale on requests.** Write a KEDA [`ScaledObject`](https://keda.sh/docs/latest/scalers/prometheus/);
# [autoscaler.yaml](autoscaler.yaml) names the metrics. It puts a HorizontalPodAutoscaler in place whose
# target is *per replica*: `desired = ceil(value of the query / threshold)`. Three questions decide whether it works.
#
# - *Which value?* Requests that wait vanish as soon as the new pods are there. If only they are counted, the next look finds none, and
#   takes the new pods away again.
# - *How fast down?* By default an [HPA](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/) waits five minutes (`stabilizationWindowSeconds` under `behavior.scaleDown`). The lab has 45 s.
# - *Whose number is `replicas`?* If `deployment.yaml` names one, the next `kubectl apply` sets it, at the height of the load.
#
# Run the cells from `cluster.scaling()` on again: yours should stay at two for one user, go to four for eight and back to two.
#
# ## Check
#
# The grader brings a cluster of its own up and does all of this to your files: three rollouts, both evictions, a bad image, one
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
# [08 · GPUs you do not own](../08-gpus/08-gpus.ipynb): where the scheduler puts what a CPU cannot run. To read on:
# [Disruptions](https://kubernetes.io/docs/concepts/workloads/pods/disruptions/) in the Kubernetes documentation.
