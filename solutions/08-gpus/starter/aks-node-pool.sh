#!/bin/bash
# The guide's. Nobody runs it here: the lab reads `az aks nodepool add`.
# Create resource group
az group create --name llama-rg --location eastus

# Create AKS cluster with GPU node pool
az aks create \
  --resource-group llama-rg \
  --name llama-cluster \
  --node-count 1 \
  --enable-addons monitoring \
  --generate-ssh-keys

# Add GPU node pool
az aks nodepool add \
  --resource-group llama-rg \
  --cluster-name llama-cluster \
  --name gpupool \
  --node-count 2 \
  --node-vm-size Standard_NC6s_v3 \
  --node-taints sku=gpu:NoSchedule

# Get credentials
az aks get-credentials --resource-group llama-rg --name llama-cluster
