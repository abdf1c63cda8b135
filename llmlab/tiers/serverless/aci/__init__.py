"""Azure Container Instances: a script of `az` commands read, what would be refused of it, and its group, run on Docker instead.

Nothing here runs `az container create` or asks Azure; the group is `emulated`, and says what stands in and what is not imitated.
"""
