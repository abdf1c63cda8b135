#!/usr/bin/env bash
# python-hcl2 8.1.4: template trim markers in a quoted string, and names beyond ASCII, are parse errors; both are valid HCL.
#
# Behaviour seen: `"a ${~ "b" ~} c"` raises UnexpectedToken, while the same markers in a heredoc are read. A local value named
# `größe` raises too. HCL's specification lets a template's `${~` and `~}` strip the blanks beside them wherever a template stands, and
# takes identifiers by Unicode's rules (UAX #31). Terraform 1.11.4 applies both.
# What to do: have a plan for a file that does not parse, and do not take it for a broken one.
# Output seen:
#   trim markers in a heredoc: read
#   trim markers in a string: UnexpectedToken
#   a name beyond ASCII: UnexpectedToken
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q python-hcl2==8.1.4
cat >read.py <<'PY'
import hcl2

TEXTS = {
    "trim markers in a heredoc": 'locals {\n  a = <<-EOT\n    a ${~ "b" ~} c\n  EOT\n}\n',
    "trim markers in a string": 'locals {\n  a = "a ${~ "b" ~} c"\n}\n',
    "a name beyond ASCII": "locals {\n  größe = 1\n}\n",
}
for name, text in TEXTS.items():
    try:
        hcl2.loads(text)
        print(f"{name}: read")
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
PY
said=$(env/bin/python read.py)
echo "$said"
[ "$said" = 'trim markers in a heredoc: read
trim markers in a string: UnexpectedToken
a name beyond ASCII: UnexpectedToken' ]
