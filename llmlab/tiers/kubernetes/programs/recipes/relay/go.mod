module llmlab/relay

go 1.21
