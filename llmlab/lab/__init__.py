"""What a notebook uses: the lab at hand, its servers, checks, hints, reset and panel.

The only package that shows things; all it shows it also returns.
"""

from .info import LabInfo, all_labs, find_lab
from .lab import Lab

__all__ = ["Lab", "LabInfo", "all_labs", "find_lab"]
