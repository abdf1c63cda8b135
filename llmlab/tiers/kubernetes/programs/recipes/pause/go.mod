module llmlab/pause

go 1.21
