"""The learner's manifests: read, applied, waited for, and why they were refused or never became ready.

Which cluster they go to is `cluster`'s business.
"""
