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
# # 11 · Serverless containers: three platforms, one promise
#
# "Give us a container, we do the rest." Google says so with Cloud Run, Amazon with ECS on Fargate, Microsoft with Container Instances. The guide
# has a file for each, and none of the three would ever answer: no model is loaded, nobody listens where the platform asks, the secret has no role that may read it,
# and the last command is refused before anything starts. Here you make all three serve the same model, each under its own rules.
#
# **When you are done you can**
#
# - serve a model on three platforms that start containers, each under its own rules: port, memory, role, secret, logs
# - let an instance come when a request does and go when none do, without a request lost, and say beforehand what that costs in seconds
# - see which streams are cut while every status says 200, and why
# - tell from measured tokens and dated prices when an instance that stays is cheaper than one that comes and goes

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("11-serverless")
lab

# %% [markdown] id="run-text"
# ## Cloud Run, which is Knative
#
# `service.yaml` speaks the API of [Knative Serving](https://knative.dev/docs/serving/), and Knative runs here: its controller makes revisions of your container, its *activator* holds requests while no instance is there,
# its *autoscaler* counts them, and in each instance a *queue-proxy* stands before your container and lets through as many at once as `containerConcurrency` says.
# What only Google has (GPUs, IAM, the bill) is read and said, not run.
#
# One image lies in each of the three registries; on Google's it is called `us-central1-docker.pkg.dev/llmlab/llm/llama-server:v1.0.0`. It holds no shell, and:
#
# | in the image | |
# |---|---|
# | `/usr/local/bin/llama-server` | its entrypoint; without arguments it has no model and listens on 127.0.0.1:8080 |
# | `/models/20m.gguf` | the model |
# | `/usr/local/bin/relay` | a small proxy: it listens on `$PORT`, passes on to `--to`, and ends on SIGTERM when its replies have ended; `--check URL` asks once |
#
# The secret `llama-api-key` holds the key that clients will use; its version is `latest`.
#
# A check ends what this notebook has opened. The three platforms stand for themselves: each one's first cell opens it again.

# %% [markdown] id="graded"
# ## What is graded
#
# - `images`: every image has a version, in a registry that is there
# - `run-serves`, `run-port`, `run-slots`, `run-secret`: Cloud Run's service answers on the port that the platform chooses, gets as many
#   requests at once as it has slots, and takes the key from the secret
# - `run-streams`, `run-ends`: a stream that says 200 is whole, also while a new revision takes over
# - `run-zero`, `run-burst`, `run-promise`, `run-slow`: nobody asks, nothing runs; twelve at once from nothing and none is lost; a cold
#   start keeps your promise; a model that loads slowly is waited for
# - `ecs-runs`, `ecs-health`, `ecs-role`, `ecs-secret`, `ecs-logs`, `ecs-ends`: the task runs, is healthy, may do what it needs and no
#   more, has the key from the secret, writes its log, and ends without cutting a reply
# - `aci-runs`, `aci-secret`: the command is taken, the group answers, and the key is in no file

# %% id="run"
run = lab.cloud_run()
run

# %% id="deploy"
run.deploy()

# %% id="ask"
run.ask()

# %% id="said"
run.said()

# %% [markdown] id="run-after"
# The guide's image has no version and lies in a registry that was shut down in March 2025. `MODEL_PATH` is a name that llama-server has never read.
#
# **Your turn: a service that answers.** In [service.yaml](service.yaml), about thirty lines
# ([Cloud Run's container contract](https://cloud.google.com/run/docs/container-contract)); then run the cells from `run.deploy()` on
# again, until `run.ask()` says 200.
#
# - An image with a version, the model and a host on its command line. llama-server does not read `$PORT`: either its argument says so (`$(PORT)` is replaced before it starts), or `relay` stands before it.
# - `containerConcurrency` and `--parallel` are one number said twice. The platform has to know it, or requests wait inside, where no autoscaler sees them.
# - `LLAMA_API_KEY` from the secret: `valueFrom: {secretKeyRef: {name: llama-api-key, key: latest}}`.
# - A port that is open is not a model that is loaded. `/health` says 503 until it is; ask it in a `readinessProbe` (Knative gives requests to an instance that passes that) and in a `startupProbe` (Cloud Run does).
# - `minScale: "1"` is an instance that is paid day and night.
#
# `run.said()` has Knative's words and those of the instances. The checks `run-…` need a cluster of their own for some minutes, so the
# one at the end of the lab looks at them.

