"""Scripts of `az container create`: what az takes is taken, and what it refuses is refused in its words, with the line."""

from __future__ import annotations

import json
import random
import subprocess

import pytest

from llmlab.errors import LabError
from llmlab.tiers.serverless.aci import az, options, rules, script, shell
from llmlab.tiers.serverless.aci.script import read_text

AZ = "az container create -g rg -n one "

#: Real ones, from the documentation and from repositories of strangers (some shortened): every one of them is taken by azure-cli 2.91.0.
STRANGERS = {
    "quickstart": """
        az group create --name myResourceGroup --location eastus
        az container create --resource-group myResourceGroup --name mycontainer \\
          --image mcr.microsoft.com/azuredocs/aci-helloworld --dns-name-label aci-demo --ports 80 \\
          --os-type linux --memory 1.5 --cpu 1
        """,
    "port-from-a-variable": """
        az container create --resource-group myResourceGroup \\
        --name mycontainer --image mcr.microsoft.com/azuredocs/aci-helloworld \\
        --ip-address Public --ports 9000 \\
        --environment-variables 'PORT'='9000'
        """,
    "shell-loop": """
        az container create -g rg -n loop --image ubuntu --restart-policy Never \\
          --command-line "/bin/sh -c 'while true; do echo \\"$(date)\\"; sleep 5; done'" -o table
        """,
    "n8n": """
        az container create \\
          --resource-group myResourceGroup \\
          --name n8n-commissions \\
          --image n8nio/n8n:latest \\
          --ports 5678 \\
          --cpu 1 \\
          --memory 1.5 \\
          --environment-variables \\
            N8N_BASIC_AUTH_ACTIVE=true \\
            N8N_BASIC_AUTH_USER=admin \\
            N8N_BASIC_AUTH_PASSWORD=YourSecurePassword123 \\
          --dns-name-label n8n-commissions \\
          --location eastus
        """,
    "name-made-up-when-run": """
        RG="kubedojo-dns-lab"
        LOCATION_PRIMARY="eastus2"
        az group create --name "$RG" --location "$LOCATION_PRIMARY"
        az container create \\
          --resource-group "$RG" \\
          --name primary-web \\
          --image mcr.microsoft.com/azuredocs/aci-helloworld \\
          --dns-name-label "kubedojo-primary-$(openssl rand -hex 4)" \\
          --location "$LOCATION_PRIMARY" \\
          --ports 80
        """,
    "secure-and-two-on-a-line": """
        az container create \\
          --resource-group rg-adventureworks \\
          --name aci-adventureworks \\
          --image olaffsen/adventureworks-db:latest \\
          --os-type Linux \\
          --cpu 2 --memory 4 \\
          --ports 1433 \\
          --ip-address Public \\
          --secure-environment-variables MSSQL_SA_PASSWORD="$SA_PASSWORD"
        """,
    "inside-a-substitution": """
        funcFQDN=$(az container create -g $resourceGroup -n demoapp \\
        --image $acrFQDN/sample/myapp \\
        --os-type Linux \\
        --registry-login-server $acrFQDN \\
        --registry-username $(az acr credential show -n $acrName -o tsv --query username) \\
        --registry-password $acrPasswd \\
        --ip-address Public \\
        --ports 80 \\
        --query ipAddress.ip -o tsv)
        curl $funcFQDN/api/myhttpfunction\\?name=Steve
        """,
    "abbreviated-and-positional": """
        env=$1
        grp=az400-food-$env
        az container create -g $grp -l westeurope -n app --image $2 --cpu 1 --memory 1 --dns-name-label $3 --port 80 --registry-username $4 --registry-password $5
        """,
    "in-a-loop-with-a-log": """
        set -euo pipefail
        cat << EOF > .az.log
        az container create is only text here, 'unpaired
        EOF
        for (( i=1; i<=$test_workers_cnt; i++ ))
        do
        az container create -g locust -n "worker-$i" \\
            --image "locust.azurecr.io/locust:latest" \\
            --registry-username $acr_usr --registry-password $acr_pwd \\
            --ip-address Public --ports 8089 5557 \\
            --memory 2 --restart-policy OnFailure \\
            --azure-file-volume-account-name account \\
            --azure-file-volume-account-key key \\
            --azure-file-volume-share-name share \\
            --azure-file-volume-mount-path "//mnt/locust" \\
            --command-line "locust -f /mnt/locust/locustfile.py --worker --master-host $master_ip" \\
            -o json >> $log || exit 1
        done
        """,
    "into-a-network": """
        az container create --name appcontainer --resource-group rg --image nginx --vnet aci-vnet \\
          --vnet-address-prefix 10.0.0.0/16 --subnet aci-subnet --subnet-address-prefix 10.0.0.0/24
        """,
    "file": "az container create -g LiveSRKWNotificationSystem -f ./deploy-aci.yaml",
    "array": """
        args=(--resource-group rg
          --name app # the name
          --image 'nginx' )
        args+=(--cpu 1 --memory "$MEMORY")
        ENV_VARS=("A=1 2" B=3)
        az container create "${args[@]}" --environment-variables "${ENV_VARS[@]}" C=4
        """,
    "from-a-file-that-is-read-in": """
        . ./env.sh
        az container create -g $RG -n $NAME --cpu $CPU --ports $PORTS --os-type $OS --environment-variables ${VARS[@]} --ip-address=$IP
        az container delete $REST
        """,
    "all-of-it-from-a-file": """
        source ./env.sh
        az container create $ARGS "${MORE[@]}"
        """,
    "identity": "az container create -g g -n n --image r.azurecr.io/a:1 --assign-identity [system] /subscriptions/1/x --acr-identity id",
}  # fmt: skip


