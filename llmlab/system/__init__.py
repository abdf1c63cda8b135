"""What llmlab asks of the machine it runs on: where files lie, what it started and how that ends, sandboxes, Debian's packages.

It knows of no server, lab or tier: those build on it.
"""
