"""What a script asks of `az aks nodepool add`: read as the command would read it, never run."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.gpus.az import node_pool

LEAST = "az aks nodepool add -g rg --cluster-name c -n gpupool"


def test_the_guides_command_among_others():
    read = node_pool(
        """#!/bin/bash
# az aks nodepool add --name comment
az group create --name llama-rg --location eastus
az aks nodepool add \\
  --resource-group llama-rg --cluster-name llama-cluster \\
  --name gpupool --node-count 2 \\
  --node-vm-size Standard_NC6s_v3 --node-taints sku=gpu:NoSchedule  # and a remark
az aks get-credentials --resource-group llama-rg --name llama-cluster
"""
    )
    assert (read.name, read.node_count, read.node_vm_size) == ("gpupool", "2", "Standard_NC6s_v3")
    assert read.node_taints == "sku=gpu:NoSchedule"


def test_variables_lists_and_what_follows():
    read = node_pool(
        "export SIZE=Standard_NC24ads_A100_v4\nNAME='gpupool'\n"
        'az aks nodepool add -g rg --cluster-name c -n "$NAME" -s ${SIZE} --labels a=b c=d --zones 1 2 && echo done'
    )
    assert (read.name, read.node_vm_size, read.labels, read.zones) == (
        "gpupool",
        "Standard_NC24ads_A100_v4",
        ["a=b", "c=d"],
        ["1", "2"],
    )


@pytest.mark.parametrize(
    "more",
    [
        "--tags team=llm --kubernetes-version 1.35 --scale-down-mode delete --no-wait",
        "--enable-cluster-autoscaler --min-count 0 --max-count 4 --priority spot --spot-max-price -1",
        "--gpu-instance-profile MIG1g --gpu-driver none -o json; echo done",
    ],
)
def test_options_that_azure_cli_has(more):
    assert node_pool(f"{LEAST} {more}\n").name == "gpupool"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("az aks create -g rg -n c", "no `az aks nodepool add`"),
        ("az aks nodepool add -g rg -n gpupool", "lacks --cluster-name"),
        (f"{LEAST} --vm-size Standard_NC6", "--vm-size"),
        (f"{LEAST} --priority cheap", "invalid choice"),
        (f"{LEAST} --node-count two", "no number"),
        (f"{LEAST} --enable-cluster-autoscaler --min-count 0", "--max-count"),
        ("az aks nodepool add -g rg --cluster-name c -n gpu-pool", "no name for a node pool"),
        (f'{LEAST} --labels "a=b', "cannot be read"),
    ],
)
def test_what_az_would_refuse(text, said):
    with pytest.raises(LabError) as error:
        node_pool(text)
    assert said in str(error.value)
    assert "aks-node-pool.sh" in str(error.value)


def test_nothing_of_it_is_run(tmp_path):
    mark = tmp_path / "ran"
    node_pool(f"touch {mark}\nA=$(touch {mark})\n{LEAST} --tags $(touch {mark})\n")
    assert not mark.exists()
