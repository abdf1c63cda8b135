"""A file is held back from whoever opens it, and given to them when the context ends."""

import subprocess
import sys

import pytest

from llmlab.system.lease import held_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


def opening(path):
    """A process that says when it begins to open the file, and what it read."""
    code = "import sys; print('opening', flush=True); print(open(sys.argv[1]).read(), flush=True)"
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)


def test_who_opens_it_waits_until_it_is_let_go(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("weights")
    with held_back(path) as held:
        assert held
        with opening(path) as reader:
            assert reader.stdout.readline() == "opening\n"
            with pytest.raises(subprocess.TimeoutExpired):
                reader.wait(0.5)
            reader.terminate()
    with opening(path) as reader:
        assert reader.communicate(timeout=20)[0] == "opening\nweights\n"


def test_one_that_waits_goes_on(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("weights")
    with held_back(path):
        reader = opening(path)
        assert reader.stdout.readline() == "opening\n"
    assert reader.communicate(timeout=20)[0] == "weights\n"


def test_a_file_that_somebody_has_open_cannot_be_held(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("weights")
    with path.open(), held_back(path) as held:
        assert not held
