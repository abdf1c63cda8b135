"""What a notebook of lab 10 works with: the project, its tables, its door, the longest reply that the door lets through.

What is graded lives in `tiers.aws.probes`.
"""
