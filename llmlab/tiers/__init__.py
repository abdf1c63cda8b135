"""Where a deployment runs, one room each: its machinery, and its `notebook`, `probes`, `figures` and `tier`.

A tier knows those below it (compose and systemd know docker, aws knows compose and systemd, edge knows regions) and no other. What labs
of several tiers use lives in `checks`, `figures` and `show`.
"""
