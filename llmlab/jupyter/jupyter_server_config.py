"""JupyterLab as the course opens it: `llmlab` is on a terminal's PATH, and the index page follows what the learner does."""

import os
import sys
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821

# A login shell, which is Jupyter's choice outside of a terminal, would set PATH anew, and `llmlab` be gone from it.
c.ServerApp.terminado_settings = {"shell_command": [os.environ.get("SHELL") or "sh"]}
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
c.LabApp.extra_labextensions_path.append(str(Path(__file__).parent / "labextensions"))
