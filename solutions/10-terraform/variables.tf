variable "region" {
  type    = string
  default = "us-east-1"
}

variable "domain" {
  description = "The name of the service; a certificate for it is in ACM"
  type        = string
  default     = "llm.example.com"
}

variable "model_bucket" {
  description = "The S3 bucket with the models"
  type        = string
  default     = "llmlab-models"
}

variable "model" {
  description = "The model's file in the bucket"
  type        = string
  default     = "20m.gguf"
}

variable "secret" {
  description = "The secret in Secrets Manager that holds the API key"
  type        = string
  default     = "llama-api-key"
}

variable "instance_type" {
  type    = string
  default = "m7i.xlarge"
}

variable "longest_reply" {
  description = "Seconds that the longest reply takes when every slot is busy: measured, not guessed"
  type        = number
  default     = 150
}
