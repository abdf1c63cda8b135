output "load_balancer" {
  description = "The name that DNS must lead to"
  value       = aws_lb.llama_alb.dns_name
}
