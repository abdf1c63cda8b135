"""Lab 12: users from everywhere through the learner's worker, in Cloudflare's runtime, to three regions with a real llama-server each."""

from . import failures, forwarding

PARTS = (forwarding, failures)  # in the order in which their checks run
