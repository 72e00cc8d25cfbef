terraform {
  required_version = ">= 1.9.0" # validations may then refer to other variables

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id # `name` in version 5 of the provider, `region` in 6; this one in both
  tags       = merge(var.tags, { "parris:deployment" = var.name_prefix })
}
