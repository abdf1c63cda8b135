"""Which GPUs a CUDA Dockerfile makes machine code for, read as the builder would read it."""

from __future__ import annotations

import pytest

from llmlab.checks.check import DeploymentFailed
from llmlab.tiers.docker import cuda

FILE = """ARG CUDA=12.8.1
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS builder
ARG FOR="75-real;80;120a-real;90-virtual"
RUN cmake -B out -DCMAKE_CUDA_ARCHITECTURES="${FOR}" \\
    && cmake --build out
FROM nvidia/cuda:12.9.0-runtime-ubuntu24.04
COPY --from=builder /out /
"""


def read(tmp_path, text: str):
    (tmp_path / "Dockerfile.cuda").write_text(text)
    return cuda.read(tmp_path / "Dockerfile.cuda")


def test_arguments_are_resolved_and_ptx_is_no_machine_code(tmp_path):
    assert read(tmp_path, FILE) == ("12.8", "12.9", [75, 80, 120])


def test_all_major_means_what_the_toolkit_knows(tmp_path):
    wide = FILE.replace("75-real;80;120a-real;90-virtual", "all-major")
    assert read(tmp_path, wide)[2] == [60, 70, 80, 90, 100, 120]
    assert read(tmp_path, wide.replace("12.8.1", "12.2.0"))[2] == [60, 70, 80, 90]


@pytest.mark.parametrize(
    ("capability", "listed", "toolkit", "runs"),
    [
        (89, [80], "12.8", True),  # the same major number
        (80, [86], "12.8", False),  # made for a later one
        (75, [80, 90], "12.8", False),
        (120, [120], "12.8", True),
        (120, [120], "12.4", False),  # a toolkit that does not know it makes nothing
        (100, [120], "12.8", False),
    ],
)
def test_a_gpu_runs_code_of_its_own_major_number_only(capability, listed, toolkit, runs):
    assert cuda.covered(capability, listed, toolkit) is runs


@pytest.mark.parametrize(
    ("text", "said"),
    [("RUN true\n", "no FROM"), ("FROM debian:trixie-slim\nRUN true\n", "no CUDA compiler")],
)
def test_what_is_no_cuda_dockerfile_says_so(tmp_path, text, said):
    with pytest.raises(DeploymentFailed, match=said):
        read(tmp_path, text)


def test_what_a_toolkit_dropped_is_refused_by_name():
    assert "no longer makes 70" in (cuda.refused(70, "13.0") or "")
    assert cuda.refused(75, "13.0") is None
