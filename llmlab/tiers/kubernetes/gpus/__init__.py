"""GPUs as a scheduler sees them: pools of nodes that could be rented, who lands where, and what that costs.

No GPU runs here: the nodes are simulated, and say so.
"""
