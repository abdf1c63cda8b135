"""Containers on a platform, as notebooks handle them.

The platforms themselves, and their rules, live beside this package.
"""
