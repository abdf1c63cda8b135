module llmlab/witness

go 1.22
