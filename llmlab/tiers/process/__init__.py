"""One llama-server as a process: the notebook's server, what is probed of it, what a learner claims of it.

The server itself lives in `llmlab.serve`, and what loads it in `llmlab.load`.
"""
