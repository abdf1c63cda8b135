"""How many servers a load needs: requests replayed through a model of llama-servers behind a door, and the formulas it is held against.

Nothing here starts or measures a server, and no speed is a constant of ours: they come from the learner's own records.
"""
