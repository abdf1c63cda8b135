"""What a notebook or a terminal is given to show: lines, tables, measurements, bars, and what is kept beside the lab.

It knows no tier: which objects a notebook works with is said in each tier's `notebook`.
"""
