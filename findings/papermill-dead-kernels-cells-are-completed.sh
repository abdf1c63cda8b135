#!/usr/bin/env bash
# papermill 2.7.0 with nbclient 0.11.0: the cells of a kernel that died are marked as completed, those that never ran among them.
#
# Behaviour seen: a notebook of three cells, the second of which ends its own kernel (as want of memory would). papermill ends with code 138
# and "Kernel died", and the notebook that it writes has `papermill.status: "completed"` in all three cells and `papermill.exception: null` for
# the whole; the third never ran and has no output. Whoever reads the states of cells in the written notebook (a grader, a dashboard) takes it for done.
# What to do: look at papermill's exit code, or at `start_time`, which a cell that never ran has not.
# Output seen:
#   exit code 138
#   completed completed completed
#   with output: 1, begun: 2, exception: None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q papermill==2.7.0 nbclient==0.11.0 ipykernel==7.4.0
cat >make.py <<'PY'
import nbformat

book = nbformat.v4.new_notebook()
for source in ("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "2"):
    book.cells.append(nbformat.v4.new_code_cell(source))
book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(book, "in.ipynb")
PY
env/bin/python make.py
env/bin/python -m ipykernel install --prefix "$folder/env" --name python3 >/dev/null 2>&1
code=0
env/bin/python -m papermill in.ipynb out.ipynb --no-progress-bar >log 2>&1 || code=$?
said=$(
    echo "exit code $code"
    env/bin/python - <<'PY'
import nbformat

book = nbformat.read("out.ipynb", 4)
states = [cell.metadata.papermill for cell in book.cells]
print(*(state.status for state in states))
outputs, begun = sum(bool(cell.outputs) for cell in book.cells), sum(state.start_time is not None for state in states)
print(f"with output: {outputs}, begun: {begun}, exception: {book.metadata.papermill.exception}")
PY
)
echo "$said"
grep -q "Kernel died" log
[ "$said" = $'exit code 138\ncompleted completed completed\nwith output: 1, begun: 2, exception: None' ]
