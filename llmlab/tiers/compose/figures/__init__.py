"""Figures of a project: who got which requests, and what its dashboard's queries gave.

What is drawn here comes from a table and from nothing else; how figures look is `llmlab.figures`' business.
"""