def only(text: str, **environment: str) -> script.Creation:
    found = read_text(text, "aci.sh", environment)
    assert [str(problem) for problem in found.problems] == []
    (asked,) = found.asked
    return asked


@pytest.mark.parametrize("name", STRANGERS)
def test_what_az_takes_is_taken(name):
    text = "\n".join(line[8:] if line.startswith(" " * 8) else line for line in STRANGERS[name].splitlines())
    variables = {"resourceGroup": "rg", "acrFQDN": "x.azurecr.io", "acrPasswd": "p", "SA_PASSWORD": "p"}
    variables |= {
        "acr_usr": "u",
        "acr_pwd": "p",
        "test_workers_cnt": "3",
        "log": "l",
        "master_ip": "10.0.0.4",
        "MEMORY": "2",
    }
    found = read_text(text, environment=variables)
    assert [str(problem) for problem in found.problems] == []
    assert len(found.asked) == 1


REFUSED = {
    AZ + "--nme y": "unrecognized arguments: --nme y",
    AZ + "--gpu-count 1 --gpu-sku V100": "unrecognized arguments: --gpu-count 1 --gpu-sku V100",
    AZ + "--yaml": "unrecognized arguments: --yaml",
    AZ + "two words": "unrecognized arguments: two words",
    AZ + "-e A=1 -- B=2": "unrecognized arguments: -- B=2",
    AZ + "--cpu": "argument --cpu: expected one argument",
    AZ + "--command-line --foo": "argument --command-line: expected one argument",
    "az container create -g rg --name": "argument --name/-n: expected one argument",
    AZ + "--ports": "argument --ports: expected at least one argument",
    AZ + "--secure-environment-variables": "argument --secure-environment-variables: expected at least one argument",
    AZ + "--os-type Lunux": "az container create: 'Lunux' is not a valid value for '--os-type'. Allowed values: Windows, Linux.",
    AZ + "--restart-policy unless-stopped": "az container create: 'unless-stopped' is not a valid value for '--restart-policy'. Allowed values: Always, OnFailure, Never.",
    AZ + "--ip-address None": "az container create: 'None' is not a valid value for '--ip-address'. Allowed values: Public, Private.",
    AZ + "--ports 80,443": "argument --ports: invalid int value: '80,443'",
    AZ + "--cpu four": "argument --cpu: invalid float value: 'four'",
    AZ + "--registry Z": "ambiguous option: --registry could match --registry-login-server, --registry-username, --registry-password",
    "az container create -n one": "the following arguments are required: --resource-group/-g",
    AZ + "-e FOO": "Incorrectly formatted environment settings. Argument values should be in the format a=b c=d",
    AZ + "--config-map FOO": "Incorrectly formatted config map key-value pairs. Argument values should be in the format a=b c=d",
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_what_az_refuses_is_refused_in_its_words(line):
    """The words are those that azure-cli 2.91.0 printed for these lines (run on 2026-11-30)."""
    found = read_text(f"#!/bin/sh\n\n{line}\n")
    assert [str(problem) for problem in found.problems] == [f"aci.sh:3: {REFUSED[line]}"]
    assert found.asked == ()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("echo\naz container create -n 'a\n", 2, "unexpected EOF while looking for matching `''"),
        ('az container create -n "a\n\n', 1, "unexpected EOF while looking for matching `\"'"),
        ("\n\nX=$(az container create\n", 3, "unexpected EOF while looking for matching `)'"),
        (AZ + "\\\n  --cpu 4\n  --memory 16\n", 3, "--memory: command not found"),
        (AZ + "\\\n# a comment in between \\\n --cpu 4\n", 3, "--cpu: command not found"),
        (AZ + "\\ \n --cpu 4\n", 1, "unrecognized arguments:  "),  # a blank after the backslash
        ("echo\nX=" + "$(" * 2000 + "a" + ")" * 2000, 2, "nested too deeply"),
        ("echo\nX=" + "${A:-" * 2000 + "a" + "}" * 2000, 2, "nested too deeply"),
        ("\n" + "A=($(" * 500 + "a" + "))" * 500, 2, "nested too deeply"),
        ("echo\n\nX=" + '"$(' * 2000 + "a" + ')"' * 2000, 3, ""),
        ("az group list\n", None, "there is no `az container create` in it"),
        ("", None, "there is no `az container create` in it"),
    ],
)
def test_a_script_that_the_shell_reads_otherwise(text, line, says):
    problem = read_text(text).problems[0]
    assert says in problem.what
    assert problem.where == (f"aci.sh:{line}" if line else "aci.sh")


