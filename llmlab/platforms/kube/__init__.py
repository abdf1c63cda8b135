"""Kubernetes: clusters, the images and add-ons in them, manifests applied to them, and what became of the pods.

Each driver brings up a real API server, scheduler and controllers; all but `simulated` run real pods. Nothing here grades or shows.
"""

from __future__ import annotations

from .cluster import Cluster

__all__ = ["Cluster"]
