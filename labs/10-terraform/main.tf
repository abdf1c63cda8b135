# The guide's. What it refers to and does not declare it leaves to you, and nothing here listens yet.

provider "aws" {
  region = "us-east-1"
}

resource "aws_instance" "llama_server" {
  ami           = "ami-0c55b159cbfafe1f0"  # Ubuntu 22.04
  instance_type = "g5.xlarge"  # GPU instance

  vpc_security_group_ids = [aws_security_group.llama_sg.id]
  iam_instance_profile   = aws_iam_instance_profile.llama_profile.name

  user_data = file("user-data.sh")

  root_block_device {
    volume_size = 100
    volume_type = "gp3"
  }

  tags = {
    Name = "llama-server"
    Environment = "production"
  }
}

resource "aws_security_group" "llama_sg" {
  name        = "llama-server-sg"
  description = "Security group for LLaMA server"

  ingress {
    from_port   = 8080
    to_port     = 8080
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8"]  # Internal only
  }

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_lb" "llama_alb" {
  name               = "llama-alb"
  internal           = false
  load_balancer_type = "application"
  security_groups    = [aws_security_group.alb_sg.id]
  subnets            = data.aws_subnets.public.ids

  tags = {
    Name = "llama-alb"
  }
}

resource "aws_lb_target_group" "llama_tg" {
  name     = "llama-tg"
  port     = 8080
  protocol = "HTTP"
  vpc_id   = data.aws_vpc.main.id

  health_check {
    enabled             = true
    path                = "/health"
    port                = "8080"
    protocol            = "HTTP"
    healthy_threshold   = 2
    unhealthy_threshold = 2
    timeout             = 5
    interval            = 30
  }
}
