"""Machines that boot systemd, in a container each: unit files and Quadlets installed on them, and what systemd says of both.

The container itself lives in `tiers.docker`.
"""
