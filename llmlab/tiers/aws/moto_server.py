"""The endpoint's process: moto's own server, its gaps mended. Run as `python -m llmlab.tiers.aws.moto_server PORT`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve AWS on 127.0.0.1:PORT until it is ended."""
    os.environ["MOTO_PORT"] = sys.argv[1]
    from moto.server import main as serve

    from .gaps import mend

    mend()
    serve(["-H", "127.0.0.1", "-p", sys.argv[1]])


if __name__ == "__main__":
    main()
