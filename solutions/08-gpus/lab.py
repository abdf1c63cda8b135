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
# # 08 · GPUs you do not own
#
# Most mistakes with GPUs are made before any GPU is involved: a label that nobody sets, a taint that nobody tolerates, a machine
# that was retired. They cost a day each, and a scheduler can find them without a single GPU. The scheduler here is the real one;
# the nodes are invented, and labelled and tainted as three clouds label and taint theirs.
#
# **When you are done you can**
#
# - say to a scheduler which GPUs a server can use, on three clouds, and read why it does not place a pod
# - roll out where there is no spare GPU
# - ask for a device by its memory, with dynamic resource allocation
# - write node pools whose labels and taints agree with what is to run on them

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("08-gpus")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# - `everywhere`: on EKS, GKE and AKS both replicas of [gpu-deployment.yaml](gpu-deployment.yaml) land on GPU nodes
# - `architectures`: it is never placed on a GPU for which its image has no code
# - `memory`: its memory limit fits the smallest of these nodes, and it asks for as much as it may take
# - `rollout`: a new version is rolled out although no GPU is spare
# - `claim`: [claim.yaml](claim.yaml) gets a device with enough memory, or none
# - `gke`, `aks`: the clouds would take the node pools of [gke-node-pool.yaml](gke-node-pool.yaml) and
#   [aks-node-pool.sh](aks-node-pool.sh), and the Deployment lands on both
# - `runs`: with a GPU limit one pod really runs and answers

# %% id="cluster"
cluster = lab.cluster()
cluster

# %% [markdown] id="placement-text" tags=["prediction"]
# ## Seven pools
#
# [gpu-deployment.yaml](gpu-deployment.yaml) is the guide's. Seven node pools are waiting, of EKS, GKE and AKS. **Predict**: on
# how many of them would the scheduler place a pod of it?

# %% id="predict-pools"
lab.predict(pools_that_take_it=3)

# %% id="placement"
placement = cluster.placement()
placement

# %% id="placement-compare"
taken = [row["placed"] for row in placement.table.dicts() if row["set"] == "guide"]
lab.compare(pools_that_take_it=sum(taken) if taken else None)

# %% id="placement-figure" tags=["figure"]
placement.plot()

# %% [markdown] id="placement-after"
# The upper row is the guide's Deployment, the lower one is yours, a column is a pool. A green cell is a pod that was placed; in a
# grey one the scheduler says what it found missing, and that is what there is to mend.
#
# `nvidia.com/gpu: "true"` is a label that nobody sets, and `g5.2xlarge` is what one cloud calls one machine. What is true
# everywhere is what NVIDIA's
# [GPU feature discovery](https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md) writes on a
# node: `nvidia.com/gpu.present`, `.product`, `.memory`, `.compute.major`. A label says what a node has; a
# [taint](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/) keeps away every pod that does not
# tolerate it. GKE taints its GPU nodes by itself; the guide's own AKS pool is tainted `sku=gpu`, and the guide's own Deployment
# does not tolerate it.
#
# And not every GPU is good enough: this image has machine code for compute capability 80 and newer. On a T4 (75) it would start,
# and fail. A `nodeSelector` can only ask for equal values;
# [node affinity](https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/) can also compare numbers.
#
# **Your turn**, in [gpu-deployment.yaml](gpu-deployment.yaml), about fifteen lines. Ask for what you need, in words that every
# cloud understands: labels, taints, architecture. And the memory: a limit of 32Gi on a machine of 32 GiB limits nothing, because
# the system takes its part and leaves less than that to pods. Then check, and look at the picture again.

# %% id="check-placement"
lab.check("everywhere", "architectures", "memory")

# %% id="again"
cluster = lab.cluster()
cluster.placement().plot()

# %% [markdown] id="again-after"
# Now the lower row should be green where the GPU is an L4 or an A100, and grey on the T4 pools, for the reason that you wrote.

# %% [markdown] id="spare-text" tags=["prediction"]
# ## No spare
#
# Two replicas, two GPUs. A Deployment rolls out by starting a new pod before it ends an old one (`maxSurge: 25%`, rounded
# up to one; `maxUnavailable: 25%`, rounded down to none). **Predict**: is the third pod placed on a node?

# %% id="predict-third"
lab.predict(third_pod_is_placed=True)

# %% [markdown] id="third-text"
# The check gives your Deployment two nodes with a GPU each and changes its pod template. Run it before you edit.

# %% id="third"
rolled = lab.check("everywhere", "rollout")
rolled

# %% id="third-compare"
lab.compare(third_pod_is_placed=False if "rollout" in rolled.failing else None)

