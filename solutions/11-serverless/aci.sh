# LLAMA_API_KEY and IDENTITY come from the environment: a secret that stands in a script stands in its history as well.
az container create \
  --resource-group llama-rg \
  --name llama-server \
  --image llmlab.azurecr.io/llama-server:v1.0.0 \
  --acr-identity "$IDENTITY" \
  --assign-identity "$IDENTITY" \
  --os-type Linux \
  --cpu 1 \
  --memory 1 \
  --restart-policy Always \
  --ip-address Public \
  --ports 8080 \
  --secure-environment-variables \
    LLAMA_API_KEY="$LLAMA_API_KEY" \
  --command-line \
    "/usr/local/bin/llama-server -m /models/20m.gguf --alias chat --host 0.0.0.0 --port 8080 -c 8192 --parallel 4 --threads 1"
