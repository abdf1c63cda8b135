"""What checks ask of a cluster: the run they share, pods, roll-outs.

Nothing here shows; a notebook's objects live in `notebook`.
"""
