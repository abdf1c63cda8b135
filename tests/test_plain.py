"""Words in HTML stay words."""

from __future__ import annotations

import re

import pytest

from llmlab.checks.page import linked
from llmlab.plain import plain
from llmlab.show.shown import Shown

SAID = "$PORT and <$HOME>"


@pytest.mark.parametrize(
    "page",
    [
        plain(SAID),
        linked(f"aci.sh:3: {SAID}", ["aci.sh"]),
        Shown([(SAID, "", "")], [SAID])._repr_html_(),
    ],
    ids=["text", "evidence", "table"],
)
def test_dollars_are_no_formula(page):
    """What MathJax must leave alone it is told to; no other dollar is left."""
    assert page.count("mathjax_ignore") == SAID.count("$") * page.count("PORT")
    assert "$" not in re.sub(r'<span class="mathjax_ignore tex2jax_ignore">\$</span>', "", page)
    assert "&lt;" in page


def test_a_column_without_a_name_has_no_empty_heading():
    page = Shown([("a", "b", "c")], [])._repr_html_()
    assert ">the file says</th>" in page
    assert "></th>" not in page
