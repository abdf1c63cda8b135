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
# **You edit three files**: [llama-server.service](llama-server.service), [install.sh](install.sh), and
# [llama.container](llama.container) (the same service as a container, described for Podman).

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("05-bare-metal")
lab

# %% [markdown] id="graded"
# ## What is graded
#
# The grader asks for this and leaves the how to you:
#
# - `unit`, `installs`: systemd understands every line of the unit, and `install.sh` brings a fresh machine to where it answers
# - `key`: 200 with the key, 401 without; no other user finds it in a file, in `systemctl show`, in `/proc`
# - `user`, `sandbox`, `exposure`: not root, no capability; it writes to its own folder and nowhere else, sees no home, and its
#   exposure is at most 2.5
# - `budget`: 512 MiB, one CPU, and as many threads (lab 02)
# - `crash`, `reboot`, `start-limit`: it comes back after a crash and after a reboot, and is given up within a minute when it
#   cannot start
# - `again`, `rotate`: a second run of `install.sh` changes no file and does not restart; a new `api-key` is put to use
# - `quadlet`: the same service, described as a container

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
done = machine.install()
done

# %% id="ask"
answer = machine.ask()
answer

# %% id="install-compare"
lab.compare(exit_code=done.code, status=answer.value)

# %% id="status"
machine.status()

# %% [markdown] id="install-after"
# A script that does not stop at what fails ends with the code of its last line, and `systemctl start` of a `Type=simple`
# unit says *done* as soon as a process exists, before it has become the server. So everything was green and nothing runs.
# `Type=exec` makes `start` wait until the program itself was started, `set -euo pipefail` makes the script stop; and
# an installer should end by asking the port. The journal's last lines (`217/USER`) say what is wrong here:
# [systemd.exec](https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html) has a table of these codes.
#
# ## What a break-in would reach
#
# llama-server parses what strangers send it. `systemd-analyze security` counts what a unit leaves open to an intruder who takes
# the process over, on a scale from 0 to 10. **Predict** it for the guide's unit.

# %% id="predict-exposure" tags=["prediction"]
lab.predict(exposure_of_the_guides_unit=5)

# %% id="exposure" tags=["measure"]
exposure = machine.exposure()
exposure

# %% id="exposure-compare"
lab.compare(exposure_of_the_guides_unit=exposure.guide)

# %% id="exposure-figure" tags=["figure"]
exposure.plot(bound=2.5, guess=lab.guess("exposure_of_the_guides_unit"))

# %% [markdown] id="exposure-after"
# Above is the total of both units, below what each directive leaves open, the longest bar first. Nearly every bar is one line in
# `[Service]`, and most cost the server nothing: it needs a port, its model and one folder. What stays is what it needs: a server
# without a network (`PrivateNetwork`) would be safe and useless.
#
# A number is not a wall, though. systemd *warns* of a line that it does not understand and goes on without it, so a
# misspelt `ProtectHom=yes` protects nobody. `verify` shows such lines, and says of the guide's unit:

# %% id="verify"
machine.verify()

# %% [markdown] id="edit-text"
# Nothing: it is well-formed. It just does not work, and would be wide open if it did. You mend it in five steps of one to
# thirty lines, and each has its check.
#
# ## Step 1: it runs, and asks for the key
#
# **Your turn.** About twenty lines in [llama-server.service](llama-server.service) and [install.sh](install.sh), until the
# server answers with the key, and only with it:
#
# - The unit: `Type=exec`, a user that exists (`DynamicUser=yes` makes one for each run), and the path of the program as the
#   archive has it (`tar -tf` above shows it; `tar -xzf … --strip-components=1 -C FOLDER` leaves its first folder out).
# - The key: `install.sh` copies it to a place that only root can read,
#   [`LoadCredential=NAME:FILE`](https://systemd.io/CREDENTIALS/) shows it to this service as `${CREDENTIALS_DIRECTORY}/NAME`, and
#   llama-server reads it with `--api-key-file`.
# - The script: it stops at what fails, and ends by asking `http://127.0.0.1:8080/health` until that answers or its patience ends.
#
# The cells below show where you are; run them again after each edit. A new `lab.boot()` is a fresh machine and takes a second.

# %% id="fresh"
machine.close()
machine = lab.boot()
machine.install()

# %% id="key"
[machine.ask(), machine.ask("wrong"), machine.ask("")]

# %% id="check-runs"
lab.check("unit", "installs", "key")

# %% [markdown] id="sandbox-text" tags=["prediction"]
# ## Step 2: the sandbox
#
# Who is the process, and what may it become? (The check has closed the machine; this boots another one.)

# %% id="process"
machine = lab.boot()
machine.install()
machine.run("grep -E 'Uid|CapEff|NoNewPrivs|Seccomp:' /proc/$(systemctl show -P MainPID llama-server)/status")

# %% [markdown] id="sandbox-prediction" tags=["prediction"]
# `/proc/PID/root` is the machine as that process sees it. Even root, writing through it, meets the sandbox. One line of the next
# cell but one writes to `/srv`, the other reads a file in a home. **Predict**: how many of the two fail, for your unit?

# %% id="predict-sandbox"
lab.predict(commands_that_fail_of_two=2)

# %% id="sandbox"
seen = machine.run("root=/proc/$(systemctl show -P MainPID llama-server)/root; touch $root/srv/mine; cat $root/home/alice/notes.txt")
seen

# %% id="sandbox-compare"
lab.compare(commands_that_fail_of_two=seen.text.count("touch: cannot") + seen.text.count("cat: /proc"))

