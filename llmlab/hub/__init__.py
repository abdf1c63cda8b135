"""The course on a JupyterHub: walls between learners on one machine, and collecting what a class wrote.

On Kubernetes a pod is the wall, and docs/hub/values.yaml is all that a hub needs; grading is not here.
"""
