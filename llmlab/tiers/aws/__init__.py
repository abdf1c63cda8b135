"""A cloud on one machine: real Terraform with the real AWS provider against a local AWS endpoint, and what came of it.

What lives here: the endpoint and the account in it, running Terraform, reading back what was created, and what follows from
that (who reaches whom, who may do what, the door as HAProxy would be it). Containers and servers live with their own tiers.
"""
