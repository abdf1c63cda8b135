"""What is installed into a cluster beside the learner's own: DNS, volumes, metrics, gateways, autoscalers.

Bringing a cluster up lives in `drivers`.
"""
