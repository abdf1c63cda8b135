"""Containers without servers: what other clouds would refuse of a file before anything runs.

Nothing is deployed here; what a validator says is its own word.
"""
