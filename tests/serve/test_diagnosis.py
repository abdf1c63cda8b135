"""Why a server with a GPU ended: ggml's own last words, and what helps. The lines are those of public threads."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from llmlab.serve.diagnosis import telling_line, why_it_died

# ggml-org/llama.cpp#20431
NO_ROOM = """\
load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: cudaMalloc failed: out of memory
alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624
llama_model_load: error loading model: unable to allocate CUDA0 buffer
"""
# boneylizard/llama-cpp-python-cu128-gemma3#6, with the time stamps and levels that the pinned llama-server has
NO_CODE = """\
0.01.002.003 E ggml_cuda_compute_forward: RMS_NORM failed
0.01.002.004 E CUDA error: no kernel image is available for execution on the device
0.01.002.005 E   current device: 0, in function ggml_cuda_compute_forward at ggml-cuda.cu:2353
0.01.002.006 E   err
ggml-cuda.cu:75: CUDA error
"""


def died(code: int, log: str):
    line = telling_line(log.splitlines())
    return why_it_died(
        code,
        engine=SimpleNamespace(),
        model=SimpleNamespace(bytes=1),
        port=1,
        error=lambda: line,
        where="",
        fence=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("code", "log", "said", "fix"),
    [
        (
            1,
            NO_ROOM,
            "allocating 144817.04 MiB on device 0: cudaMalloc failed: out of memory",
            "lower n-gpu-layers",
        ),
        (-signal.SIGABRT, NO_CODE, "no kernel image is available", "llmlab engine build --cuda"),
    ],
)
def test_a_gpus_failure_is_named_with_what_helps(code, log, said, fix):
    error = died(code, log)
    assert said in error.what
    assert error.fix.startswith(fix)
    assert error.without == 'device = "cpu" at the top of the file'


def test_another_signal_is_still_named():
    assert "SIGABRT" in died(-signal.SIGABRT, "0.00.001 I srv loading").what
