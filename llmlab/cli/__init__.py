"""The `llmlab` command: verbs, and the way in without one.

What a verb does lives elsewhere; here is what is typed and what is printed.
"""
