"""What a notebook uses: the lab at hand, its servers, checks, hints, reset and panel.

All it shows it also returns; what the objects of a tier can do lives with the tier.
"""

from ..course.info import LabInfo, all_labs, find_lab
from .lab import Lab

__all__ = ["Lab", "LabInfo", "all_labs", "find_lab"]
