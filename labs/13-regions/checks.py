"""Lab 13: users on every continent through the learner's zone and proxies, while regions are lost, slow, flap and come back.

The lab's own routing of the same regions runs beside the learner's, with users of its own, in the same incidents: when even that
one is late, the machine is too noisy to say.
"""

from . import limits, recovery

PARTS = (recovery, limits)  # in the order in which their checks run
