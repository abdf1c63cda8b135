az container create \
  --resource-group llama-rg \
  --name llama-server \
  --image llama-server:latest \
  --cpu 4 \
  --memory 16 \
  --ports 8080 \
  --environment-variables \
    MODEL_PATH=/models/llama-2-7b-chat.gguf \
  --secure-environment-variables \
    API_KEY=secret123 \
  --command-line \
    "llama-server -m /models/llama-2-7b-chat.gguf --host 0.0.0.0"
