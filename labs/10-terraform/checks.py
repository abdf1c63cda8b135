"""Lab 10: the files are planned, tested, applied to a fresh account, read back, used, drifted and destroyed. All names in the account are new."""

from . import life, plan, servers, way

PARTS = (plan, way, servers, life)  # in the order in which their checks run
