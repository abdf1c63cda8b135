"""Lab @@NUMBER@@: what is graded, one function a check. Each deploys server.toml afresh and asks what runs."""

from llmlab.checks import Context, Verdict, check, passed, verdict
from llmlab.load import closed

READERS = 2
PAGE = 700  # tokens
REPLY = 16  # tokens


@check(title="server.toml describes a server that starts", points=1)
def starts(ctx: Context) -> Verdict:
    """Deploy it and wait until the model is loaded."""
    server = ctx.server()
    return passed(
        expected="/health answers 200",
        observed=f"ready after {server.seconds_to_ready:.2f} s",
        look=server.command,
    )


@check(title=f"{READERS} readers at once, a page of about {PAGE} tokens each", points=2, needs=("starts",))
def fits(ctx: Context) -> Verdict:
    """Send the pages for real, at the same time, and count the replies."""
    server = ctx.server()
    length = PAGE - ctx.random("page").randrange(50)  # every learner's own, and the same in a regrade
    plan = closed(READERS, requests=READERS, warmup=0, prompt_tokens=length, max_tokens=REPLY, seed=ctx.seed)
    samples = ctx.measure(server, [plan]).runs[0].samples
    answered = sum(sample.ok for sample in samples)
    return verdict(
        answered == READERS,
        expected=f"{READERS} of {READERS} pages answered with up to {REPLY} tokens each",
        observed=f"{answered} of {READERS} answered",
        look=f'server = lab.serve("server.toml"); '
        f"server.load(concurrency={READERS}, requests={READERS}, prompt_tokens={PAGE}, max_tokens={REPLY}, warmup=0)",
        hidden=f"each page had {length} tokens",
    )


@check(title="You know how much context each reader has", points=2, needs=("starts",))
def context(ctx: Context) -> Verdict:
    """Compare the answer with what /props says of the server that runs."""
    answer = ctx.answers.get("context")
    found = ctx.server().props()["default_generation_settings"]["n_ctx"]
    return verdict(
        answer == found,
        expected="lab.answer(context=N), with the N that your server says",
        observed=f"your answer is {answer!r}, your server's is {'the same' if answer == found else 'another'}",
        look='lab.serve("server.toml").props()["default_generation_settings"]["n_ctx"]',
    )
