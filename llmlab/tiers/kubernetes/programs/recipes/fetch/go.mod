module llmlab/fetch

go 1.21
