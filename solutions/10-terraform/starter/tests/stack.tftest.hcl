# A test that cannot fail is no test. Three things must not break unnoticed: IMDSv2, the idle timeout, the health check.
mock_provider "aws" {}

run "it_plans" {
  command = plan

  assert {
    condition     = aws_lb_target_group.llama_tg.port == 8080
    error_message = "The servers listen on 8080."
  }
}
