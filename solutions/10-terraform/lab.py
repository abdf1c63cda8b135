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

lab = Lab.here("10-terraform")
lab

# %% [markdown] id="infra-text"
# ## An account of your own
#
# `lab.terraform()` starts a local AWS and finds Terraform (or OpenTofu) and the
# AWS provider ([its manual](https://github.com/hashicorp/terraform-provider-aws/tree/main/website/docs): `d` data sources, `r` resources). Your files are copied before each run; state
# and provider never lie beside them. Others have been in this account before you, as at work: there is a certificate for the
# domain, a bucket with the model, and a secret with the API key. `variables.tf` has their names, and the grader sets others.
# A check ends this account; `infra = lab.terraform()` opens a new one in a few seconds.

# %% id="infra"
infra = lab.terraform()
infra

# %% [markdown] id="graded"
# ## What is graded
#
# In seconds, without a cloud:
#
# - `formatted`, `valid`: `terraform fmt` and `validate` have nothing to say
# - `image`: the machine image is looked up, and fits the type of the machine
# - `tests`: your tests pass, and each of three broken stacks makes them fail
# - `patience`: idle timeout and deregistration delay follow `longest_reply`
#
# Applied:
#
# - `applied`, `drift`, `destroyed`: a second plan is empty, shows what was changed by hand, and `destroy` leaves nothing
# - `way`, `health`: a listener on 443, a target group that asks `/health`, two instances in two zones
# - `reachability`: the internet reaches the load balancer on 443, the load balancer reaches the servers on 8080, nobody else reaches anything
# - `hardened`, `secrets`, `tags`: IMDSv2, an encrypted disk, a role for one model and one secret, no key in the state, tags on the instances
# - `user-data`, `door`: the script brings a server up, may run twice, and a client gets a token through the load balancer
#
# You write about two hundred lines of Terraform, in four steps with a check or a look after each.

# %% [markdown] id="graph-text" tags=["prediction"]
# ## What is there, and what is missing
#
# [main.tf](main.tf) is the guide's, and three parts below it are given: the role of a server with its trust policy, one rule of a
# security group, and the beginning of a launch template. Terraform knows what refers to what before anything exists. **Predict**: how many of the things that
# it refers to are declared nowhere?

# %% id="predict-missing"
lab.predict(things_not_declared=1)

# %% id="graph"
graph = infra.graph()
graph

# %% id="graph-compare"
lab.compare(things_not_declared=graph.value("not declared"))

# %% id="graph-figure" tags=["figure"]
graph.plot()

# %% [markdown] id="graph-after"
# An arrow leads from a resource to one that it refers to. Red and dashed is declared nowhere, and everything right of it cannot be
# planned. What you do not see is worse: a listener, to which nothing refers. A load balancer without one is an address that answers
# nobody, and `validate` has no objection.
#
# **Your turn, step 1: what is missing.** VPC and subnets are there already, so look them up:
# [`data "aws_vpc"`](https://github.com/hashicorp/terraform-provider-aws/blob/main/website/docs/d/vpc.html.markdown) (the default one) and
# `data "aws_subnets"`. The load balancer's security group and the instance profile are new, so create them: two `resource` blocks.
# Pin the provider in `versions.tf`. `terraform fmt -recursive` in this folder formats your files.

# %% id="check-valid"
lab.check("formatted", "valid")

# %% [markdown] id="servers-text"
# **Your turn, step 2: servers.** One `aws_instance` becomes a group. The graph will show:
#
# - `data "aws_ami"`: the newest image of Amazon Linux 2023, owner `amazon`, name `al2023-ami-2023.*-x86_64`; never an id
# - in the launch template: `image_id`, `metadata_options` (IMDSv2), `block_device_mappings` (encrypted), `tag_specifications`
# - `aws_autoscaling_group`: two instances in at least two zones, started from the template, registered in the target group
# - `aws_iam_role_policy`: what the role may do, which is to read one object of the bucket and one secret
#
# The template's `user_data` is given, as nobody can guess it. Terraform's
# [`templatefile`](https://developer.hashicorp.com/terraform/language/functions/templatefile) reads a file and puts values where it
# says `${bucket}`, `${model}` and `${secret}`: so the script learns names that only Terraform knows. EC2 takes user data in Base64,
# hence [`base64encode`](https://developer.hashicorp.com/terraform/language/functions/base64encode). In such a script a variable of
# the shell is `$name`, or `$${name}` with two dollar signs.

# %% id="check-image"
lab.check("formatted", "valid", "image")

# %% [markdown] id="door-text"
# **Your turn, step 3: the way in.** `data "aws_acm_certificate"` finds the certificate by `var.domain`. An
# [`aws_lb_listener`](https://github.com/hashicorp/terraform-provider-aws/blob/main/website/docs/r/lb_listener.html.markdown) on 443 with HTTPS and
# that certificate forwards what clients ask for (`/health` and the API under `/v1/`) to the target group. Its
# [health check](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html) asks `/health`
# and takes 200 only.
#
# ## The loop
#
# An apply takes a minute. You do not need one to find a typing error: this takes seconds, and you will run it often. Its `test`
# runs `tests/stack.tftest.hcl` with a *mocked* provider, so no cloud is asked, and the provider does not look at what you wrote
# either: what it would refuse (an attribute that is missing because another one is there) passes, what it would fill in is unknown,
# and `alltrue([for … in …])` over a list that is empty for that reason is true. A test like that cannot fail.
# (Terraform's manual: [tests](https://developer.hashicorp.com/terraform/language/tests),
# [mocks](https://developer.hashicorp.com/terraform/language/tests/mocking).)

