# A test that cannot fail is no test. Three things must not break unnoticed: IMDSv2, the idle timeout, the health check.
# No cloud is asked: what the provider would have looked up is given here.
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

run "it_plans" {
  command = plan

  assert {
    condition     = aws_lb_target_group.llama_tg.port == 8080
    error_message = "The servers listen on 8080."
  }
}
