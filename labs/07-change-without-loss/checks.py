"""Lab 07: two replicas under load, changed in every way there is; then the autoscaler, under a trace. All on a cluster of the grader's."""

from . import autoscaler, changes

PARTS = (changes, autoscaler)  # in the order in which their checks run
