"""Words as HTML shows them."""

from __future__ import annotations

import html

# The two classes are what MathJax 3 and 2 leave alone.
_DOLLAR = '<span class="mathjax_ignore tex2jax_ignore">$</span>'


def plain(words: str) -> str:
    """Text for a page of HTML, to be read word for word.

    JupyterLab (seen on 4.6.2) makes a formula of what stands between two `$`, in HTML too: `$PORT and $HOME` would lose its dollars,
    its spaces and its capitals' shape.
    """
    return html.escape(words).replace("$", _DOLLAR)
