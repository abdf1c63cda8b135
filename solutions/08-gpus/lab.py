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
# that was retired. They cost a day each, and a scheduler can find them without a single GPU. The scheduler here is the real one; the nodes
# are invented, and labelled and tainted as three clouds label and taint theirs.
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

lab = Lab.here("08-gpus", submission=submission, seed=seed)
lab

# %% id="cluster"
cluster = lab.cluster()
cluster

# %% [markdown] id="placement-text" tags=["prediction"]
# ## Seven pools
#
# `gpu-deployment.yaml` is the guide's. Seven node pools are waiting, of EKS, GKE and AKS. **Predict**: on how many of
# them would the scheduler place a pod of it?

# %% id="predict-pools"
lab.predict(pools_that_take_it=3)

# %% id="placement"
placement = cluster.placement()
placement

# %% id="placement-figure" tags=["figure"]
placement.plot()

# %% [markdown] id="placement-after"
# `nvidia.com/gpu: "true"` is a label that nobody sets, and `g5.2xlarge` is what one cloud calls one machine. What is true everywhere
# is what NVIDIA's *GPU feature discovery* writes on a node: `nvidia.com/gpu.present`, `.product`, `.memory`, `.compute.major`.
# A label says what a node has; a **taint** says who may not come. GKE taints its GPU nodes by itself; the guide's
# own AKS pool is tainted `sku=gpu`, and the guide's own Deployment does not tolerate it.
#
# And not every GPU will do: this image has machine code for compute capability 80 and newer. On a
# T4 (75) it would start, and fail.
#
# **Your turn**, in `gpu-deployment.yaml`. Ask for what you need, in words that every cloud understands. Then run the two cells
# above again. While you are there: a memory limit of 32Gi on a machine of 32 GiB is not one.

# %% [markdown] id="spare-text" tags=["prediction"]
# ## No spare
#
# Two replicas, two GPUs. A Deployment rolls out by starting a new pod before it ends an old one (`maxSurge: 25%`, rounded
# up). **Predict**: where does the third pod go?
#
# ## What a GPU costs while it waits
#
# The large machine is the cheaper one for each A100, if you use all eight.

# %% id="cost"
cost = cluster.cost(replicas=2)
cost

# %% id="cost-figure" tags=["figure"]
cost.plot()

# %% [markdown] id="claim-text"
# ## By what it is, not by how many
#
# `nvidia.com/gpu: 1` counts. With *dynamic resource allocation* (DRA, stable since Kubernetes 1.34) a driver publishes
# devices with attributes and capacities, and a pod claims one that meets an expression. `given/dra.yaml` uses the
# template in `claim.yaml`, which asks for any GPU at all. This lab's model needs 20Gi.

# %% id="classes"
cluster.kubectl("explain resourceclaimtemplate.spec.spec.devices.requests.exactly.selectors.cel.expression")

# %% [markdown] id="pools-text"
# ## The pools themselves
#
# `gke-node-pool.yaml` is of a kind that no Kubernetes has; GKE's pools are made by Config Connector's `ContainerNodePool`
# (`given/containernodepool.yaml` is the part of its definition that you need, and an API server validates yours with it).
# `aks-node-pool.sh` asks for a machine that cannot be had any more; `data/pools.toml` has a dated table. In both, the least number of
# nodes should be none: see above what a waiting GPU costs.
#
# The grader makes a node from each of your two pools, with the labels and taints that they ask for, and your Deployment has to
# land on both.

# %% [markdown] id="check-text"
# ## Check
#
# One pod really runs: the real node says that it has an L4. It has none, and the engine is the CPU's; what is tried is that a
# pod with a GPU limit is placed, started and answers.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="own-gpu-text"
# ## If you have an NVIDIA GPU
#
# Then the interesting number is how many layers lie on it. This starts a server for each of seven numbers and draws tokens per second
# against them. No machine on which this course is made has a GPU: it was never run on one, and is not graded.

# %% id="offload"
from llmlab.tiers.process.for_labs import offload

offload(lab)

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
# 09 · The front door. To read on: the Kubernetes documentation on *Dynamic Resource Allocation* and *Taints and Tolerations*, and the
# README of NVIDIA's GPU feature discovery.
