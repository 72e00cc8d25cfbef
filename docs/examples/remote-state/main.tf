# State that a team shares lies in a bucket, locked while somebody applies.

terraform {
  required_version = ">= 1.10.0" # use_lockfile

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  backend "s3" {
    bucket       = "our-terraform-state" # make it before, versioned
    key          = "parris/terraform.tfstate"
    region       = "eu-west-1"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "parris" {
  source = "../../.."
}

output "results_bucket" {
  description = "Where every run's results lie."
  value       = module.parris.results_bucket
}
