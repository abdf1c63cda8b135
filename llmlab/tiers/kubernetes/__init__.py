"""Kubernetes: clusters, the images and add-ons in them, manifests applied to them, and what became of the pods.

Each driver brings up a real API server, scheduler and controllers; all but `simulated` run real pods.
What several tiers use does not live here.
"""
