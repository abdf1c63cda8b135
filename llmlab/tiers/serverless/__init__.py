"""Containers without servers: what their platforms would refuse of a file, and the file run on the platform's own terms.

No cloud is asked: what a validator says is its own word, and what runs, runs in Docker here. Each part says what it does not imitate.
"""
