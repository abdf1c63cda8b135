"""A class graded on a cluster of somebody's: one Indexed Job a batch, one index a submission, results as they come.

What a result is made of, once a pod has told what it saw, is `llmlab.grade`'s, the same as on one machine; clusters that llmlab brings up
itself are `llmlab.tiers.kubernetes`.
"""
