"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from . import leftovers, reach, rights
from . import way as ways
from .blocks import spelt, written
from .endpoint import STANDS_IN
from .probes.door import STANDS_IN as FRONT_STANDS_IN
from .probes.door import Front
from .probes.first_boot import STANDS_IN as BOOT_STANDS_IN
from .probes.first_boot import FirstBoot, family
from .probes.project import mutants, planned, project, references, resources, stack, values

__all__ = [
    "BOOT_STANDS_IN",
    "FRONT_STANDS_IN",
    "STANDS_IN",
    "FirstBoot",
    "Front",
    "family",
    "leftovers",
    "mutants",
    "planned",
    "project",
    "reach",
    "references",
    "resources",
    "rights",
    "spelt",
    "stack",
    "values",
    "ways",
    "written",
]
