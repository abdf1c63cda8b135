# The guide's, and below it three parts that are given. What is referred to and not declared is yours, and nothing here listens yet.

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

# Given: the role of a server, with its trust policy (EC2 may hand it to instances). What the role may do, and the instance profile
# that carries it, are yours.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "llama_role" {
  name               = "llama-server"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

# Given: one rule, as a resource of its own. A rule can name a group instead of addresses: referenced_security_group_id.

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.alb_sg.id
  description       = "HTTPS from anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Given, and not finished: what a server is made from. The group that starts servers from it is yours.

resource "aws_launch_template" "llama_template" {
  name_prefix            = "llama-server-"
  instance_type          = "m7i.xlarge"
  vpc_security_group_ids = [aws_security_group.llama_sg.id]
  update_default_version = true

  # user-data.sh with ${bucket}, ${model} and ${secret} filled in, in Base64, as EC2 wants it.
  user_data = base64encode(templatefile("${path.module}/user-data.sh", {
    bucket = var.model_bucket
    model  = var.model
    secret = var.secret
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.llama_profile.arn
  }

  # Yours: image_id, metadata_options, block_device_mappings, tag_specifications.
}
