"""The edge of a network on one machine: the learner's worker in the runtime it is written for, in front of three regions.

What each country should get is here too, because the edge is asked it; the regions behind it live in `tiers.regions`.
"""
