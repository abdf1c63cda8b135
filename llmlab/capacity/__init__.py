"""Capacity: a day of requests, and how many servers keep which promise through it.

Speeds come from the learner's own records, never from constants. What drives real servers is in `llmlab.load`.
"""
