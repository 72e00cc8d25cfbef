# Parris as a module, under a platform team's rules: a key of its own, a boundary, fixed subnets.

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

data "aws_caller_identity" "current" {}

resource "aws_kms_key" "parris" {
  description         = "Parris: buckets, logs, topic and volumes."
  enable_key_rotation = true
  policy              = module.parris.kms_key_policy # made from names, so this is no circle
}

module "parris" {
  source = "../../.." # or git::https://<your host>/parris.git?ref=<tag>

  name_prefix              = "vision"
  kms_key_arn              = aws_kms_key.parris.arn
  permissions_boundary_arn = "arn:aws:iam::${data.aws_caller_identity.current.account_id}:policy/workload-boundary"
  iam_path                 = "/workloads/"
  subnet_ids               = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  security_group_ids       = ["sg-0123456789abcdef0"]
  allowed_instance_types   = ["t3.*", "g5.xlarge"]
  allowed_image_owners     = ["amazon"]
  alarm_topic_arns         = [module.parris.notification_topic_arn]
  dashboard                = true
  tags                     = { cost-centre = "4711" }

  schedules = {
    nightly = { expression = "cron(0 3 * * ? *)", job = "digits" }
  }
}

output "config_bucket" {
  description = "Where the jobs go: aws s3 sync my-job s3://<this>/jobs/my-job."
  value       = module.parris.config_bucket
}

output "caller_policy" {
  description = "What a program needs to launch trainings."
  value       = module.parris.caller_policy
}
