"""HTML in which nothing that came from a learner is markup: a text is cleaned and escaped where it goes in."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ..submissions.text import clean

#: Nothing is fetched and nothing runs, whatever a submission managed to write into its own page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Html(str):
    """Markup of ours; any other text is escaped where it goes in."""

    __slots__ = ()


def tag(name: str, *inside: str | None, **attributes: str) -> Html:
    """An element; its texts and attributes are cleaned and escaped. `class_` is `class`."""
    given = "".join(
        f' {key.rstrip("_")}="{html.escape(clean(value))}"' for key, value in attributes.items() if value
    )
    return Html(f"<{name}{given}>{join(inside)}</{name}>")


def join(parts: Iterable[str | None]) -> Html:
    """Markup and texts one after the other; empty ones are left out."""
    return Html(
        "".join(part if isinstance(part, Html) else html.escape(clean(part)) for part in parts if part)
    )


def terms(rows: Iterable[tuple[str, str]]) -> Html:
    """A list of names, each with what belongs to it."""
    return tag("dl", *(part for name, text in rows for part in (tag("dt", name), tag("dd", text))))


def document(title: str, style: str, body: Html, *, policy: str = POLICY) -> str:
    """A whole page, as the text of its file.

    :param style: CSS of ours; it stands in the page as it is.
    :param policy: what the page may load (Content-Security-Policy).
    """
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=False)}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            Html(f"<style>\n{style}</style>"),
        ]
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'
