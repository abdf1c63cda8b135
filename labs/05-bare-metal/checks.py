"""Lab 05: a server on a machine of its own, installed by a script, held by systemd. The promises are the lab's, the ways yours."""

from . import life, quadlet, service

PARTS = (service, life, quadlet)  # in the order in which their checks run
