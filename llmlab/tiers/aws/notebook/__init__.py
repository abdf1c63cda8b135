"""What a notebook about Terraform works with: the project, its tables, its door, the longest reply that the door lets through.

What is graded lives in `tiers.aws.probes`.
"""
