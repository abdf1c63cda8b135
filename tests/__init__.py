"""A package, so that `python -m tests.benchmarks` is this one: Ciw's wheel brings a package `tests` too."""
