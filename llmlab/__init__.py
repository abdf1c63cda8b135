"""llmlab: hands-on labs on deploying LLM servers; every lab deploys the real thing.

Names are imported on first use, so that `import llmlab` and `llmlab --help` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Lab": "llmlab.lab",
    "LabError": "llmlab.errors",
    "Server": "llmlab.serve",
    "Spec": "llmlab.serve",
}

__all__ = ["Lab", "LabError", "Server", "Spec", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'llmlab' has no attribute {name!r}")
