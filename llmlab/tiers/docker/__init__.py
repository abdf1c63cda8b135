"""Images and containers on a real Docker daemon, and the registry they come from.

What is made here carries a label of ours and is registered in `owned` first. Several containers as one project live in `tiers.compose`.
"""