# %% [markdown] id="third-after"
# The third pod goes nowhere: it stays *Pending*, and the scheduler says `Insufficient nvidia.com/gpu`. No old pod may end before
# the new one is ready, and the new one waits for the GPU of an old one, so the roll-out waits for ever. Nothing is down, and
# nothing is new.
#
# **Your turn**, in [gpu-deployment.yaml](gpu-deployment.yaml), four lines: a
# [strategy](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy) that ends an old pod first. Then run
# the check above again. (If it was skipped, `everywhere` comes first.) With this strategy one replica of two serves while a new
# pod starts: that is the price of having no spare GPU.

# %% [markdown] id="cost-text"
# ## What a GPU costs while it waits
#
# A spare GPU would be the other way. What is the price of one that waits? Two replicas with one GPU each, on each of the pools:

# %% id="cost"
cluster = lab.cluster()
cost = cluster.cost(replicas=2)
cost

# %% id="cost-figure" tags=["figure"]
cost.plot()

# %% [markdown] id="cost-after"
# Plain green is paid and used, hatched orange is paid and waits. With machines of one GPU nothing waits. `eks-p4d` has eight
# A100s: at 21.96 dollars an hour that is 2.75 for each GPU if all eight are used, less than the 3.67 of `aks-nc24ads`, and 10.98
# for each if only two are. A large machine is cheap for those who fill it. A pool that may shrink to no node at all costs nothing
# at night; its price is the cold start in the morning.

# %% [markdown] id="claim-text"
# ## By what it is, not by how many
#
# `nvidia.com/gpu: 1` counts. With
# [dynamic resource allocation](https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/) (DRA, stable
# since Kubernetes 1.34) a driver publishes devices with attributes and capacities, and a pod claims one that meets an
# expression. `given/dra.yaml` uses the template in [claim.yaml](claim.yaml), which asks for any GPU at all. This lab's model
# needs 20Gi. The API server explains what such an expression may say:

# %% id="classes"
cluster.kubectl("explain resourceclaimtemplate.spec.spec.devices.requests.exactly.selectors.cel.expression")

# %% [markdown] id="classes-after"
# Three things to take from this long text. The expression speaks of one `device` and is true or false. What a driver publishes
# stands under the driver's name: `device.attributes["gpu.nvidia.com"].productName` is a word, and
# `device.capacity["gpu.nvidia.com"].memory` is a quantity. Quantities are compared by `compareTo(quantity("20Gi"))`, which is
# negative, 0 or positive.
#
# **Your turn.** Three lines in [claim.yaml](claim.yaml): `selectors`, with a `cel` that has an `expression`.

# %% id="check-claim"
lab.check("claim")

# %% [markdown] id="pools-text"
# ## The pools themselves
#
# [gke-node-pool.yaml](gke-node-pool.yaml) is of a kind that no Kubernetes has; GKE's pools are made by Config Connector's
# [ContainerNodePool](https://cloud.google.com/config-connector/docs/reference/resource-docs/container/containernodepool)
# (`given/containernodepool.yaml` is the part of its definition that you need, and an API server validates yours with it).
# [aks-node-pool.sh](aks-node-pool.sh) asks for a machine that cannot be had any more; `data/pools.toml` has a dated table. In
# both, the least number of nodes should be none: see above what a waiting GPU costs.
#
# The grader makes a node from each of your two pools, with the labels and taints that they ask for, and your Deployment has to
# land on both.
#
# **Your turn**: about fifteen lines in the first file, three options in the second
# ([`az aks nodepool add`](https://learn.microsoft.com/en-us/cli/azure/aks/nodepool)).

# %% id="check-pools"
lab.check("everywhere", "gke", "aks")

# %% [markdown] id="check-text"
# ## Check
#
# All of it, and `runs` for the first time: the real node says that it has an L4. It has none, and the engine is the CPU's; what
# is tried is that a pod with a GPU limit is placed, started and answers.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="own-gpu-text"
# ## If you have an NVIDIA GPU
#
# Then the interesting number is how many of the model's layers lie on it. This starts a server for each of seven numbers and draws
# tokens per second against them: read it from left (no layer) to right (all), and see how much the last layers bring. Where it
# cannot, it says in one sentence what stands between a server and the GPU, and the command that mends it; `llmlab doctor` says the
# same. No machine on which this course is made has a GPU: it was never run on one, and is not graded.

# %% id="offload"
from llmlab.tiers.process.for_labs import offload

offload(lab)

# %% [markdown] id="recorded-text"
# And if you have none: what somebody else's GPU did with the same model and the same client, beside what your machine did in lab 01.
# Both scales are logarithmic, so equal steps are equal factors.

# %% id="recorded"
from llmlab.tiers.process.for_labs import recorded

recorded(lab)

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - read a scheduler's reasons, and wrote a Deployment that three clouds can place
# - kept it off GPUs that its image has no code for
# - rolled out two replicas on two GPUs
# - claimed a device by its memory, and made pools that fit what runs on them

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [09 · The front door](../09-front-door/09-front-door.ipynb): who gets in, to which model, and how many at a time. To read on: the pages
# of Kubernetes' and NVIDIA's documentation that are linked above.
