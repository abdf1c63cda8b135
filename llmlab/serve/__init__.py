"""One running llama-server as an owned process: spec, command line, start, ready, stop.

What loads it lives in `llmlab.load`; where its program and model come from, in `llmlab.engine` and
`llmlab.models`.
"""

from .limits import Limits
from .server import Server
from .spec import Spec

__all__ = ["Limits", "Server", "Spec"]
