"""What a notebook of labs 06 to 08 works with: the cluster, its roll-outs, the states of its pods.

What is graded lives in `probes`.
"""
