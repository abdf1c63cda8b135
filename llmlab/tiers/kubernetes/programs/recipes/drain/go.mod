module llmlab/drain

go 1.21
