"""Lab 14: a plan, deployed and replayed at the size of this machine, simulated at every other; and claims with their records."""

from . import day, folder, sizes

PARTS = (sizes, folder, day)  # in the order in which their checks run; what needs the plan alone comes first