# %% id="instances"
run.instances()

# %% [markdown] id="starts-text"
# ## From zero: the cold start
#
# Nobody asks, and after six seconds (here; Cloud Run takes up to fifteen minutes) the last instance goes: *scale to zero*. The next request finds nobody: the activator holds it until an instance is there.
# **Predict**: how many seconds from that request to its first token?

# %% id="predict-start" tags=["prediction"]
lab.predict(seconds_from_zero=3)

# %% id="idle"
run.idle()

# %% id="starts"
starts = run.starts()
starts

# %% id="starts-compare"
lab.compare(seconds_from_zero=starts.value("Cloud Run (Knative)"))

# %% id="starts-figure" tags=["figure"]
starts.plot(guess=lab.guess("seconds_from_zero"))

# %% [markdown] id="starts-after"
# A bar is made of the parts of a cold start, one after the other; the line below it goes from the fastest try to the slowest. The model
# here is small and lies in an image that is already on the node. With seven billion parameters the part *load* alone takes longer than
# all of this, and *image* is the time for gigabytes through a network.
#
# **Your turn: a promise.** Write into [promise.toml](promise.toml) what you promise. The check measures two cold starts, and wants a promise that is kept and not ten times too long.
#
# ## A burst from nothing
#
# Twelve people ask at the same moment. **Predict**: how many instances come?

# %% id="predict-instances" tags=["prediction"]
lab.predict(instances=3)

# %% id="burst"
burst = run.burst()
burst

# %% id="burst-compare"
lab.compare(instances=burst.value("instances"))

# %% id="burst-figure" tags=["figure"]
burst.plot(guess=lab.guess("instances"))

# %% [markdown] id="burst-after"
# Above, the requests that wait for a first token; in the middle, the instances that are ready; below, a mark for each first token. Nobody
# gets one before the dashed line, where the first instance is ready: the whole burst waits for a cold start.
#
# `timeoutSeconds` counts from the moment a request arrives, so the waiting is in it. And what happens then is worse than an error: the words `activator request timeout` are appended to a reply that
# said 200 long ago and ends properly. Nobody who looks at the status notices. So nothing here looks at the status: a stream is whole when its last event has come.
#
# ## Streams that are cut
#
# **Predict**: how many of 300 streams come to their last event?

# %% id="predict-streams" tags=["prediction"]
lab.predict(whole_of_300_streams=300)

# %% id="streams"
streams = run.streams()
streams

# %% id="streams-compare"
lab.compare(whole_of_300_streams=streams.value("whole"))

# %% [markdown] id="streams-after"
# Two things cut them now and then. Activator and queue-proxy are Go programs; Go's HTTP/1.1 server stops reading a request as soon as the reply begins, and if the request has not been passed on by then, the reply is over.
# The annotation `features.knative.dev/http-full-duplex: Enabled` on the template mends that. And llama-server closes its connection after each stream without saying so; a request on that connection gets 502. `relay` uses none twice.
#
# **Your turn: whole streams.** The annotation, and `relay` as the container with the port, before llama-server.

# %% [markdown] id="costs-text"
# ## What it costs
#
# An instance that stays is paid by the hour, on Fargate, Container Instances or EC2; Cloud Run's is paid while it is there.
# **Predict**: from how many requests an hour is one that stays cheaper than Cloud Run, billed by request?

# %% id="predict-requests" tags=["prediction"]
lab.predict(requests_an_hour=100)

# %% id="costs"
costs = run.costs()
costs

# %% id="costs-compare"
lab.compare(requests_an_hour=costs.value("Cloud Run, billed by request"))

# %% id="costs-figure" tags=["figure"]
costs.plot(guess=lab.guess("requests_an_hour"))

# %% [markdown] id="costs-after"
# A line is a plan, both axes are logarithmic, and a ring stands where a plan that comes and goes stops being the cheaper one. An
# instance that comes and goes is paid while it computes, and for as long as it idles before it goes. Where the requests come closer
# together than that, it never goes, and then only its higher price per second is left. That is why *billed by instance* loses so
# early: an idle instance is kept for up to fifteen minutes.

# %% [markdown] id="fargate-text"
# ## Fargate: a task and its role
#
# `task-definition.json` is registered in a local AWS by the real API, and a runner does what Fargate would do with it, in containers of this machine.
# It reads nothing that the *execution role* may not read. `execution-policy.json` is what that role may do, `trust.json` who may take it on; the lab makes the role `llama-execution` of the two, in account 123456789012.

