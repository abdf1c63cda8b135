"""Figures of pods, roll-outs and scaling.

What is drawn here comes from a table and from nothing else; how figures look is `llmlab.figures`' business.
"""