def test_words_are_what_the_shell_makes_of_them():
    asked = only(
        'N=one G="r g"\nexport W=${G}x\n' + "WORDS='A=1 B=2'\n"
        'az container create --resource-group="$G" -n$N --image \'$N\' --ports 80 443 -e $WORDS "C=$G" D=${NOT:-d} E=\\$N "F=$W" '
        '--command-line "sh -c \'echo \\"hi\\" # no comment\'" --cpu .5 # a comment\n'
    )
    assert (asked.resource_group_name, asked.name, asked.image, asked.cpu) == ("r g", "one", "$N", 0.5)
    assert asked.ports == [80, 443]
    assert asked.environment == {"A": "1", "B": "2", "C": "r g", "D": "d", "E": "$N", "F": "r gx"}
    assert asked.command_line == "sh -c 'echo \"hi\" # no comment'"


def test_a_variable_that_is_not_set_is_nothing_and_is_said():
    found = read_text(AZ + '--cpu 1 \\\n  -e KEY="$LLAMA_API_KEY"\n')
    (asked,) = found.asked
    assert asked.environment == {"KEY": ""}
    assert [str(remark) for remark in found.remarks] == ["aci.sh:2: $LLAMA_API_KEY is not set: the shell puts nothing there"]  # fmt: skip
    # unquoted, the word is gone
    (problem,) = read_text(AZ + "--cpu $CPUS --memory 2\n").problems
    assert problem.what == "argument --cpu: expected one argument"


