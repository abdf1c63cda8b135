output "url" {
  description = "Where the service answers, once the domain's DNS leads to the load balancer"
  value       = "https://${var.domain}"
}

output "load_balancer" {
  description = "The name that DNS must lead to"
  value       = aws_lb.server.dns_name
}
