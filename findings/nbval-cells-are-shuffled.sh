#!/usr/bin/env bash
# nbval 0.11.0 beside pytest-randomly 5.1.0: the cells of a notebook run in any order, in one kernel.
#
# Behaviour seen: nbval makes a test item of each cell, and pytest-randomly shuffles the items of a file as it shuffles functions. A notebook
# of five cells, each of which needs the one before, passes without the plug-in and fails with it (NameError in cells that came too soon),
# also with `--nbval-lax`. Nothing is switched on: to have pytest-randomly installed is enough, for instance as another package's test
# dependency.
# What to do: `-p no:randomly` for notebooks, or keep the plug-in out of that environment.
# Output seen:
#   alone: 5 passed
#   beside pytest-randomly, seeds 1 to 5: passed 0 times of 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q pytest==9.2.0 nbval==0.11.0 pytest-randomly==5.1.0 ipykernel==7.4.0
cat >make.py <<'PY'
import nbformat

book = nbformat.v4.new_notebook()
book.cells = [nbformat.v4.new_code_cell("a0 = 0")]
book.cells += [nbformat.v4.new_code_cell(f"a{n} = a{n - 1} + 1") for n in range(1, 5)]
nbformat.write(book, "steps.ipynb")
PY
env/bin/python make.py
run() { env/bin/python -m pytest -q -p no:cacheprovider --nbval "$@" steps.ipynb 2>&1 | tail -1; }

alone=$(run -p no:randomly | sed 's/ in .*//')
echo "alone: $alone"
passed=0
for seed in 1 2 3 4 5; do
    if [[ $(run --randomly-seed=$seed) == "5 passed"* ]]; then passed=$((passed + 1)); fi
done
echo "beside pytest-randomly, seeds 1 to 5: passed $passed times of 5"
[ "$alone" = "5 passed" ] && [ "$passed" = 0 ]
