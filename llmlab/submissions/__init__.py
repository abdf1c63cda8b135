"""What a stranger hands in: whose it is, and what of it is taken (files, notebooks, answers), with the reasons.

Nothing here is run or judged: that is `grade`'s business.
"""
