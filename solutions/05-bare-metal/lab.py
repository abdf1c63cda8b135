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
# # 05 · Bare metal: a service that systemd holds
#
# No orchestrator, no image: one machine, one server, and `systemd`, which every Linux server runs anyway. The guide gives a
# script and a unit for this. Both look fine. You boot a real machine, run them, and see.
#
# **When you are done you can**
#
# - write a unit whose server is nobody, sees nothing and stays within its budget
# - hand a key to a service so that nobody else can read it
# - install with a script that may be run again, and prove it
# - tell what systemd silently ignores from what is in force
#
# **You edit three files**: `llama-server.service`, `install.sh`, and `llama.container` (the same service as a container,
# described for Podman).

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("05-bare-metal", submission=submission, seed=seed)
lab

# %% [markdown] id="machine-text"
# ## A machine
#
# This boots a Debian 13 with systemd as process 1, and puts your files on it in `/root/lab`. It has no network to install
# from. What a vendor would ship lies in `/srv/release`: llama-server as an archive with its checksum, and a model. Beside
# your files lies `api-key`, which only root can read: the key that your server shall ask for.

# %% id="boot"
machine = lab.boot()
machine

# %% id="look"
machine.run("ls -l /srv/release /root/lab; cat /srv/release/SHA256SUMS; tar -tf /srv/release/*.tar.gz | grep bin/")

# %% [markdown] id="install-text" tags=["prediction"]
# ## The guide's script
#
# Read `install.sh` and `llama-server.service`. **Predict**: which exit code does the script end with, and which HTTP status
# does the port give afterwards (0: nobody answers)?

# %% id="predict-install"
lab.predict(exit_code=0, status=200)

# %% id="install" tags=["measure"]
machine.install()

# %% id="ask"
machine.ask()

# %% id="status"
machine.status()

# %% [markdown] id="install-after"
# A script that does not stop at what fails ends with the code of its last line, and `systemctl start` of a `Type=simple`
# unit says *done* as soon as a process exists, before it has become the server. So everything was green and nothing runs.
# `Type=exec` makes `start` wait until the program itself was started, `set -euo pipefail` makes the script stop; and
# an installer should end by asking the port. The journal's last lines (`217/USER`) say what is wrong here.
#
# ## What a break-in would reach
#
# llama-server parses what strangers send it. `systemd-analyze security` counts what a unit leaves open to whoever takes
# the process over, on a scale from 0 to 10. **Predict** it for the guide's unit.

# %% id="predict-exposure" tags=["prediction"]
lab.predict(exposure_of_the_guides_unit=5)

# %% id="exposure" tags=["measure"]
exposure = machine.exposure()
exposure

# %% id="exposure-figure" tags=["figure"]
exposure.plot(bound=2.5)

# %% [markdown] id="exposure-after"
# Nearly every bar is one line in `[Service]`, and most cost the server nothing: it needs a port, its model and one folder.
# What stays is what it needs: a server without a network (`PrivateNetwork`) would be safe and useless.
#
# A number is not a wall, though. systemd *warns* of a line that it does not understand and goes on without it, so a
# misspelt `ProtectHom=yes` protects nobody. `verify` shows such lines, and says of the guide's unit:

# %% id="verify"
machine.verify()

# %% [markdown] id="edit-text"
# Nothing: it is well-formed. It just does not work, and would be wide open if it did.
#
# **Your turn.** Edit `llama-server.service` and `install.sh` until the server answers with the key, and only with it. The
# grader asks for this and leaves the how to you:
#
# - *key*: 200 with the key, 401 without; no other user finds it in a file, in `systemctl show`, in `/proc`
#   (`LoadCredential=` and llama-server's `--api-key-file` are one way)
# - *nobody*: not root, no capability; it writes to its own folder and nowhere else, and sees no home
# - *budget*: 512 MiB, one CPU, and as many threads (lab 02)
# - *it comes back* after a crash, and after a reboot; and is *given up* within a minute when it cannot start
# - *again*: a second run of `install.sh` changes no file and does not restart; a new `api-key` is put to use
#
# The cells below show these; run them again after each edit. A new `lab.boot()` is a fresh machine and takes a second.

# %% id="fresh"
machine.close()
machine = lab.boot()
machine.install()

# %% id="key"
[machine.ask(), machine.ask("wrong"), machine.ask("")]

# %% id="process"
machine.run("grep -E 'Uid|CapEff|NoNewPrivs|Seccomp:' /proc/$(systemctl show -P MainPID llama-server)/status")

# %% [markdown] id="sandbox-text" tags=["prediction"]
# ## Does the sandbox hold?
#
# `/proc/PID/root` is the machine as that process sees it. Even root, writing through it, meets the sandbox. **Predict**:
# which of these two lines fails, for your unit?

# %% id="sandbox"
machine.run("root=/proc/$(systemctl show -P MainPID llama-server)/root; touch $root/srv/mine; cat $root/home/alice/notes.txt")

# %% [markdown] id="limit-text"
# ## Budget, crash, and giving up
#
# The unit's limits, and the threads that llama-server chose. It cannot see the quota, so it must be told.

# %% id="budget"
machine.run("systemctl show -p MemoryMax,CPUQuotaPerSecUSec llama-server; journalctl -o cat -u llama-server | grep -o 'n_threads = .*'")

# %% [markdown] id="crash-text" tags=["prediction"]
# **Predict**: the guide's unit has `Restart=always` and `RestartSec=10`. systemd gives up after five starts within ten
# seconds. When does it give up a server that can never start?

# %% id="crash"
machine.run("systemctl kill -s SEGV llama-server; sleep 3; systemctl show -p ActiveState,NRestarts,RestartUSec llama-server")

# %% [markdown] id="crash-after"
# Never: with ten seconds between two tries there are never five starts within ten seconds. Restarting for ever hides
# a broken server from whoever looks for failed units. `StartLimitIntervalSec=` must be longer than `StartLimitBurst=` tries take.
#
# ## Run it again
#
# **Predict**: what does a second run of your `install.sh` change?

# %% id="predict-again" tags=["prediction"]
lab.predict(files_changed_by_a_second_run=1)

# %% id="again" tags=["measure"]
machine.changes()

# %% [markdown] id="quadlet-text"
# ## The same as a container: a Quadlet
#
# Podman makes a service of a `.container` file each time the machine boots. This is what it makes of yours. (Its generator
# runs here, Podman itself does not: the check is marked `schema`.)

# %% id="quadlet"
machine.quadlet()

# %% [markdown] id="quadlet-after"
# **Your turn.** In `llama.container`: pin the image (by digest, or one of this machine's own that is never pulled), make it read-only, without capabilities and new privileges, give it
# the key as a secret, and publish it on `127.0.0.1:8080` only.

# %% [markdown] id="check-text"
# ## Check
#
# The grader boots a machine of its own, installs, asks, breaks in, crashes it, reboots it, and installs again.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - saw a script end with code 0 and leave nothing running
# - brought a unit's exposure from 9 to a little above 1, and tried its walls from inside
# - gave a key to one service and to nobody else
# - installed twice and proved that the second time changed nothing

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [06 · Pod to service](../06-pod-to-service/lab.ipynb) asks the same of a cluster. To read on:
# `systemd.exec(5)` from *Sandboxing* on, and run `systemd-analyze security` on a machine of yours.
