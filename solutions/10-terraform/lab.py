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
# # 10 · Terraform on AWS: a door, and servers behind it
#
# The guide sketches a load balancer on AWS: it has no listener, some of the things that it refers to are nowhere, and its
# machine image was copied from another region. You write the rest, apply it with the real Terraform and the real AWS provider,
# and send requests through what was created. The AWS behind it is a local stand-in, so nothing is billed and nothing can be
# broken; the same files would go to a real account.
#
# **When you are done you can**
#
# - write a load balancer that serves: listener, target group, Auto Scaling group in two zones
# - say who may reach whom, by group and not by address, and read it back as a matrix
# - give a server its model and its key without writing either down
# - test a stack in seconds without a cloud, and notice what was changed by hand

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("10-terraform", submission=submission, seed=seed)
lab

# %% [markdown] id="infra-text"
# ## An account of your own
#
# `lab.terraform()` starts a local AWS and finds Terraform (or OpenTofu) and the provider. Your files are copied before each run;
# state and provider never lie beside them. Others have been in this account before you, as at work: there is a certificate for
# the domain, a bucket with the model, and a secret with the API key. `variables.tf` has their names, and the grader sets others.

# %% id="infra"
infra = lab.terraform()
infra

# %% [markdown] id="graph-text" tags=["prediction"]
# ## What is there, and what is missing
#
# `main.tf` is the guide's. Terraform knows what refers to what before anything exists. **Predict**: how many of the things that
# it refers to are declared nowhere?

# %% id="predict-missing"
lab.predict(undeclared=1)

# %% id="graph"
graph = infra.graph()
graph

# %% id="graph-figure" tags=["figure"]
graph.plot()

# %% [markdown] id="graph-after"
# And what is not even referred to: a listener. A load balancer without one is an address that answers nobody, and `validate`
# has nothing against it.
#
# **Your turn.** Declare what is missing. Then make it a service: a listener on 443 with the account's certificate, forwarding what
# clients ask for (`/health` and the API under `/v1/`) to the target group; a launch template with the newest image of Amazon Linux 2023 (a data source, never an id); an Auto Scaling
# group of two in at least two zones instead of one `aws_instance`. Pin the provider in `versions.tf`.
#
# ## The loop
#
# An apply takes a minute. You do not need one to find a typing error: this takes seconds, and you will run it often. Its `test`
# runs `tests/stack.tftest.hcl` with a *mocked* provider, so no cloud is asked, and the provider does not look at what you wrote
# either: what it would refuse (an attribute that is missing because another one is there) passes, what it would fill in is unknown,
# and `alltrue([for … in …])` over a list that is empty for that reason is true. A test like that cannot fail.

# %% id="quick"
infra.quick()

# %% [markdown] id="mutants-text"
# A test that passes has told you nothing yet. Here the same tests run on three stacks with one thing broken in each: optional
# session tokens (IMDSv1), an idle timeout of 60 s, a health check that asks for `/`. Each has to be noticed.

# %% id="mutants"
infra.mutants()

# %% [markdown] id="longest-text" tags=["prediction"]
# ## How long is long?
#
# A load balancer hangs up on a connection in which nothing moves for 60 s, unless told otherwise. A client that does not stream
# sees nothing move until the last token is written. **Predict**: how long does a reply of 2,048 tokens take on a small machine
# with all four slots busy?

# %% id="predict-longest"
lab.predict(longest_reply_seconds=20)

# %% id="longest"
longest = infra.longest(tokens=2048)
longest

# %% [markdown] id="longest-after"
# A door that hangs up earlier does not even save the work: llama-server writes a reply that is not streamed to its last token after
# its client has left, as long as anything else is running, and the client's second try is the same work once more (with 600 tokens
# asked for and left beside a stream, 600 were generated for nobody).
#
# That is what `longest_reply` in `variables.tf` is for. Let the idle timeout follow it, and the deregistration delay too: a
# target that leaves has to finish what it has begun. The grader plans with two values of its own.
#
# ## Apply

# %% [markdown] id="apply-prediction" tags=["prediction"]
# **Predict**: which resource takes longest?

# %% id="apply"
applied = infra.apply()
applied

# %% id="apply-figure" tags=["figure"]
applied.plot()

# %% [markdown] id="again-text"
# Once more, and there must be nothing to do. A second plan that wants to change something will want to for ever.

# %% id="again"
again = infra.replan()

# %% id="again-said" tags=["compare"]
again

# %% id="have"
infra.have()

# %% [markdown] id="reach-text"
# ## Who reaches whom
#
# The guide lets `10.0.0.0/8` in to the servers: everybody in every network of the company. You can name the load balancer's
# *group* instead, and then nobody else fits. Mind both ends: Terraform takes away the rule that lets a new group's members out.

# %% id="reach" tags=["compare"]
reach = infra.reach()
reach

# %% id="reach-figure" tags=["figure"]
reach.plot()

# %% [markdown] id="rights-text"
# What a server may *do* is its role's business. It reads one model and one secret.

# %% id="rights"
infra.rights()

# %% [markdown] id="boot-text"
# ## The first boot
#
# A machine of AWS runs `user-data.sh` once, as root, and nobody is watching. Here it runs on a machine of ours, twice, with
# stand-ins that keep a record of what it called (`aws`, `docker`, the package manager). A script that can run again without harm
# is one that can be corrected on a Tuesday.

# %% id="boot"
infra.boot()

# %% [markdown] id="front-text"
# ## Through the door
#
# Now the objects that you created become a door: a real HAProxy, configured from your listener, rules, target group, health check
# and timeouts, in front of a real llama-server for each registered instance, started as your script asked for it.

# %% id="front"
front = infra.front()
front

# %% id="ask-without"
front.ask(key=False)

# %% id="ask-with"
front.ask("Once upon a time")

# %% [markdown] id="drift-text" tags=["prediction"]
# ## Three in the morning
#
# Somebody helps out by hand: another health check, and port 22 open to everybody. **Predict**: which of the two does the next
# plan show?

# %% id="drift"
infra.by_hand()

# %% [markdown] id="drift-after"
# Rules of their own (`aws_vpc_security_group_ingress_rule`) can be added and removed one by one, and for that reason none of
# them owns the group: what others add, they do not see. That is worth a scan of its own, every night.
#
# ## What it costs
#
# Nothing, here. On AWS it would be paid by the hour, used or not.

# %% id="bill"
infra.bill()

# %% id="cost"
cost = infra.cost(longest)
cost

# %% id="cost-figure" tags=["figure"]
cost.plot()

# %% [markdown] id="destroy-text"
# A machine that is paid by the hour wants an end as orderly as its beginning.

# %% id="destroy"
destroyed = infra.destroy()

# %% id="destroy-said" tags=["compare"]
destroyed

# %% [markdown] id="check-text"
# ## Check
#
# The grader starts with an account in which all names are new, and does all of the above to your files: about two minutes, of
# which the load balancer takes one.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - made a door of a sketch: listener, certificate, target group, servers in two zones
# - chained security groups by reference and read the result back, both ends of each connection
# - had a server fetch its model and its key by itself, with a role that can do nothing else
# - wrote tests that fail when they should, and saw which change by hand a plan does not see

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [11 · Serverless containers](../11-serverless/lab.ipynb): the same server where somebody else decides when it runs. To read on: the AWS provider's pages on `aws_lb_target_group` and `aws_vpc_security_group_ingress_rule`, and Terraform's on
# tests with mocked providers. The same files go to a real account: with its credentials, your own domain, bucket, secret and
# image in the variables, and `terraform apply` in this folder. This lab never does that, and the bill above is then yours.
