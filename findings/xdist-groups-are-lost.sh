#!/usr/bin/env bash
# pytest-xdist 3.8.0 on pytest 9.2.0: `--dist loadgroup` no longer groups, and nothing says so.
#
# Behaviour seen: four tests with one `xdist_group` mark, of which each takes a moment, run on two workers instead of on one. xdist
# appends "@group" to the private `_nodeid` of an item; pytest 9.2 derives `nodeid` from another attribute, so the name that the
# scheduler reads has no group, and every test is a group of its own. On pytest 9.1.1 the same tests run on one worker.
# What to do: a scheduler of one's own (hook `pytest_xdist_make_scheduler`), which reads the plain id.
# Output seen, last lines:
#   pytest 9.2.0: 2 workers
#   pytest 9.1.1: 1 worker
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >test_group.py <<'PY'
import os, threading
import pytest

pytestmark = pytest.mark.xdist_group("one")

@pytest.mark.parametrize("number", range(6))
def test_where(number):
    threading.Event().wait(0.5)
    with open(os.environ["SEEN"], "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY

workers() { # of a pytest version
    python3 -m venv "env-$1"
    "env-$1/bin/pip" install -q "pytest==$1" pytest-xdist==3.8.0
    SEEN="$folder/seen-$1" "env-$1/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_group.py >/dev/null
    sort -u "$folder/seen-$1" | wc -l
}

new=$(workers 9.2.0) old=$(workers 9.1.1)
echo "pytest 9.2.0: $new workers"
echo "pytest 9.1.1: $old worker"
[ "$new" = 2 ] && [ "$old" = 1 ]