# %% id="quick"
infra = lab.terraform()
infra.quick()

# %% [markdown] id="mutants-text"
# A test that passes has told you nothing yet. Here the same tests run on three stacks with one thing broken in each: optional
# session tokens (IMDSv1), an idle timeout of 60 s, a health check that asks for `/`. Each has to be noticed.
#
# **Your turn**, in [tests/stack.tftest.hcl](tests/stack.tftest.hcl): an `assert` for each of the three. The mocked values are given. The check `tests` does the
# same at the end of this lab.

# %% id="mutants"
infra.mutants()

# %% [markdown] id="longest-text" tags=["prediction"]
# ## How long is long?
#
# A load balancer hangs up on a connection in which nothing moves for 60 s, unless told otherwise. A client that does not stream
# sees nothing move until the last token is written. **Predict**: how many seconds does a reply of 2,048 tokens take on a small
# machine with all four slots busy?

# %% id="predict-longest"
lab.predict(longest_reply_seconds=20)

# %% id="longest"
longest = infra.longest(tokens=2048)
longest

# %% id="longest-compare"
lab.compare(longest_reply_seconds=longest.seconds)

# %% [markdown] id="longest-after"
# A load balancer that hangs up earlier does not even save the work: llama-server writes a reply that is not streamed to its last token after
# its client has left, as long as anything else is running, and the client's second try is the same work once more (with 600 tokens
# asked for and left beside a stream, 600 were generated for nobody).
#
# **Your turn.** That is what `longest_reply` in `variables.tf` is for. Let the idle timeout of the load balancer follow it, and the
# deregistration delay of the target group too: a target that leaves has to finish what it has begun. The grader plans with two values
# of its own.

# %% id="check-patience"
lab.check("patience")

# %% [markdown] id="apply-prediction" tags=["prediction"]
# ## Apply
#
# **Predict**: which type of resource takes longest?

# %% id="predict-slowest"
lab.predict(slowest_resource="aws_autoscaling_group")

# %% id="apply"
infra = lab.terraform()
applied = infra.apply()
applied

# %% id="apply-compare"
lab.compare(slowest_resource=applied.value("slowest"))

# %% id="apply-figure" tags=["figure"]
applied.plot()

# %% [markdown] id="again-text"
# A bar is a resource, from the second in which its creation began to the one in which it was there; what is hatched took more than a
# quarter of the whole. Resources that do not refer to each other are created at the same time.
#
# Once more, and there must be nothing to do. If a second plan still wants changes, so will every later one.

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
# *group* instead (`referenced_security_group_id`),
# and then nobody else fits. Open both ends: AWS lets a new group out to everywhere, Terraform removes that rule, so write the way out
# yourself.
#
# **Your turn, step 4: the rules.** Write each as a resource of its own, as the given one: the load balancer in from everywhere on 443
# and out to the servers on 8080; the servers in from the load balancer on 8080 and out on 443. Then `infra.apply()` and the next two
# cells. The checks `reachability` and `hardened` look at it at the end.

# %% id="reach" tags=["compare"]
reach = infra.reach()
reach

# %% id="reach-figure" tags=["figure"]
reach.plot()

# %% [markdown] id="rights-text"
# A row is who begins a connection, a column who is asked, a cell the ports that are open. A cross says that a cell is not as it should
# be: a way too many, or one that is missing.
#
# What a server may *do* is its role's business. It reads one model and one secret.

# %% id="rights"
infra.rights()

# %% [markdown] id="boot-text"
# ## The first boot
#
# A machine of AWS runs [`user-data.sh`](user-data.sh) once, as root, and nobody is watching. Here it runs on a machine of ours, twice,
# with stand-ins that keep a record of what it called (`aws`, `docker`, the package manager). A script that can run again without harm
# can be corrected and repeated on a machine that is in use.
#
# **Your turn.** The guide's script is for Ubuntu; Amazon Linux 2023 has `dnf` and `aws`. It installs and starts Docker, fetches
# `s3://${bucket}/${model}` if it is not there yet, writes the key of the secret `${secret}` into a file that the image's user (1000)
# can read, and starts the image `llama-server:v1.0.0` (its entrypoint is llama-server) on port 8080, with
# `--api-key-file`. After an edit: `infra.apply()`, then the next cell. The check `user-data` does the same at the end.

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
# ## Changed by hand
#
# Somebody helps out by hand: another health check, and port 22 open to everybody. **Predict**: which of the two does the next
# plan show?

# %% id="predict-drift"
lab.predict(the_plan_shows="the health check and port 22")

# %% id="drift"
drift = infra.by_hand()
drift

# %% id="drift-compare"
lab.compare(the_plan_shows=drift.value("the plan shows"))

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
# A line is a type of machine. To the left fewer of its tokens are asked for, and each one costs more: half as busy is twice as
# expensive. The vertical line is one user who asks all the time.
#
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
# [11 · Serverless containers](../11-serverless/11-serverless.ipynb): the same server where somebody else decides when it runs.
# To read on: AWS on [security groups](https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html) and on
# [user data](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html).
# The same files go to a real account: with its credentials, your own domain, bucket, secret and
# image in the variables, and `terraform apply` in this folder. This lab never does that, and the bill above is then yours.
