"""The certificate of the capstone: one page with a learner's own figures, made of what they hand in and of nothing else.

What is graded is not decided here: points come from the progress that was kept, or from an instructor's result.
"""
