#!/bin/bash
# EC2 User Data script

# Update system
apt-get update && apt-get upgrade -y

# Install Docker
curl -fsSL https://get.docker.com -o get-docker.sh
sh get-docker.sh

# Download model
aws s3 cp s3://my-models/llama-2-7b-chat.gguf /models/

# Run llama-server
docker run -d \
  --name llama-server \
  -p 8080:8080 \
  -v /models:/models:ro \
  --restart unless-stopped \
  llama-server:latest \
  -m /models/llama-2-7b-chat.gguf
