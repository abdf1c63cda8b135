#!/bin/bash
set -euo pipefail
# From none to four nodes: a GPU that nobody uses is not paid for.
az aks nodepool add \
  --resource-group llama-rg \
  --cluster-name llama-cluster \
  --name gpupool \
  --node-count 0 \
  --enable-cluster-autoscaler --min-count 0 --max-count 4 \
  --node-vm-size Standard_NC24ads_A100_v4 \
  --node-taints sku=gpu:NoSchedule \
  --labels workload=inference
