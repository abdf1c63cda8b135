# No cloud is asked: the provider is mocked, and what it would have looked up is given here.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_subnets" {
    defaults = { ids = ["subnet-1", "subnet-2"] }
  }
  mock_data "aws_acm_certificate" {
    defaults = { arn = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-1111-1111-1111-111111111111" }
  }
}

variables {
  longest_reply = 100
}

run "the_door" {
  command = plan

  assert {
    condition     = aws_lb.server.idle_timeout > var.longest_reply
    error_message = "The load balancer hangs up before the longest reply is written."
  }
  assert {
    condition     = aws_lb_listener.https.port == 443 && aws_lb_listener.https.protocol == "HTTPS"
    error_message = "Clients come by HTTPS."
  }
  assert {
    condition     = aws_lb_target_group.server.health_check[0].path == "/health"
    error_message = "Only /health says whether the model is loaded."
  }
}

run "the_servers" {
  command = plan

  assert {
    condition     = aws_launch_template.server.metadata_options[0].http_tokens == "required"
    error_message = "Whoever makes the server fetch a URL gets the role's keys (IMDSv1)."
  }
}