# %% [markdown] id="sandbox-after"
# If the service does not run, both fail, because there is no process 0. If it runs without a sandbox, none does: the notes of
# alice are printed.
#
# **Your turn**, in [llama-server.service](llama-server.service): about thirty short lines. `ProtectSystem=strict` makes the
# machine read-only, `StateDirectory=` gives the service one folder of its own, and the other `Protect…=`, `Private…=` and
# `Restrict…=` lines stand in [systemd.exec](https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html) from
# *Sandboxing* on. Add a few, look at `machine.exposure().plot(bound=2.5)`, and install again, since a line may take away what
# llama-server needs.

# %% id="check-sandbox"
lab.check("unit", "installs", "exposure", "user", "sandbox")

# %% [markdown] id="limit-text"
# ## Step 3: budget, crash, and giving up
#
# The unit's limits, and the threads that llama-server chose. It cannot see the quota, so it must be told.

# %% id="budget"
machine = lab.boot()
machine.install()
machine.run("systemctl show -p MemoryMax,CPUQuotaPerSecUSec llama-server; journalctl -o cat -u llama-server | grep -o 'n_threads = .*'")

# %% [markdown] id="budget-after"
# `infinity` is no limit. And what does systemd do after a crash?

# %% id="crash"
machine.run("systemctl kill -s SEGV llama-server; sleep 3; systemctl show -p ActiveState,NRestarts,RestartUSec llama-server")

# %% [markdown] id="crash-text" tags=["prediction"]
# `ActiveState=active` with one more restart is a server that came back. The guide's unit has `Restart=always` and
# `RestartSec=10`, and systemd gives up after five starts within ten seconds. Here are two units that can never start, one with
# `RestartSec=10`, the other with `RestartSec=1`. **Predict**: how many of the two has systemd given up after fifteen seconds?

# %% id="predict-give-up"
lab.predict(given_up_of_two_units=2)

# %% id="give-up"
start = "systemd-run -q --unit={0} -p Restart=always -p RestartSec={1} /bin/false; "
states = "sleep 15; systemctl show -p Id,ActiveState,NRestarts guide quick"
tries = machine.run(start.format("guide", 10) + start.format("quick", 1) + states)
tries

# %% id="give-up-compare"
lab.compare(given_up_of_two_units=tries.text.count("ActiveState=failed"))

# %% [markdown] id="crash-after"
# The guide's is never given up: with ten seconds between two tries there are never five starts within ten seconds. Restarting
# for ever hides a broken server from everybody who looks for failed units. `StartLimitIntervalSec=` must be longer than
# `StartLimitBurst=` tries take ([systemd.unit](https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html)).
#
# **Your turn**, in [llama-server.service](llama-server.service): about eight lines. 512 MiB, one CPU, as many threads, back a
# second after a crash, and given up within a minute.

# %% id="check-limits"
lab.check("installs", "budget", "crash", "start-limit")

# %% [markdown] id="again-text" tags=["prediction"]
# ## Step 4: run it again
#
# **Predict**: how many files does a second run of your `install.sh` change (restarts count, too)?

# %% id="predict-again" tags=["prediction"]
lab.predict(files_changed_by_a_second_run=1)

# %% id="again" tags=["measure"]
machine = lab.boot()
machine.install()
changed = machine.changes()
changed

# %% id="again-compare"
lab.compare(files_changed_by_a_second_run=changed.value)

# %% [markdown] id="again-after"
# Each line is a file that the second run wrote, although nothing was different, or a service that it restarted, which cost
# its users their replies.
#
# **Your turn**, in [install.sh](install.sh), about fifteen lines. A function that copies only what differs does most of it:
#
# ```
# # put MODE SOURCE TARGET
# put() {
#   cmp --silent "$2" "$3" && return
#   install -D --mode="$1" "$2" "$3"
#   changed=yes
# }
# ```
#
# Unpack only what is not there, restart only if something changed, and start if it does not run.

# %% id="check-again"
lab.check("installs", "again", "rotate")

# %% [markdown] id="quadlet-text"
# ## Step 5: the same as a container, a Quadlet
#
# Podman makes a service of a `.container` file each time the machine boots
# ([podman-systemd.unit](https://docs.podman.io/en/latest/markdown/podman-systemd.unit.5.html)). This is what it makes of yours. (Its generator
# runs here, Podman itself does not: the check is marked `schema`.)

# %% id="quadlet"
machine = lab.boot()
machine.quadlet()

# %% [markdown] id="quadlet-after"
# **Your turn**, about ten lines in [llama.container](llama.container): pin the image (by digest, or one of this machine's own
# that is never pulled), make it read-only, without capabilities and new privileges, give it the key as a secret, and publish it
# on `127.0.0.1:8080` only.

# %% id="check-quadlet"
lab.check("quadlet")

# %% [markdown] id="check-text"
# ## Check
#
# The grader boots a machine of its own, installs, asks, breaks in, crashes it, reboots it (`reboot`, for the first time), and
# installs again.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - saw a script end with code 0 and leave nothing running
# - brought a unit's exposure below 2.5, and tried its sandbox from inside
# - gave a key to one service and to nobody else
# - installed twice and proved that the second time changed nothing

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# [06 · Pod to service](../06-pod-to-service/06-pod-to-service.ipynb) asks the same of a cluster. To read on:
# `systemd.exec(5)` from *Sandboxing* on, and run `systemd-analyze security` on a machine of yours.
