"""Compose projects on a real Docker daemon: what a file asks for, what runs of it, what its dashboards show.

One image or container lives in `tiers.docker`.
"""
