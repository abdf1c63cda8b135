"""What is asked of a stack: of the plan and the account, of the door, of an instance's first boot.

Nothing here shows; a notebook's objects live in `tiers.aws.notebook`.
"""