def test_an_array_is_its_elements():
    asked = only("A=(X=1 'Y=2 3')\nA+=(Z=)\n" + AZ + '-e "${A[@]}" W=1 "${NONE[@]}"\n')
    assert asked.environment == {"X": "1", "Y": "2 3", "Z": "", "W": "1"}


def test_what_only_a_run_could_tell_is_refused_by_nobody():
    asked = only("source env\n" + AZ + "--cpu $CPU --memory=$M --ports $P --os-type $OS $REST\n")
    assert set(asked.unknown) == {"cpu", "memory", "ports", "os_type"}
    assert rules.refusals(asked)[0].code == "image"  # and nothing about those


def test_after_a_file_that_is_read_in_nobody_knows_what_is_set():
    asked = only("source ./env.sh\n" + AZ + "--cpu 1 --image $IMAGE\n")
    assert asked.unknown == {"image": "$IMAGE"}


def test_what_stands_in_the_script_is_told_from_what_comes_from_outside():
    asked = only("K=abc\n" + AZ + "--secure-environment-variables A=secret B=$KEY C=$K D=x$KEY", KEY="k")
    assert asked.secure == {"A": "secret", "B": "k", "C": "abc", "D": "xk"}
    assert {"A=secret", "C=abc"} <= asked.written
    assert not {"B=k", "D=xk"} & asked.written


def test_an_option_twice_is_the_last_of_them():
    """azure-cli takes it so, without a word: its parser was run."""
    found = read_text(AZ + "-e A=1 -n two -e B=2\n")
    assert found.problems == ()
    assert (found.asked[0].name, found.asked[0].environment) == ("two", {"B": "2"})
    assert [remark.what.partition(":")[0] for remark in found.remarks] == ["-n is given 2 times", "-e is given 2 times"]  # fmt: skip


def test_a_default_group_and_the_groups_place_are_known_from_other_lines():
    asked = only(
        "az group create -n rg -l northeurope\naz configure --defaults group=rg\naz container create -n one\n"
    )
    assert (asked.resource_group_name, asked.location) == ("rg", "northeurope")
    assert (
        only("az container create -n one", AZURE_DEFAULTS_GROUP="mine", AZURE_DEFAULTS_LOCATION="uksouth").location
        == "uksouth"
    )  # fmt: skip
    assert read_text("az config set defaults.group=rg\naz container create -n one").problems == ()


@pytest.mark.parametrize(
    ("line", "opened"),
    [
        ("--ports 8080", ()),
        ("--ports 8080 --ip-address Private", ()),
        ("--ports 8080 --ip-address public", (8080,)),
        ("--ports 8080 9090 --dns-name-label llama", (8080, 9090)),
        ("--ip-address Public", (80,)),
        ("--vnet v --subnet s --ports 8080", (8080,)),
    ],
)
def test_ports_are_open_where_there_is_an_address(line, opened):
    assert only(AZ + line).opened == opened


def test_other_commands_are_said_to_be_not_run():
    found = read_text("docker push x\nset -e\naz acr login -n r\ncurl -s x | jq .\n" + AZ + "\n")
    assert list(map(str, found.not_run)) == ["aci.sh:1: docker push x", "aci.sh:4: curl -s x", "aci.sh:4: jq ."]  # fmt: skip
    assert [line.words[1] for line in found.az] == ["acr", "container"]


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(LabError, match="cannot be read"):
        script.read(tmp_path / "aci.sh")
    (tmp_path / "aci.sh").write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match="no text"):
        script.read(tmp_path / "aci.sh")


def test_lines_of_windows_are_said():
    found = read_text(AZ + "\r\n")
    assert found.remarks[0].what.startswith("its lines end as on Windows")


