"""The programs and images of a cluster, built or fetched once, and the certificates they show each other.

What starts them lives in `drivers`.
"""
