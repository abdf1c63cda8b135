"""What Terraform needs of the machine."""

from __future__ import annotations

import shutil

from ...tier import MAC, Need, program


def terraform() -> Need:
    """Terraform or OpenTofu, and the AWS provider."""
    from . import mirror

    for name in mirror.HOSTS:
        if shutil.which(name):
            met, detail = program(name, "version")
            if met and mirror.found() is None:
                lacking = f"{detail}, without the AWS provider {mirror.VERSION}"
                return Need("terraform", False, lacking, "uv run llmlab fetch terraform")
            return Need("terraform", met, detail)
    return Need(
        "terraform",
        False,
        "neither terraform nor tofu on PATH",
        "brew install opentofu" if MAC else "see opentofu.org/docs/intro/install",
    )