# %% id="fargate"
fargate = lab.fargate()
fargate

# %% id="task"
fargate.start()

# %% id="describe"
fargate.describe()

# %% [markdown] id="task-after"
# **Your turn: the role.** In [execution-policy.json](execution-policy.json): ECS gets a token and pulls the image from ECR, reads one secret, makes a log stream
# and writes into it, all as the
# [execution role](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html). Allow these actions, each on
# the one thing that it is for; only the token has no resource but `*`. The lines that `fargate` printed above have the ARNs.
# A secret's ARN ends with six random characters, which the guide left out: write the whole one into `task-definition.json` too, since
# the role must allow what the definition names.

# %% id="check-role"
lab.check("ecs-role")

# %% [markdown] id="definition-text"
# **Your turn: a task.** In [task-definition.json](task-definition.json), about sixty lines; start with image, command and role, and run `fargate.start()`
# below after each step
# ([task definition parameters](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html)):
#
# - The image is `123456789012.dkr.ecr.us-east-1.amazonaws.com/llama-server:v1.0.0`. Nothing says `$PORT` here: the port is the container's own, and it has to listen on all addresses.
# - `executionRoleArn`: the role that `fargate` shows.
# - `LLAMA_API_KEY` is the name under which the server reads its key.
# - Only `healthCheck` of the task definition counts, never the image's. And `CMD-SHELL` wants a shell.
# - On SIGTERM llama-server drops the replies that it is sending. Containers stop in the reverse order of `dependsOn`: a proxy in front can let its replies end first, within `stopTimeout`.

# %% id="task-again"
fargate = lab.fargate()
fargate.start()

# %% id="task-ask"
fargate.ask()

# %% id="task-logs"
fargate.logs()

# %% id="task-stop"
fargate.stop()

# %% id="task-starts"
fargate_starts = fargate.starts()
fargate_starts

# %% id="check-fargate"
lab.check("ecs-runs", "ecs-health", "ecs-secret", "ecs-logs")

# %% [markdown] id="aci-text"
# ## Container Instances: one command
#
# `aci.sh` is read as az reads it, and never run by a shell. The lab gives it two variables, as your shell would have them: `LLAMA_API_KEY`, and `IDENTITY`, the identity that may pull from `llmlab.azurecr.io`.

# %% id="aci"
aci = lab.container_instances()
aci

# %% id="create"
aci.create()

# %% [markdown] id="create-after"
# **Your turn: a command.** In [aci.sh](aci.sh) ([`az container create`](https://learn.microsoft.com/en-us/cli/azure/container#az-container-create)):
# `--os-type`, which has had no default since November 2024; an image that lies in a registry that lets you in; an address with the
# port; the key without writing it down. `--command-line` replaces the entrypoint, and no shell reads it.

# %% id="aci-ask"
aci.ask()

# %% id="aci-show"
aci.show()

# %% id="aci-logs"
aci.logs()

# %% [markdown] id="aci-starts-text"
# Three platforms, three ways to begin. Cloud Run holds the request until somebody can answer it; the other two start when you say so, and a request that comes too early finds nobody there.
# Neither has to fetch the image here: on the real ones that is the longest part. Five seconds of Fargate's are the interval of the health check that the
# second container waits for (`dependsOn`).

# %% id="aci-starts"
all_starts = aci.starts(beside=[starts, fargate_starts])
all_starts

# %% id="aci-starts-figure" tags=["figure"]
all_starts.plot()

# %% [markdown] id="aci-starts-after"
# One bar for each platform, in the same parts and on one axis: compare which part is the longest, and how far the tries are apart. The
# numbers are those of this machine; what carries over is where the time goes.

# %% id="check-aci"
lab.check("images", "aci-runs", "aci-secret")

# %% [markdown] id="check-text"
# ## Check
#
# The grader brings a cluster of its own up, and an account with another key. It takes some minutes.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - served one image on three platforms, each under its own rules
# - let an instance go and come back, and lost nothing in a burst from nothing
# - counted streams by their last event, and found what cut them
# - gave a role what it needs and nothing more, and wrote no key down
# - found the traffic from which on an instance that stays is cheaper

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [12 · Edge](../12-edge/12-edge.ipynb): a worker in front, close to the users. To read on: Knative's
# [autoscaling](https://knative.dev/docs/serving/autoscaling/); `docs/serverless.md` in this repository has what was seen of the rest.
