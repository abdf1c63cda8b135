"""What a notebook about a front door works with: the door, its clients, and what is measured of it.

What a lab's checks ask lives in the modules around it.
"""
