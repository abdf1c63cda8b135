"""A drawn figure with everything a reader needs who cannot see it."""

from __future__ import annotations

import base64
import html
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..plain import plain


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """One figure.

    `png`: the image; `alt`: what it shows, in sentences with the numbers; `caption`: n, spread, machine and
    engine; `data`: the numbers that were drawn, as plain lists; `scale`: device pixels per CSS pixel.
    """

    png: bytes  # the image
    alt: str  # what it shows, in sentences with the numbers
    caption: str  # n, spread, machine and engine
    data: dict[str, Any] = field(default_factory=dict)  # the numbers that were drawn, as plain lists
    scale: float = 2.0  # device pixels per CSS pixel

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, read from the PNG's header (PNG specification, IHDR)."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def html(self) -> str:
        """The figure as HTML; alt text and caption escaped."""
        source = base64.b64encode(self.png).decode("ascii")
        width = round(self.size[0] / self.scale)
        return (
            '<figure style="margin:0.5em 0">'
            f'<img src="data:image/png;base64,{source}" alt="{html.escape(self.alt, quote=True)}" '
            f'width="{width}" style="max-width:100%;height:auto">'
            f'<figcaption style="max-width:{width}px;font-size:0.85em;line-height:1.4;opacity:0.85">'
            f"{plain(self.caption)}</figcaption></figure>"
        )

    def save(self, path: str | Path) -> Path:
        """Write the PNG to `path` (folders are made) and return the path.

        :raises LabError: when the name does not end in .png or the file cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() != ".png":
            raise LabError(
                f"A figure is saved as a PNG file, not {target.suffix or 'without a suffix'}.",
                where=str(target),
                fix=f"use the name {target.with_suffix('.png').name}",
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.png)
        except OSError as error:
            raise LabError(f"The figure was not saved: {error.strerror}.", where=str(target)) from error
        return target

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # IPython.display.Image(alt=...) loses the alt text in JupyterLab; HTML keeps it.
        return {"text/html": self.html, "text/plain": self.alt}

    def __repr__(self) -> str:
        return self.alt
