#!/usr/bin/env bash
# Ciw 3.2.7, a library for simulating queues, installs a package called `tests` beside its own. Where a project's own `tests` folder has no
# `__init__.py` (a namespace package), `import tests.something` then finds Ciw's, whatever the folder: `python -m tests.benchmarks` ends
# with "No module named tests.benchmarks" after `pip install ciw`, and works again after `pip uninstall ciw`.
#
# What to do: an empty `tests/__init__.py` in one's own project; it is found first.
# Output seen:
#   before: ok
#   with ciw 3.2.7: No module named tests.benchmarks
#   with an __init__.py of one's own: ok
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
mkdir -p project/tests
echo 'print("ok")' >project/tests/benchmarks.py
cd project
ask() { ../env/bin/python -m tests.benchmarks 2>&1 | sed 's/.*: No module/No module/'; }
before=$(ask)
../env/bin/pip install -q --disable-pip-version-check ciw==3.2.7
with=$(ask || true)
touch tests/__init__.py
mended=$(ask)
printf 'before: %s\nwith ciw 3.2.7: %s\nwith an __init__.py of one'"'"'s own: %s\n' "$before" "$with" "$mended"
[[ $before == ok && $with == "No module named tests.benchmarks"* && $mended == ok ]]
