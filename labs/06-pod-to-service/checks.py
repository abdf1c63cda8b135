"""Lab 06: three replicas behind a Service, on a cluster of the grader's own. The files are applied as `kubectl apply -k` would."""

from . import changes, pods

PARTS = (pods, changes)  # in the order in which their checks run
