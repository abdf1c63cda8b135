"""What lies in the learner's folder besides the plan."""

from llmlab.checks import Context, Verdict, check, inconclusive, leaks, verdict

SHOWN = 5  # places that are named


@check(title="No secret lies open in your folder", points=2, needs=("complete",))
def secrets(ctx: Context) -> Verdict:
    """Look through the files, records and notebooks of all labs; a grader has what was handed in, and looks through that."""
    where = ctx.home or ctx.files
    ctx.say("looking through your folder for secrets")
    found = leaks.search(where)
    what = "your folder" if ctx.home else "what was handed in"
    named = "; ".join(map(str, found.leaks[:SHOWN])) or "none"
    more = f" and {len(found.leaks) - SHOWN} more" if len(found.leaks) > SHOWN else ""
    large = f"; {found.large} larger than {leaks.LARGEST >> 20} MiB were not read" if found.large else ""
    evidence = {
        "expected": f"no key, token or password in a file of {what}",
        "observed": f"{named}{more}; {found.files} files of {what} were read{large}",
        "look": 'lab.check("secrets")',
    }
    if found.cut and not found.leaks:
        return inconclusive("the folder is larger than what is looked through", **evidence)
    return verdict(not found.leaks, **evidence)
