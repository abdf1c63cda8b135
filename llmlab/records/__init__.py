"""What was measured and where: the one schema, reading and writing it, and what its numbers mean.

Measuring lives in `llmlab.load`, drawing in `llmlab.figures`.
"""
