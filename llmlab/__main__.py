"""`python -m llmlab` is `llmlab`."""

import sys

from .cli.main import main

sys.exit(main())
