"""Where the grader's verdict stands in a notebook that checks after each step."""

from __future__ import annotations

from nbformat import v4

from llmlab.checks import Outcome, Result
from llmlab.grade.notebook import show_verdict
from llmlab.lab.lab import VERDICT, Deferred


def deferred(*only):
    """A cell with `lab.check()`, as it was run under a grader."""
    data = Deferred(only)._repr_mimebundle_()
    return v4.new_code_cell(outputs=[v4.new_output("display_data", data=data)])


def outcome(name):
    return Outcome(check=name, title=f"{name} holds", status="passed", points=1, max_points=1)


def test_each_check_cell_shows_the_verdict_on_what_it_asks_for():
    notebook = v4.new_notebook(cells=[deferred("door"), v4.new_markdown_cell("text"), deferred()])
    show_verdict(
        notebook, Result(lab="01-tiny", created="", seed=0, outcomes=[outcome("door"), outcome("knee")])
    )
    first, last = (cell.outputs[0]["data"] for cell in notebook.cells if cell.cell_type == "code")
    assert "1 of 1 points" in first["text/plain"]
    assert "knee" not in first["text/plain"] + first["text/html"]
    assert "2 of 2 points" in last["text/plain"]
    assert VERDICT not in first
    assert VERDICT not in last
