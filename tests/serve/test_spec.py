"""What a server.toml may say, and what is answered when it says something else."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.serve import Limits, Spec
from llmlab.serve.spec import parse_size


def spec(tmp_path, text: str) -> Spec:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return Spec.read(path)


def test_reads_model_flags_limits_and_env(tmp_path):
    one = spec(
        tmp_path,
        'model = "20m"\n[flags]\nctx-size = 4096\n[limits]\ncpus = 0.5\nmemory = "1G"\n[env]\nOMP_NUM_THREADS = 1\n',
    )
    assert (one.model, dict(one.flags), one.limits) == (
        "20m",
        {"ctx-size": 4096},
        Limits(cpus=0.5, memory=2**30),
    )
    assert one.env == {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("model = tiny\n", "line 1", "not valid TOML"),
        ('model = "tiny"\nflag = 3\n', "line 2", "did you mean flags"),
        ("model = 3\n", "line 1", "model must be text"),
        ("[flags]\n\nx = {a = 1}\n", "line 3", "x cannot be"),
        ("flags = 3\n", "line 1", "must be a table"),
        ('[limits]\nmemory = "lots"\n', "line 2", "not a size"),
        ('[limits]\nmemory = "0"\n', "line 2", "not a size"),
        ("[limits]\ncpus = 0\n", "line 2", "above 0"),
        ("[limits]\ncpus = true\n", "line 2", "above 0"),
        ("[limits]\ncpu = 1\n", "line 2", "no key 'cpu'"),
        ('[env]\nEDITOR = "vi"\n', "line 2", "may not set EDITOR"),
        ('[env]\nLLAMA_APIKEY = "x"\n', "line 2", "did you mean LLAMA_API_KEY"),
        ('[env]\nLLAMA_ARG_TOOLS = "all"\n', "line 2", "starts programs"),
    ],
)
def test_says_which_line_is_wrong(tmp_path, text, line, says):
    with pytest.raises(LabError) as caught:
        spec(tmp_path, text)
    assert line in str(caught.value)
    assert says in str(caught.value)
    assert "server.toml" in str(caught.value)


def test_a_missing_file_says_how_to_get_it_back(tmp_path):
    with pytest.raises(LabError, match="llmlab reset"):
        Spec.read(tmp_path / "server.toml")


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 << 20), ("1.5G", 3 << 29), ("64Ki", 65536), (100, 100), ("2 GB", 2 << 30)]
)
def test_sizes(text, size):
    assert parse_size(text, where="here") == size


def test_a_key_in_the_flags_is_refused_and_one_in_a_file_is_read(tmp_path):
    one = spec(tmp_path, '[flags]\napi-key = "secret"\n')
    with pytest.raises(LabError, match="command line"):
        one.api_key()
    (tmp_path / "key.txt").write_text("# a comment\nabc\n")
    assert spec(tmp_path, '[flags]\napi-key-file = "key.txt"\n').api_key() == "abc"
    with pytest.raises(LabError, match=r"nope\.txt"):
        spec(tmp_path, '[flags]\napi-key-file = "nope.txt"\n').api_key()
