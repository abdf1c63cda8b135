"""Where the grader's verdict stands in a notebook that checks after each step."""

from __future__ import annotations

from nbformat import v4

from llmlab.checks import Result
from llmlab.grade.notebook import show_verdict
from llmlab.lab.lab import VERDICT, Deferred


def deferred():
    """A cell with `lab.check()`, as it was run under a grader."""
    return v4.new_code_cell(outputs=[v4.new_output("display_data", data=Deferred()._repr_mimebundle_())])


def test_the_verdict_stands_at_the_last_check_and_the_others_point_there():
    notebook = v4.new_notebook(cells=[deferred(), v4.new_markdown_cell("text"), deferred()])
    show_verdict(notebook, Result(lab="01-tiny", created="", seed=0, outcomes=[]))
    first, last = (cell.outputs[0]["data"] for cell in notebook.cells if cell.cell_type == "code")
    assert first == {"text/plain": "The grader's verdict stands at the last check of this notebook."}
    assert "Lab 01-tiny" in last["text/plain"]
    assert VERDICT not in last
