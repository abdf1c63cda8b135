"""What a notebook about clusters works with: the cluster, its roll-outs, the states of its pods.

What is graded lives in `probes`.
"""
