"""The front door of a cluster: what its Gateways, routes and policies came to, and requests through it from outside.

The controller and the proxy that make a door of them are an add-on of the cluster, in `tiers.kubernetes`.
"""
