"""The ways to a cluster: local, kind, simulated, or one of the reader's own; choosing one, and holding it for several notebooks.

What is done with it once it is up lives in `cluster`.
"""
