"""The image of the course, which Binder, a hub and grading on Kubernetes run: what is in it, how it is built, what an archive of it says.

Its Dockerfile is binder/Dockerfile. The images that labs are about are not here: they are their tiers'.
"""
