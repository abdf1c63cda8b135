"""A small world on one machine: regions with real llama-servers in them, and what leads users there by name and by proxy.

What lives here: the regions, their distances, how they fail, what reached them; the tools that run the learner's files; users as
real clients are. Which user belongs where, and what is good enough, is the labs' business.
"""
