#!/bin/bash
# Runs as root at the first boot of an Amazon Linux 2023 machine; may run again without harm.
# Terraform fills in the bucket, the model, the secret's name and the region.
set -euo pipefail

dnf install -y docker
systemctl enable --now docker

mkdir -p /opt/llama/models /opt/llama/keys
if [ ! -s "/opt/llama/models/${model}" ]; then
  aws s3 cp "s3://${bucket}/${model}" "/opt/llama/models/${model}.part"
  mv "/opt/llama/models/${model}.part" "/opt/llama/models/${model}"
fi

umask 077
aws secretsmanager get-secret-value --region "${region}" --secret-id "${secret}" --query SecretString --output text > /opt/llama/keys/api-key
chown -R 1000 /opt/llama/keys

if ! docker inspect llama-server > /dev/null 2>&1; then
  docker run -d --name llama-server --restart unless-stopped \
    -p 8080:8080 \
    -v /opt/llama/models:/models:ro -v /opt/llama/keys:/keys:ro \
    llama-server:v1.0.0 \
    -m "/models/${model}" --host 0.0.0.0 --port 8080 -c 4096 --parallel 4 --threads 1 --api-key-file /keys/api-key
fi
