"""Lab 00 is graded by one promise: your machine serves tokens."""

from llmlab.checks import Context, Verdict, check, failed, passed


@check(title="Your machine serves tokens", points=1)
def serves(ctx: Context) -> Verdict:
    """Start the file's server and stream one reply from it."""
    server = ctx.server()
    text = server.complete("Hello", max_tokens=8)
    expected = "eight tokens from a llama-server that was started for this check"
    look = 'server = lab.serve("server.toml"); server.complete("Hello")'
    if not text:
        return failed(expected=expected, observed="an empty reply", look=look)
    return passed(expected=expected, observed=f"it answered on {server.engine.line()}", look=look)
