# %% [markdown] id="objectives" tags=["objectives"]
# # @@NUMBER@@ · @@TITLE@@
#
# Two readers share a small server. Each pastes a page of about 700 tokens and wants a short reply. `server.toml` is what they
# were given. It starts, and it answers. Here you find out what it promises and does not keep.

# %% id="parameters" tags=["parameters"]
submission = None  # a folder to work on instead of this one (graders set it)
seed = 0

# %% id="lab"
from llmlab import Lab

lab = Lab.here("@@NAME@@")
lab

# %% id="serve"
server = lab.serve("server.toml")
lab.show()

# %% [markdown] id="prediction" tags=["prediction"]
# ## Two pages at once
#
# Both readers paste a page of 700 tokens at the same time. The context is 1,024 tokens. **Predict**: how many of the two get
# a reply?

# %% id="predict-answered"
lab.predict(answered_of_two=2)

# %% id="pages"
pages = server.load(concurrency=2, requests=2, prompt_tokens=700, max_tokens=16, warmup=0)
pages

# %% [markdown] id="why-text"
# If one got none, the server's own words say why:

# %% id="why"
[sample.error for sample in pages.runs[0].samples if sample.error]

# %% [markdown] id="edit-text"
# **Your turn.** Edit `server.toml` so that both are served, and run the cells from `lab.serve` on again. Stuck?
# `lab.hint("fits")`. Then ask your server how many tokens each reader has now:

# %% id="context"
server.props()["default_generation_settings"]["n_ctx"]

# %% [markdown] id="context-text"
# **Answer**: how many is that?

# %% id="answer-context" tags=["answer"]
lab.answer(context=1024)  # learner: lab.answer(context=None)

# %% [markdown] id="more-text" tags=["prediction"]
# ## A third reader
#
# There are two places. **Predict**: what does a third reader do to the others?

# %% id="more"
more = server.load(concurrency=[1, 2, 3, 4])
more

# %% id="more-figure" tags=["figure"]
more.plot()

# %% [markdown] id="check-text"
# ## Check
#
# Deployed afresh, probed for real. Fix, check again, take a hint: as often as you like.

# %% id="check"
lab.check()

# %% id="stop"
lab.stop()

# %% [markdown] id="summary" tags=["summary"]
# ## What you did
#
# - saw one context become two halves, and gave each reader enough
# - saw who waits when there are more readers than places

# %% [markdown] id="next" tags=["next"]
# ## Next
#
# Hand in this folder, or a zip of it: `server.toml` and this notebook.
