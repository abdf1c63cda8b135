"""A plan deployed on this machine: real llama-servers behind a real HAProxy, a day of requests, and what goes wrong in it.

What a plan is, and the same day at a larger size, is `llmlab.capacity`.
"""
