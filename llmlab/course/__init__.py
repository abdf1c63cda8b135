"""The course as it lies on the disk: each lab's lab.toml, its hints, a learner's progress, the starter files put back.

What is deployed and probed lives in `checks` and `tiers`; what somebody handed in, in `submissions`.
"""