def test_az_itself_is_asked_where_it_is_there(tmp_path, monkeypatch):
    """The program is a stand-in that refuses what has `--memory`; it is given the words as filled in, on their own lines."""
    program = tmp_path / "az"
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$0.log"\ncase "$*" in *--memory*) echo "ERROR: no $*" >&2; exit 2;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = read_text("M=16\n" + AZ + "\\\n --memory $M\n" + AZ + "--bogus\n")
    said = az.with_az(found)
    assert [str(problem) for problem in said] == [
        "aci.sh:2: no container create -g rg -n one --memory 16",
        "aci.sh:4: unrecognized arguments: --bogus",
    ]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert az.with_az(found) == found.problems


def test_the_options_say_whose_they_are():
    assert options.version() == "azure-cli 2.91.0"
    assert json.dumps(options.table()["options"]).count("required") == 1


PIECES = (
    "a", "-x", "=", "b=c", "'s q'", "''", '"d q"', '""', "$V", '"$V"', "${W}", '"x${W}y"', "$E", '"$E"', "\\ ", "\\$", '"\\$V"', "'$V'",
    '"\\"$W\\""', "${N:-no ne}", '"${N:-$V}"', "${E:-e}", "${E-e}", "$N", "#", "$'t\\tq'", "é", "~x", "%", "@", ",", "{", "}",
)  # fmt: skip


def test_words_are_those_of_bash():
    """A thousand lines put together at random (seeded), read here and by bash; a function stands where az would be called."""
    draw = random.Random(11)
    lines = [
        "az " + " ".join("".join(draw.choices(PIECES, k=draw.randint(1, 4))) for _ in range(draw.randint(1, 5)))
        for _ in range(1000)
    ]  # fmt: skip
    text = "V='one  two'\nW=three\nE=\n" + "\n".join(lines) + "\n"
    start = "set -f +B; unset N; az() { [ $# = 0 ] || printf '%s\\0' \"$@\"; printf 'END\\0'; }\n"
    done = subprocess.run(
        ["bash", "-c", start + text], capture_output=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/h"},
    )  # fmt: skip
    assert done.stderr.decode() == ""
    theirs = [row.split("\0")[:-1] for row in done.stdout.decode().split("END\0")[:-1]]
    ours = [list(map(str, statement.words[1:])) for statement in shell.read(text, {}).statements if statement.words]  # fmt: skip
    assert len(theirs) == len(ours)
    for line, mine, bash in zip(lines, ours, theirs, strict=True):
        assert mine == bash, line


def test_why_there_are_no_gpus_is_said_beside_azs_words():
    found = read_text(AZ + "--gpu-count 1 --gpu-sku=V100\n")
    assert found.problems[0].what == "unrecognized arguments: --gpu-count 1 --gpu-sku=V100"
    (remark,) = found.remarks
    assert "no GPUs since 2025-07-14" in remark.what


ARRAYS = '"${A[@]}"', "${A[@]}", '"${NO[@]}"', "${NO[@]}", 'x"${A[@]}"y', '"x${A[@]}"', '"${O[@]}y"', '""', "z", '"${A[@]}${O[@]}"'  # fmt: skip


def test_arrays_are_those_of_bash():
    draw = random.Random(12)
    lines = ["az " + " ".join("".join(draw.choices(ARRAYS, k=draw.randint(1, 3))) for _ in range(2)) for _ in range(300)]  # fmt: skip
    text = "A=(one 'two  three' # no\n '' four)\nNO=()\nO=(x)\nO+=(w)\n" + "\n".join(lines) + "\n"
    start = "set -f +B; az() { [ $# = 0 ] || printf '%s\\0' \"$@\"; printf 'END\\0'; }\n"
    done = subprocess.run(["bash", "-c", start + text], capture_output=True, env={"PATH": "/usr/bin:/bin"})
    assert done.stderr == b""
    theirs = [row.split("\0")[:-1] for row in done.stdout.decode().split("END\0")[:-1]]
    ours = [list(map(str, it.words[1:])) for it in shell.read(text, {}).statements if it.words[:1] == ("az",)]
    assert len(theirs) == len(ours)
    for line, mine, bash in zip(lines, ours, theirs, strict=True):
        assert mine == bash, line
