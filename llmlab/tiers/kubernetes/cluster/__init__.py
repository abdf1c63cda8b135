"""A cluster that runs: its API, kubectl beside it, and who may do what in it.

How one comes up lives in `drivers`, what is installed into it in `addons`.
"""
